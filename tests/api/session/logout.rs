//! `POST /v1/auth/logout`.

use crate::support::{Backend, Server, json, on_both};

on_both! {
    fn an_access_token_ends_its_own_session(backend) {
        let server = Server::start(backend);
        let kept = server.client().register("ada@example.com");
        let ended = server.client().login("ada@example.com");
        let answer = server.client().bearer(&ended.access_token()).post_empty("/v1/auth/logout").expect(204);
        assert_eq!(answer.text, "");
        server.client().refresh(&ended.refresh_token()).expect_problem(401, "invalid_grant");
        server.client().bearer(&ended.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        server.client().refresh(&kept.refresh_token()).expect(200);
        assert_eq!(server.audited("authn_logout"), 1);
    }

    fn a_refresh_token_ends_its_session_and_again_is_a_success(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let body = json!({"refresh_token": session.refresh_token()});
        server.client().post("/v1/auth/logout", &body).expect(204);
        server.client().post("/v1/auth/logout", &body).expect(204);
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        assert_eq!(server.audited("authn_logout"), 1);
        assert_eq!(server.audited("authn_token_reuse"), 0);
    }

    fn all_ends_every_session_of_the_user_and_of_nobody_else(backend) {
        let server = Server::start(backend);
        let first = server.client().register("ada@example.com");
        let second = server.client().login("ada@example.com");
        let third = server.client().login("ada@example.com");
        let stranger = server.client().register("eve@example.com");
        server.client().post("/v1/auth/logout", &json!({"refresh_token": second.refresh_token(), "all": true})).expect(204);
        for ended in [first, second, third] {
            server.client().refresh(&ended.refresh_token()).expect_problem(401, "invalid_grant");
        }
        server.client().refresh(&stranger.refresh_token()).expect(200);
        let again = server.client().login("ada@example.com");
        server.client().bearer(&again.access_token()).post("/v1/auth/logout", &json!({"all": true})).expect(204);
        server.client().refresh(&again.refresh_token()).expect_problem(401, "invalid_grant");
    }

    fn a_dead_token_cannot_speak_for_the_other_sessions(backend) {
        let server = Server::start(backend);
        let kept = server.client().register("ada@example.com");
        let dead = server.client().login("ada@example.com");
        server.client().bearer(&dead.access_token()).post_empty("/v1/auth/logout").expect(204);
        let body = json!({"refresh_token": dead.refresh_token(), "all": true});
        server.client().post("/v1/auth/logout", &body).expect_problem(401, "invalid_grant");
        server.client().refresh(&kept.refresh_token()).expect(200);
    }

    fn a_superseded_token_ends_its_family_as_reused(backend) {
        let server = Server::start(backend);
        let first = server.client().register("ada@example.com");
        let second = server.client().refresh(&first.refresh_token()).expect(200);
        let third = server.client().refresh(&second.refresh_token()).expect(200);
        let other = server.client().login("ada@example.com");
        // Whoever holds it need not be the user, so it cannot speak for the other sessions.
        let all = json!({"refresh_token": first.refresh_token(), "all": true});
        server.client().post("/v1/auth/logout", &all).expect_problem(401, "invalid_grant");
        server.client().refresh(&third.refresh_token()).expect_problem(401, "invalid_grant");
        assert_eq!(server.audited("authn_token_reuse"), 1);
        server.client().post("/v1/auth/logout", &json!({"refresh_token": first.refresh_token()})).expect(204);
        server.client().refresh(&other.refresh_token()).expect(200);
        assert_eq!(server.audited("authn_token_reuse"), 1, "it is over already");
        assert_eq!(server.audited("authn_logout"), 0);
    }

    fn a_superseded_token_that_is_logged_out_ends_its_family(backend) {
        let server = Server::start(backend);
        let first = server.client().register("ada@example.com");
        let second = server.client().refresh(&first.refresh_token()).expect(200);
        let third = server.client().refresh(&second.refresh_token()).expect(200);
        server.client().post("/v1/auth/logout", &json!({"refresh_token": first.refresh_token()})).expect(204);
        server.client().refresh(&third.refresh_token()).expect_problem(401, "invalid_grant");
        assert_eq!(server.audited("authn_token_reuse"), 1);
    }

    fn a_mangled_token_is_refused_and_the_session_lives_on(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let token = session.refresh_token();
        server.client().post("/v1/auth/logout", &json!({"refresh_token": token[..60]})).expect_problem(401, "invalid_grant");
        server.client().refresh(&token).expect(200);
    }

    fn without_any_token_it_is_a_malformed_request(backend) {
        let server = Server::start(backend);
        server.client().post_empty("/v1/auth/logout").expect_problem(400, "invalid_request");
        server.client().post("/v1/auth/logout", &json!({"all": true})).expect_problem(400, "invalid_request");
        server.client().bearer("junk").post_empty("/v1/auth/logout").expect_problem(401, "invalid_token");
    }
}
