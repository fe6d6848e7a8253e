//! `signet api-keys`: services have keys and no password, and operators end anybody's keys.

use crate::api::api_key::{exchange_at, make_key};
use crate::support::program::Place;
use crate::support::{Backend, PASSWORD, Value, json, on_both, token};

on_both! {
    fn a_service_has_a_key_and_no_password(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path()))
            .with("SIGNET_ROLES__BACKUP", "orders:read")
            .with("SIGNET_API_KEYS__MAX_TTL", "100d");
        place.succeed(&["users", "create", "backup@example.com", "--service", "--role", "backup"]);
        let create = ["api-keys", "create", "backup@example.com", "--name", "nightly", "--scope", "orders:read"];
        let key = place.succeed(&create).trim().to_owned();
        assert!(key.starts_with("sgk_") && key.len() == 74, "{key}");
        assert!(place.fail(&[&create[..5], &["--scope", "orders:write"]].concat()).contains("do not carry"));
        assert!(place.fail(&[&create[..], &["--expires-in", "101d"]].concat()).contains("100d at most"));
        assert_eq!(place.fail(&["api-keys", "list", "nobody@example.com"]), "there is no such user: `signet users list` shows who there is");

        let service = place.serve();
        let client = service.client();
        let exchanged = exchange_at(&client, &key, &[]).expect(200);
        let claims = token::decode(&exchanged.access_token()).1;
        assert_eq!((&claims["scope"], &claims["roles"]), (&json!("orders:read"), &json!(["backup"])));
        for password in ["", PASSWORD, "password"] {
            let body = json!({"email": "backup@example.com", "password": password});
            assert!([401, 422].contains(&client.post("/v1/auth/login", &body).status));
        }
        let listed = place.succeed(&["api-keys", "list", "backup@example.com"]);
        let id = listed.split("  ").next().expect("an id").to_owned();
        assert!(listed.contains("nightly  [orders:read]  until ") && !listed.contains(&key), "{listed}");
        assert_eq!(place.succeed(&["api-keys", "revoke", "backup@example.com", &id]).trim(), "1 API key(s) revoked");
        assert_eq!(place.fail(&["api-keys", "revoke", "backup@example.com", &id]), "there is no such key: `signet api-keys list` shows those that work");
        exchange_at(&client, &key, &[]).expect_oauth(400, "invalid_request");
    }

    fn an_operator_rotates_the_key_of_a_service(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path())).with("SIGNET_ROLES__BACKUP", "orders:read");
        let created = place.succeed(&["users", "create", "backup@service.invalid", "--service", "--role", "backup"]);
        let user = created.split("  ").next().expect("an id").to_owned();
        let create = ["api-keys", "create", &user, "--name", "nightly", "--scope", "orders:read"];
        let key = place.succeed(&create).trim().to_owned();
        let listed: Value = serde_json::from_str(&place.succeed(&["api-keys", "list", &user, "--json"])).expect("one line of JSON");
        let id = listed["id"].as_str().expect("an id").to_owned();
        assert!(place.fail(&["api-keys", "rotate", "nobody@example.com", &id]).starts_with("there is no such key: "));
        assert!(place.fail(&["api-keys", "rotate", &user, &id, "--overlap", "8d"]).contains("at most 7 days"));

        let service = place.serve();
        let client = service.client();
        let second = place.succeed(&["api-keys", "rotate", &user, &id]).trim().to_owned();
        assert!(second.starts_with(&key[..12]) && second != key, "it begins as before");
        exchange_at(&client, &second, &[]).expect(200);
        exchange_at(&client, &key, &[]).expect(200);
        let third = place.succeed(&["api-keys", "rotate", &user, &id, "--overlap", "0s", "--expires-in", "2h"]);
        exchange_at(&client, third.trim(), &[]).expect(200);
        for over in [&key, &second] {
            exchange_at(&client, over, &[]).expect_oauth(400, "invalid_request");
        }
        place.succeed(&["users", "disable", "backup@service.invalid"]);
        let disabled = "the user is disabled: `signet users enable` lets them in again";
        assert_eq!(place.fail(&["api-keys", "rotate", &user, &id]), disabled);
        assert_eq!(place.fail(&create), disabled);
        place.succeed(&["users", "enable", &user]);
        place.succeed(&create);
    }

    fn an_operator_ends_all_keys_of_a_user(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path()));
        let service = place.serve();
        let [ada, eve] = ["ada@example.com", "eve@example.com"]
            .map(|email| service.client().bearer(&service.client().register(email).access_token()));
        let keys = [make_key(&ada, "account"), make_key(&ada, "account")].map(|answer| answer.text_at("/key"));
        let hers = make_key(&eve, "account").text_at("/key");
        assert_eq!(place.succeed(&["api-keys", "revoke", "ada@example.com"]).trim(), "2 API key(s) revoked");
        assert_eq!(place.succeed(&["api-keys", "revoke", "ada@example.com"]).trim(), "0 API key(s) revoked");
        for key in keys {
            service.client().bearer(&key).get("/v1/auth/me").expect_problem(401, "invalid_token");
        }
        service.client().bearer(&hers).get("/v1/auth/me").expect(200);
    }
}
