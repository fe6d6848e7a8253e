//! `DELETE /v1/auth/sessions/{id}`.

use crate::support::{Answer, Backend, Server, on_both, token};

fn sid(answer: &Answer) -> String {
    token::decode(&answer.access_token()).1["sid"].as_str().expect("a session").to_owned()
}

on_both! {
    fn a_user_ends_another_of_their_sessions(backend) {
        let server = Server::start(backend);
        let asking = server.client().register("ada@example.com");
        let ended = server.client().login("ada@example.com");
        let path = format!("/v1/auth/sessions/{}", sid(&ended));
        server.client().bearer(&asking.access_token()).delete(&path).expect(204);
        server.client().refresh(&ended.refresh_token()).expect_problem(401, "invalid_grant");
        server.client().bearer(&ended.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        server.client().refresh(&asking.refresh_token()).expect(200);
        assert_eq!(server.audited("session_revoked"), 1);
        server.client().bearer(&asking.access_token()).delete(&path).expect_problem(404, "not_found");
        assert_eq!(server.audited("session_revoked"), 1);
    }

    fn a_user_may_end_the_session_that_asks(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let client = server.client().bearer(&session.access_token());
        client.delete(&format!("/v1/auth/sessions/{}", sid(&session))).expect(204);
        client.get("/v1/auth/me").expect_problem(401, "invalid_token");
    }

    fn a_strangers_session_is_not_there(backend) {
        let server = Server::start(backend);
        let ada = server.client().register("ada@example.com");
        let eve = server.client().register("eve@example.com");
        let path = format!("/v1/auth/sessions/{}", sid(&ada));
        server.client().bearer(&eve.access_token()).delete(&path).expect_problem(404, "not_found");
        server.client().refresh(&ada.refresh_token()).expect(200);
        assert_eq!(server.audited("session_revoked"), 0);
    }

    fn what_is_no_id_is_not_there(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let client = server.client().bearer(&session.access_token());
        for id in ["x", "%00", "..%2f..", "00000000-0000-0000-0000-000000000000", "%zz", "'%20OR%201=1"] {
            client.delete(&format!("/v1/auth/sessions/{id}")).expect_problem(404, "not_found");
        }
    }
}
