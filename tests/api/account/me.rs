//! `GET, PATCH /v1/auth/me`.

use crate::support::{Backend, Server, json, on_both};

on_both! {
    fn a_user_sees_themselves(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let me = server.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200);
        assert_eq!(me.json(), session.json()["user"]);
        assert_eq!(me.header("cache-control"), "no-store");
        let head = server.client().bearer(&session.access_token()).send("HEAD", "/v1/auth/me", None, b"").expect(200);
        assert_eq!(head.text, "");
    }

    fn a_user_changes_and_removes_their_name(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let client = server.client().bearer(&session.access_token());
        let changed = client.patch("/v1/auth/me", &json!({"name": "Ada Lovelace"})).expect(200);
        assert_eq!(changed.json()["name"], "Ada Lovelace");
        assert_eq!(client.get("/v1/auth/me").json(), changed.json());
        let removed = client.patch("/v1/auth/me", &json!({"name": null})).expect(200);
        assert_eq!(removed.json()["name"], json!(null));
        assert_eq!(server.audited("user_updated"), 2);
    }

    fn an_empty_change_changes_nothing(backend) {
        let server = Server::start(backend);
        let session = server.client().post("/v1/auth/register", &json!({"email": "ada@x", "password": crate::support::PASSWORD, "name": "Ada"})).expect(201);
        let client = server.client().bearer(&session.access_token());
        let unchanged = client.patch("/v1/auth/me", &json!({})).expect(200);
        assert_eq!(unchanged.json()["name"], "Ada");
        assert_eq!(server.audited("user_updated"), 0);
    }

    fn nothing_but_the_name_can_be_changed(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let client = server.client().bearer(&session.access_token());
        for body in [json!({"email": "eve@x"}), json!({"roles": ["admin"]}), json!({"is_verified": true}), json!({"name": 7})] {
            client.patch("/v1/auth/me", &body).expect_problem(422, "invalid_field");
        }
        assert_eq!(client.get("/v1/auth/me").json(), session.json()["user"]);
    }

    fn a_user_whose_roles_changed_sees_the_new_ones_at_once(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        server.execute("UPDATE users SET roles = 'admin user'");
        let me = server.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200);
        assert_eq!(me.json()["roles"], json!(["admin", "user"]));
    }

    fn a_disabled_users_token_is_refused_at_once(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        server.execute("UPDATE users SET is_active = false");
        server.client().bearer(&session.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
    }
}
