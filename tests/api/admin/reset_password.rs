//! `POST /v1/admin/users/{id}/reset-password`.

use super::{admin, bare, log_in_with, start, start_with_mail, trail, user_id};
use crate::support::mailbox::Mailbox;
use crate::support::{Backend, PASSWORD, json, on_both};

const NEW: &str = "another battery staple";

on_both! {
    fn the_password_stops_working_and_what_replaces_it_goes_out_by_mail(backend) {
        let server = start_with_mail(backend);
        let mailbox = Mailbox::of(&server);
        let root = admin(&server);
        let session = server.client().register("ada@example.com");
        let forced = root.client.post_empty(&format!("/v1/admin/users/{}/reset-password", user_id(&session))).expect(200);
        assert_eq!(forced.json(), json!({"by_mail": true, "expires_in": 1_800}));
        log_in_with(&server, "ada@example.com", PASSWORD).expect_problem(401, "invalid_credentials");
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        let token = mailbox.newest("ada@example.com", "reset_password").token();
        server.client().post("/v1/auth/reset-password", &json!({"token": token, "new_password": NEW})).expect(204);
        log_in_with(&server, "ada@example.com", NEW).expect(200);
        let (actor, subject, detail) = trail(&server, "user_password_reset_forced").pop().expect("an event");
        assert_eq!((actor, subject), (bare(&root.id), bare(&user_id(&session))));
        assert_eq!(detail["by_mail"], true);
    }

    fn without_mail_the_administrator_hands_the_token_over(backend) {
        let server = start(backend);
        let root = admin(&server);
        let id = root.client.post("/v1/admin/users", &json!({"email": "ada@example.com"})).expect(201).text_at("/id");
        let path = format!("/v1/admin/users/{id}/reset-password");
        let first = root.client.post_empty(&path).expect(200);
        let second = root.client.post_empty(&path).expect(200);
        assert_eq!(first.header("cache-control"), "no-store");
        let choose = |token: &str| {
            server.client().post("/v1/auth/reset-password", &json!({"token": token, "new_password": NEW}))
        };
        choose(&first.text_at("/token")).expect_problem(400, "invalid_one_time_token");
        choose(&second.text_at("/token")).expect(204);
        choose(&second.text_at("/token")).expect_problem(400, "invalid_one_time_token");
        log_in_with(&server, "ada@example.com", NEW).expect(200);
    }

    fn a_page_is_given_where_one_is_configured(backend) {
        let server = crate::api::admin::start_with(backend, |config| {
            config.mail.reset_password_link = "https://app.example/reset?token={token}".to_owned();
        });
        let root = admin(&server);
        let id = user_id(&server.client().register("ada@example.com"));
        let forced = root.client.post_empty(&format!("/v1/admin/users/{id}/reset-password")).expect(200);
        assert_eq!(forced.text_at("/link"), format!("https://app.example/reset?token={}", forced.text_at("/token")));
    }

    fn a_disabled_user_chooses_nothing(backend) {
        let server = start(backend);
        let root = admin(&server);
        let path = format!("/v1/admin/users/{}", user_id(&server.client().register("ada@example.com")));
        root.client.post_empty(&format!("{path}/disable")).expect(200);
        root.client.post_empty(&format!("{path}/reset-password")).expect_problem(409, "user_disabled");
        root.client.post_empty(&format!("{path}/enable")).expect(200);
        log_in_with(&server, "ada@example.com", PASSWORD).expect(200);
    }
}
