//! `POST /v1/auth/api-keys`.

use super::*;
use crate::support::{PASSWORD, on_both};

on_both! {
    fn a_key_is_answered_once_and_stored_as_a_digest(backend) {
        let (server, client) = world(backend);
        let answer = make_key(&client, "read account");
        assert_eq!(answer.header("cache-control"), "no-store");
        let (body, key) = (answer.json(), answer.text_at("/key"));
        assert!(key.starts_with("sgk_") && key.len() == 74, "{key}");
        assert!(key.starts_with(&answer.text_at("/hint")) && answer.text_at("/hint").len() == 12);
        assert_eq!((&body["name"], &body["scope"]), (&json!("backup"), &json!("account read")));
        assert_eq!((&body["last_used_at"], &body["previous_expires_at"]), (&json!(null), &json!(null)));
        assert_eq!(body["created_at"], "2026-11-21T10:00:00.123456Z");
        assert_eq!(body["expires_at"], "2027-02-19T10:00:00.123456Z", "90 days");
        let page = client.get("/v1/auth/api-keys").expect(200);
        assert!(!page.text.contains(&key) && page.text.contains(&answer.text_at("/id")));
        assert_eq!(server.audited("api_key_created"), 1);

        use base64::Engine;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&key[4..]).expect("base64url");
        let secret: String = bytes[16..48].iter().map(|byte| format!("{byte:02x}")).collect();
        let stored = match backend {
            Backend::Postgres => "SELECT row_to_json(api_keys)::text AS value FROM api_keys",
            Backend::Sqlite => "SELECT lower(hex(handle) || hex(secret_digest) || name || scope) AS value FROM api_keys",
        };
        let stored = server.query_text(stored);
        assert!(!stored.contains(&secret[..16]) && !stored.contains(&secret[48..]), "{stored}");
    }

    fn a_key_may_a_part_of_what_its_maker_may(backend) {
        let (server, client) = world(backend);
        let refused = |client: &Client, scope: &str| {
            let body = json!({"name": "x", "scope": scope});
            client.post("/v1/auth/api-keys", &body).expect_problem(422, "invalid_field").field_errors()
        };
        let scope = |code: &str| vec![("scope".to_owned(), code.to_owned())];
        assert_eq!(refused(&client, "read unknown"), scope("not_granted"));
        assert_eq!(refused(&client, "account admin"), scope("reserved"));
        assert_eq!(refused(&client, " "), scope("too_short"));
        assert_eq!(refused(&client, "a\"b"), scope("malformed"));
        make_key(&client, "write");
        // The roles count as they are now.
        server.set_roles(EMAIL, "user");
        assert_eq!(refused(&client, "write"), scope("not_granted"));
        // An administrator may administer, and their keys may not.
        server.set_roles(EMAIL, "admin");
        let admin = server.client().bearer(&server.client().login(EMAIL).access_token());
        assert_eq!(refused(&admin, "admin"), scope("reserved"));
    }

    fn everything_wrong_with_a_key_to_be_is_said_at_once(backend) {
        let (server, client) = world(backend);
        let body = json!({"name": " ", "scope": 7, "expires_in": -1, "key": "sgk_mine"});
        let answer = client.post("/v1/auth/api-keys", &body).expect_problem(422, "invalid_field");
        let mut errors = answer.field_errors();
        errors.sort();
        let expected = [("expires_in", "out_of_range"), ("key", "unknown"), ("name", "too_short"), ("scope", "wrong_type")];
        assert_eq!(errors, expected.map(|(field, code)| (field.to_owned(), code.to_owned())));
        for (expires_in, code) in [(json!(0), "out_of_range"), (json!(366 * 86_400), "out_of_range"), (json!("90d"), "wrong_type"), (json!(1.5), "out_of_range")] {
            let body = json!({"name": "x", "scope": "read", "expires_in": expires_in});
            let answer = client.post("/v1/auth/api-keys", &body).expect_problem(422, "invalid_field");
            assert_eq!(answer.field_errors(), [("expires_in".to_owned(), code.to_owned())], "{expires_in}");
        }
        assert_eq!(server.count("api_keys"), 0);
    }

    fn of_many_keys_at_once_no_more_are_made_than_one_may_have(backend) {
        let server = Server::start_with(backend, |config| config.api_keys.max_per_user = 5);
        let session = server.client().register(EMAIL);
        let client = server.client().bearer(&session.access_token());
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..12)
                .map(|n| {
                    let client = &client;
                    let body = json!({"name": format!("key {n}"), "scope": "account"});
                    scope.spawn(move || client.post("/v1/auth/api-keys", &body).status)
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 5, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
        assert_eq!(server.count("api_keys"), 5);
        assert_eq!(server.audited("api_key_created"), 5);
        let body = json!({"name": "one more", "scope": "account"});
        client.post("/v1/auth/api-keys", &body).expect_problem(409, "api_key_limit");
        // What has ended does not count, and nor does what others have.
        let id = client.get("/v1/auth/api-keys").expect(200).text_at("/api_keys/0/id");
        client.delete(&format!("/v1/auth/api-keys/{id}")).expect(204);
        client.post("/v1/auth/api-keys", &body).expect(201);
        server.clock.advance(90 * DAY);
        let client = server.client().bearer(&server.client().login(EMAIL).access_token());
        client.post("/v1/auth/api-keys", &body).expect(201);
        let other = server.client().register("bob@example.com");
        server.client().bearer(&other.access_token()).post("/v1/auth/api-keys", &body).expect(201);
    }

    fn keys_outlive_log_outs_and_a_new_password(backend) {
        let (server, client) = world(backend);
        let key = make_key(&client, "account").text_at("/key");
        let change = json!({"current_password": PASSWORD, "new_password": "a wholly other phrase"});
        client.post("/v1/auth/change-password", &change).expect(204);
        client.post("/v1/auth/logout", &json!({"all": true})).expect(204);
        with_key(&server, &key).get("/v1/auth/me").expect(200);
    }
}
