//! What a user is told by mail of changes to their factors.

use super::*;
use crate::support::mailbox::{self, Mailbox};
use crate::support::phone::{first_step, second_step};
use crate::support::{PASSWORD, json, on_both};

on_both! {
    fn each_change_of_factors_is_told(backend) {
        let server = Server::start_with(backend, |config| { phone::switch_on(config); mailbox::into_folder(config); });
        let (session, phone) = with_phone(&server);
        let mailbox = Mailbox::of(&server);
        let told = |template: &str| mailbox.newest_of("ada@example.com", template).text;
        assert!(told("factor_added").contains("2026-11-21 10:00 UTC"));
        // Twice is told twice: no notice waits for another.
        for code in &phone.recovery_codes[..2] {
            second_step(&server.client(), &first_step(&server.client(), "ada@example.com"), code).expect(200);
        }
        let used = mailbox.mails().into_iter().filter(|mail| mail.template == "recovery_code_used").count();
        assert_eq!(used, 2);
        let body = json!({"password": PASSWORD, "code": phone.next_code(&server)});
        bearer(&server, &session).post("/v1/auth/mfa/totp/remove", &body).expect(204);
        told("factor_removed");
        for code in &phone.recovery_codes {
            assert!(mailbox.mails().iter().all(|mail| !mail.text.contains(code.as_str())));
        }
    }
}
