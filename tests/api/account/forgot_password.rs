//! `POST /v1/auth/forgot-password`.

use std::time::Duration;

use crate::support::mailbox::{self, Mailbox};
use crate::support::{Answer, Backend, Client, PASSWORD, Server, json, on_both};

fn forgot(client: &Client, email: &str) -> Answer {
    client.post("/v1/auth/forgot-password", &json!({"email": email}))
}

on_both! {
    fn everybody_is_answered_alike_and_only_an_active_account_is_sent_mail(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        server.client().register("disabled@example.com");
        let mailbox = Mailbox::of(&server);
        assert_eq!(mailbox.mails().len(), 2, "to verify the addresses");
        server.execute("UPDATE users SET is_active = false WHERE email = 'disabled@example.com'");
        let answers = ["ada@example.com", "disabled@example.com", "nobody@example.com"].map(|email| {
            let answer = forgot(&server.client(), email).expect(202);
            let mut headers: Vec<String> = answer.headers.iter()
                .filter(|(name, _)| *name != "x-request-id" && *name != "date")
                .map(|(name, value)| format!("{name}: {value:?}")).collect();
            headers.sort();
            (answer.text, headers)
        });
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
        assert_eq!(answers[0].0, "");
        let mails = mailbox.mails();
        assert_eq!(mails.len(), 3, "{mails:?}");
        mailbox.newest("ada@example.com", "reset_password");
        assert_eq!(server.audited("authn_password_reset_requested"), 3);
        // Nothing has changed yet.
        server.client().login("ada@example.com");
    }

    fn mail_goes_to_the_address_on_file_whatever_spelling_was_asked_with(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("Ada@Example.com");
        forgot(&server.client(), " ADA@example.COM ").expect(202);
        Mailbox::of(&server).newest("Ada@Example.com", "reset_password");
    }

    fn many_requests_are_one_mail_a_minute(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        let mailbox = Mailbox::of(&server);
        assert_eq!(mailbox.mails().len(), 1);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| forgot(&server.client(), "ada@example.com").expect(202));
            }
        });
        assert_eq!(mailbox.mails().len(), 2);
        server.clock.advance(Duration::from_secs(60));
        forgot(&server.client(), "ada@example.com").expect(202);
        assert_eq!(mailbox.mails().len(), 3);
    }

    fn a_name_is_told_only_to_a_verified_address_and_is_neither_markup_nor_a_header(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        let name = "Ada\u{2028}Bcc: eve@example.com <b>&";
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": name});
        server.client().post("/v1/auth/register", &body).expect(201);
        let mailbox = Mailbox::of(&server);
        let verify = mailbox.newest("ada@example.com", "verify_email");
        assert!(!verify.text.contains("eve@"), "{}", verify.text);
        server.client().post("/v1/auth/verify-email", &json!({"token": verify.token()})).expect(204);
        forgot(&server.client(), "ada@example.com").expect(202);
        let reset = mailbox.newest("ada@example.com", "reset_password");
        let (head, body) = reset.text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(!head.contains("eve@") && !head.contains("Bcc"), "{head}");
        assert!(body.contains("eve@example.com"), "{body}");
        let (_, html) = body.split_once("text/html").expect("a page");
        assert!(html.contains("&lt;b&gt;&amp;") && !html.contains("<b>"), "{html}");
    }
}
