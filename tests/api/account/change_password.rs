//! `POST /v1/auth/change-password`.

use crate::support::{Backend, PASSWORD, Server, json, on_both};

const NEW: &str = "a wholly other phrase";

on_both! {
    fn the_new_password_opens_the_account_and_the_old_one_does_not(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let body = json!({"current_password": PASSWORD, "new_password": NEW});
        let answer = server.client().bearer(&session.access_token()).post("/v1/auth/change-password", &body).expect(204);
        assert_eq!(answer.text, "");
        let login = |password| server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": password}));
        login(PASSWORD).expect_problem(401, "invalid_credentials");
        login(NEW).expect(200);
        assert_eq!(server.audited("authn_password_change"), 1);
    }

    fn every_other_session_ends_and_the_one_that_asked_goes_on(backend) {
        let server = Server::start(backend);
        let other = server.client().register("ada@example.com");
        let asking = server.client().login("ada@example.com");
        let stranger = server.client().register("eve@example.com");
        let body = json!({"current_password": PASSWORD, "new_password": NEW});
        server.client().bearer(&asking.access_token()).post("/v1/auth/change-password", &body).expect(204);
        server.client().refresh(&other.refresh_token()).expect_problem(401, "invalid_grant");
        server.client().bearer(&other.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        server.client().refresh(&asking.refresh_token()).expect(200);
        server.client().refresh(&stranger.refresh_token()).expect(200);
        let reason = "SELECT revoked_reason AS value FROM sessions WHERE revoked_at IS NOT NULL";
        assert_eq!(server.query_text(reason), "password_changed");
    }

    fn a_wrong_current_password_changes_nothing(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let other = server.client().login("ada@example.com");
        let body = json!({"current_password": "something else entirely", "new_password": NEW});
        server.client().bearer(&session.access_token()).post("/v1/auth/change-password", &body)
            .expect_problem(401, "invalid_credentials");
        server.client().login("ada@example.com");
        server.client().refresh(&other.refresh_token()).expect(200);
        assert_eq!(server.audited("authn_password_change_fail"), 1);
        assert_eq!(server.audited("authn_password_change"), 0);
    }

    fn a_new_password_must_be_one_that_registration_would_take(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        for (new, code) in [("short77", "too_short"), ("password123", "too_common"), ("ada@example.com", "too_personal")] {
            let body = json!({"current_password": PASSWORD, "new_password": new});
            let answer = server.client().bearer(&session.access_token()).post("/v1/auth/change-password", &body)
                .expect_problem(422, "invalid_field");
            assert_eq!(answer.field_errors(), [("new_password".to_owned(), code.to_owned())]);
        }
        server.client().login("ada@example.com");
    }
}
