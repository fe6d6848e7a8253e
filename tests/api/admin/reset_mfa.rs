//! `POST /v1/admin/users/{id}/reset-mfa`.

use super::{admin, bare, expect_password_works, start_with, trail, user_id};
use crate::support::mailbox::{self, Mailbox};
use crate::support::phone::{self, Phone};
use crate::support::{Backend, json, on_both};

on_both! {
    fn who_has_lost_their_factor_logs_in_with_the_password_and_is_told(backend) {
        let server = start_with(backend, |config| { phone::switch_on(config); mailbox::into_folder(config); });
        let root = admin(&server);
        let ada = server.client().register("ada@example.com");
        let reset = format!("/v1/admin/users/{}/reset-mfa", user_id(&ada));
        assert_eq!(root.client.post_empty(&reset).expect(200).json(), json!({"removed": false}));
        server.client().refresh(&ada.refresh_token()).expect(200);
        Phone::add(&server, &server.client().bearer(&ada.access_token()));
        phone::first_step(&server.client(), "ada@example.com");
        assert_eq!(root.client.post_empty(&reset).expect(200).json(), json!({"removed": true}));
        server.client().bearer(&ada.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        expect_password_works(&server, "ada@example.com");
        Mailbox::of(&server).newest_of("ada@example.com", "factor_removed");
        let events = trail(&server, "user_factor_removed");
        assert_eq!(events.len(), 1);
        assert_eq!((&events[0].0, &events[0].1), (&bare(&root.id), &bare(&user_id(&ada))));
    }
}
