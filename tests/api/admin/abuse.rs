//! What a user without the role, an id of nobody's, and a body with more in it than it should have get.

use super::{admin, start, user_id};
use crate::support::{Backend, Client, Value, json, on_both};

/// Every route of one user, with a body that works.
fn on_user(client: &Client, id: &str) -> Vec<(String, crate::support::Answer)> {
    let path = format!("/v1/admin/users/{id}");
    let at = |below: &str| format!("{path}{below}");
    vec![
        (at(""), client.get(&path)),
        (at(" (PATCH)"), client.patch(&path, &json!({"name": "X"}))),
        (at("/sessions"), client.get(&at("/sessions"))),
        (at("/sessions (DELETE)"), client.delete(&at("/sessions"))),
        (at("/disable"), client.post_empty(&at("/disable"))),
        (at("/enable"), client.post_empty(&at("/enable"))),
        (at("/reset-password"), client.post_empty(&at("/reset-password"))),
        (at("/impersonate"), client.post_empty(&at("/impersonate"))),
        (at("/restore"), client.post_empty(&at("/restore"))),
        (at("/reset-mfa"), client.post_empty(&at("/reset-mfa"))),
        (at("/api-keys"), client.get(&at("/api-keys"))),
        (at("/api-keys (POST)"), client.post(&at("/api-keys"), &json!({"name": "x", "scope": "account"}))),
        (at("/api-keys (DELETE)"), client.delete(&at("/api-keys"))),
        (at("/api-keys/{key} (DELETE)"), client.delete(&at("/api-keys/01a1fc6f-48d0-717a-ac6b-fd36c79547f2"))),
        (at("/api-keys/{key}/rotate"), client.post_empty(&at("/api-keys/01a1fc6f-48d0-717a-ac6b-fd36c79547f2/rotate"))),
    ]
}

fn elsewhere(client: &Client) -> Vec<(String, crate::support::Answer)> {
    let body = json!({"email": "new@example.com"});
    vec![
        ("users".to_owned(), client.get("/v1/admin/users")),
        ("users (POST)".to_owned(), client.post("/v1/admin/users", &body)),
        ("invitations".to_owned(), client.post("/v1/admin/invitations", &body)),
        ("statistics".to_owned(), client.get("/v1/admin/statistics")),
        ("keys".to_owned(), client.get("/v1/admin/keys")),
        ("roles".to_owned(), client.get("/v1/admin/roles")),
    ]
}

on_both! {
    fn a_user_reaches_nobody_not_even_themselves(backend) {
        let server = start(backend);
        let root = admin(&server);
        let eve = server.client().register("eve@example.com");
        let ada = server.client().register("ada@example.com");
        let client = server.client().bearer(&eve.access_token());
        let before = server.audit();
        for id in [&user_id(&ada), &root.id, &user_id(&eve)] {
            for (_, answer) in on_user(&client, id) {
                answer.expect_problem(403, "forbidden");
            }
        }
        for (_, answer) in elsewhere(&client) {
            answer.expect_problem(403, "forbidden");
        }
        assert_eq!(server.audit(), before, "nothing was done");
        server.client().refresh(&ada.refresh_token()).expect(200);
    }

    fn whoever_is_not_there_is_not_found(backend) {
        let server = start(backend);
        let root = admin(&server);
        let sid = crate::api::admin::sid(&root.session);
        for id in ["01a1fc6f-48d0-717a-ac6b-fd36c79547f2", "1", "x", "%00", "..%2f..", "'", sid.as_str(), &"a".repeat(500)] {
            for (path, answer) in on_user(&root.client, id) {
                assert_eq!(answer.status, 404, "{path}: {}", answer.text);
            }
        }
    }

    fn no_body_takes_more_than_it_should(backend) {
        let server = start(backend);
        let root = admin(&server);
        let ada = server.client().register("ada@example.com");
        let path = format!("/v1/admin/users/{}", user_id(&ada));
        let before = root.client.get(&path).expect(200).json();
        let more = [
            ("id", json!(root.id)),
            ("password", json!("a wholly other phrase")),
            ("new_password", json!("a wholly other phrase")),
            ("password_hash", json!("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA")),
            ("email_key", json!("x@x")),
            ("access_version", json!(7)),
            ("is_active", json!(false)),
            ("is_admin", json!(true)),
            ("role", json!("admin")),
            ("created_at", json!("2020-01-01T00:00:00Z")),
            ("last_login_at", json!("2020-01-01T00:00:00Z")),
            ("disabled_until", json!("2030-01-01T00:00:00Z")),
            ("__proto__", json!({"roles": ["admin"]})),
        ];
        let disable = format!("{path}/disable");
        for (name, value) in more {
            let with = |mut body: Value| {
                body[name] = value.clone();
                body
            };
            for (way, answer) in [
                ("create", root.client.post("/v1/admin/users", &with(json!({"email": "new@example.com"})))),
                ("change", root.client.patch(&path, &with(json!({"name": "X"})))),
                ("disable", root.client.post(&disable, &with(json!({})))),
                ("invite", root.client.post("/v1/admin/invitations", &with(json!({"email": "new@example.com"})))),
                ("key", root.client.post(&format!("{path}/api-keys"), &with(json!({"name": "x", "scope": "account"})))),
            ] {
                let answer = answer.expect_problem(422, "invalid_field");
                assert_eq!(answer.field_errors(), [(name.to_owned(), "unknown".to_owned())], "{way}");
            }
        }
        let invite = json!({"email": "new@example.com", "roles": ["admin"]});
        root.client.post("/v1/admin/invitations", &invite).expect_problem(422, "invalid_field");
        assert_eq!(root.client.get(&path).expect(200).json(), before);
        assert_eq!(server.count("users"), 2);
        server.client().refresh(&ada.refresh_token()).expect(200);
    }

    fn roles_are_names_and_not_too_many(backend) {
        let server = start(backend);
        let root = admin(&server);
        let path = format!("/v1/admin/users/{}", root.id);
        let many: Vec<String> = (0..17).map(|n| format!("role{n}")).collect();
        for (roles, code) in [
            (json!("admin"), "wrong_type"),
            (json!([1]), "wrong_type"),
            (json!([["admin"]]), "wrong_type"),
            (json!({"$ne": null}), "wrong_type"),
            (json!(["admin user"]), "malformed"),
            (json!(["admin,user"]), "malformed"),
            (json!([""]), "malformed"),
            (json!(["Admin"]), "malformed"),
            (json!(["a".repeat(33)]), "malformed"),
            (json!(many), "too_many"),
        ] {
            let refused = root.client.patch(&path, &json!({"roles": roles})).expect_problem(422, "invalid_field");
            assert_eq!(refused.field_errors(), [("roles".to_owned(), code.to_owned())], "{roles}");
        }
    }
}
