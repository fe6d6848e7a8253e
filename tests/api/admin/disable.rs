//! `POST /v1/admin/users/{id}/disable`, `…/enable`.

use std::time::Duration;

use super::{admin, bare, expect_password_works, log_in_with, start, start_with_mail, trail, user_id};
use crate::api::api_key::{exchange, with_key};
use crate::support::mailbox::Mailbox;
use crate::support::phone::{self, Phone};
use crate::support::{Backend, PASSWORD, json, on_both};

const DAY: Duration = Duration::from_secs(24 * 3600);

on_both! {
    fn a_disabled_user_is_out_at_once_and_enabled_again_may_log_in(backend) {
        let server = start(backend);
        let root = admin(&server);
        let session = server.client().register("ada@example.com");
        let path = format!("/v1/admin/users/{}", user_id(&session));
        let disabled = root.client.post_empty(&format!("{path}/disable")).expect(200).json();
        assert_eq!((&disabled["is_active"], &disabled["disabled_until"]), (&json!(false), &json!(null)));
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        server.client().bearer(&session.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        log_in_with(&server, "ada@example.com", PASSWORD).expect_problem(401, "invalid_credentials");
        root.client.post_empty(&format!("{path}/disable")).expect(200);
        assert_eq!(trail(&server, "user_disabled").len(), 1, "nothing changed the second time");
        assert_eq!(root.client.post_empty(&format!("{path}/enable")).expect(200).json()["is_active"], true);
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        expect_password_works(&server, "ada@example.com");
        let (actor, subject, _) = trail(&server, "user_enabled").pop().expect("an event");
        assert_eq!((actor, subject), (bare(&root.id), bare(&user_id(&session))));
    }

    fn who_is_disabled_for_a_time_logs_in_when_it_is_over(backend) {
        let server = start(backend);
        let root = admin(&server);
        let session = server.client().register("ada@example.com");
        let path = format!("/v1/admin/users/{}", user_id(&session));
        let until = json!({"until": "2026-11-22T10:00:00.123456Z"});
        let disabled = root.client.post(&format!("{path}/disable"), &until).expect(200).json();
        assert_eq!(disabled["disabled_until"], until["until"]);
        server.clock.advance(DAY - Duration::from_micros(1));
        log_in_with(&server, "ada@example.com", PASSWORD).expect_problem(401, "invalid_credentials");
        let root = crate::api::admin::signed_in_again(&server, root);
        assert_eq!(root.client.get(&path).expect(200).json()["is_active"], false);
        server.clock.advance(Duration::from_micros(1));
        let seen = root.client.get(&path).expect(200).json();
        assert_eq!((&seen["is_active"], &seen["disabled_until"]), (&json!(true), &json!(null)), "before anybody logs in");
        let session = expect_password_works(&server, "ada@example.com");
        server.client().refresh(&session.refresh_token()).expect(200);
        server.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200);
        let (actor, _, detail) = trail(&server, "user_enabled").pop().expect("an event");
        assert_eq!((actor.as_str(), &detail), ("-", &json!({"by": "time"})));
        expect_password_works(&server, "ada@example.com");
        assert_eq!(trail(&server, "user_enabled").len(), 1);
    }

    fn the_time_can_be_changed_and_taken_back(backend) {
        let server = start(backend);
        let root = admin(&server);
        let path = format!("/v1/admin/users/{}", user_id(&server.client().register("ada@example.com")));
        let disable = |body| root.client.post(&format!("{path}/disable"), &body);
        disable(json!({"until": "2026-11-22T10:00:00Z"})).expect(200);
        let longer = disable(json!({"until": "2026-11-23T10:00:00+01:00"})).expect(200);
        assert_eq!(longer.json()["disabled_until"], "2026-11-23T09:00:00Z");
        disable(json!({"until": "2026-11-23T09:00:00Z"})).expect(200);
        assert_eq!(disable(json!({})).expect(200).json()["disabled_until"], json!(null), "for good");
        assert_eq!(trail(&server, "user_disabled").len(), 3, "the third changed nothing");
        server.clock.advance(10 * DAY);
        log_in_with(&server, "ada@example.com", PASSWORD).expect_problem(401, "invalid_credentials");
    }

    fn a_time_that_is_over_or_none_is_refused(backend) {
        let server = start(backend);
        let root = admin(&server);
        let path = format!("/v1/admin/users/{}/disable", user_id(&server.client().register("ada@example.com")));
        for (until, code) in [
            (json!("2026-11-21T10:00:00Z"), "in_the_past"),
            (json!("1970-01-01T00:00:00Z"), "in_the_past"),
            (json!("tomorrow"), "malformed"),
            (json!("999999-01-01T00:00:00Z"), "malformed"),
            (json!(1_795_255_200), "wrong_type"),
        ] {
            let refused = root.client.post(&path, &json!({"until": until})).expect_problem(422, "invalid_field");
            assert_eq!(refused.field_errors(), [("until".to_owned(), code.to_owned())]);
        }
        expect_password_works(&server, "ada@example.com");
    }

    fn a_password_is_reset_when_the_time_is_over_and_not_before(backend) {
        let server = start_with_mail(backend);
        let mailbox = Mailbox::of(&server);
        let root = admin(&server);
        let id = user_id(&server.client().register("ada@example.com"));
        mailbox.newest("ada@example.com", "verify_email");
        let until = json!({"until": "2026-11-22T10:00:00Z"});
        root.client.post(&format!("/v1/admin/users/{id}/disable"), &until).expect(200);
        let ask = json!({"email": "ada@example.com"});
        server.client().post("/v1/auth/forgot-password", &ask).expect(202);
        assert_eq!(mailbox.count("ada@example.com"), 1);
        server.clock.advance(DAY);
        server.client().post("/v1/auth/forgot-password", &ask).expect(202);
        let token = mailbox.newest("ada@example.com", "reset_password").token();
        let body = json!({"token": token, "new_password": "another battery staple"});
        server.client().post("/v1/auth/reset-password", &body).expect(204);
        log_in_with(&server, "ada@example.com", "another battery staple").expect(200);
    }

    fn when_the_time_is_over_keys_work_before_anybody_logs_in(backend) {
        let server = start(backend);
        let root = admin(&server);
        let session = server.client().register("ada@example.com");
        let client = server.client().bearer(&session.access_token());
        let body = json!({"name": "x", "scope": "account"});
        let key = client.post("/v1/auth/api-keys", &body).expect(201).text_at("/key");
        let exchanged = exchange(&server, &key, &[]).expect(200).access_token();
        let path = format!("/v1/admin/users/{}", user_id(&session));
        root.client.post(&format!("{path}/disable"), &json!({"until": "2026-11-21T10:05:00.123456Z"})).expect(200);
        let by_key = || with_key(&server, &key).get("/v1/auth/me").status;
        let by_token = || server.client().bearer(&exchanged).get("/v1/auth/me").status;
        server.clock.advance(Duration::from_secs(300) - Duration::from_micros(1));
        assert_eq!((by_key(), by_token()), (401, 401));
        exchange(&server, &key, &[]).expect_oauth(400, "invalid_request");
        root.client.post(&format!("{path}/api-keys"), &body).expect_problem(409, "user_disabled");
        server.clock.advance(Duration::from_micros(1));
        assert_eq!((by_key(), by_token()), (200, 200));
        exchange(&server, &key, &[]).expect(200);
        assert_eq!(with_key(&server, &key).get("/v1/auth/me").json()["is_active"], true);
        root.client.post(&format!("{path}/api-keys"), &body).expect(201);
    }

    fn when_the_time_is_over_a_log_in_with_a_second_factor_works(backend) {
        let server = crate::api::admin::start_with(backend, phone::switch_on);
        let root = admin(&server);
        let session = server.client().register("ada@example.com");
        let phone = Phone::add(&server, &server.client().bearer(&session.access_token()));
        let disable = format!("/v1/admin/users/{}/disable", user_id(&session));
        root.client.post(&disable, &json!({"until": "2026-11-21T10:05:00Z"})).expect(200);
        log_in_with(&server, "ada@example.com", PASSWORD).expect_problem(401, "invalid_credentials");
        server.clock.advance(Duration::from_secs(300));
        phone::log_in(&server, &server.client(), "ada@example.com", &phone);
        assert_eq!(trail(&server, "user_enabled").len(), 1);
    }

    fn a_deleted_user_is_not_enabled_but_restored(backend) {
        let server = start(backend);
        let root = admin(&server);
        let path = format!("/v1/admin/users/{}", user_id(&server.client().register("ada@example.com")));
        root.client.delete(&path).expect(204);
        root.client.post_empty(&format!("{path}/enable")).expect_problem(409, "user_disabled");
        assert_eq!(trail(&server, "user_enabled").len(), 0);
        root.client.post_empty(&format!("{path}/restore")).expect(200);
        root.client.post_empty(&format!("{path}/enable")).expect(200);
    }

    fn when_the_time_is_over_an_administrator_may_act_for_them(backend) {
        let server = start(backend);
        let root = admin(&server);
        let path = format!("/v1/admin/users/{}", user_id(&server.client().register("ada@example.com")));
        root.client.post(&format!("{path}/disable"), &json!({"until": "2026-11-21T10:05:00Z"})).expect(200);
        root.client.post_empty(&format!("{path}/impersonate")).expect_problem(409, "user_disabled");
        server.clock.advance(Duration::from_secs(300));
        let acting = root.client.post_empty(&format!("{path}/impersonate")).expect(200).access_token();
        server.client().bearer(&acting).get("/v1/auth/me").expect(200);
    }
}
