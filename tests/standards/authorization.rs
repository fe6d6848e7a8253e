//! Z: authorisation and operation.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::{Outage, impatient};
use crate::api::api_key::{DAY, exchange, make_key, with_another_secret, with_key, world};
use crate::support::program::Place;
use crate::support::{Backend, PASSWORD, Server, json, on_both, postgres, token, wait};

/// What a route that demands an administrator answers to each of these tokens.
fn ask_as_administrator(server: &Server, tokens: &[&str]) -> Vec<String> {
    let ask = |token: &&str| {
        let client = if token.is_empty() { server.client() } else { server.client().bearer(token) };
        let answer = client.get("/v1/admin/roles");
        answer.json()["code"].as_str().map_or_else(|| answer.status.to_string(), str::to_owned)
    };
    tokens.iter().map(ask).collect()
}

on_both! {
    fn z1_administering_takes_the_role_of_now_and_a_token_that_was_issued_for_it(backend) {
        let server = Server::start(backend);
        let user = server.client().register("ada@example.com").access_token();
        server.client().register("root@example.com");
        let early = server.client().login("root@example.com").access_token();
        server.set_roles("root@example.com", "admin user");
        let admin = server.client().login("root@example.com").access_token();
        let key = make_key(&server.client().bearer(&admin), "account").text_at("/key");
        let exchanged = exchange(&server, &key, &[]).expect(200).access_token();
        let (unknown, no) = ("invalid_token", "forbidden");
        let tokens = ["", "junk", &user, &early, &admin, &key, &exchanged];
        let expected = [unknown, unknown, no, no, "200", no, no];
        assert_eq!(ask_as_administrator(&server, &tokens), expected);
        // A token still says `admin` when the role is gone, and nobody here believes it.
        server.set_roles("root@example.com", "user");
        assert!(token::decode(&admin).1["scope"].as_str().is_some_and(|scope| scope.contains("admin")));
        assert_eq!(ask_as_administrator(&server, &[&admin]), [no]);
        server.set_roles("root@example.com", "admin");
        assert_eq!(ask_as_administrator(&server, &[&admin, &early]), ["200", no]);
    }

    fn z5_a_key_is_256_random_bits_shown_once_kept_as_a_digest_and_ends_in_every_way(backend) {
        let (server, client) = world(backend);
        let keys: BTreeSet<String> = (0..20).map(|_| make_key(&client, "account read").text_at("/key")).collect();
        assert_eq!(keys.len(), 20);
        for key in &keys {
            let bytes = URL_SAFE_NO_PAD.decode(key.strip_prefix("sgk_").expect("a prefix for scanners")).expect("base64url");
            assert_eq!(bytes.len(), 16 + 32 + 4);
            let stored = match backend {
                Backend::Postgres => "SELECT string_agg(encode(secret_digest, 'hex'), ' ') AS value FROM api_keys",
                Backend::Sqlite => "SELECT group_concat(lower(hex(secret_digest)), ' ') AS value FROM api_keys",
            };
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let stored = server.query_text(stored);
            assert!(stored.contains(&hex(&Sha256::digest(&bytes[16..48]))) && !stored.contains(&hex(&bytes[16..48])));
        }
        assert!(keys.iter().all(|key| !client.get("/v1/auth/api-keys?limit=100").expect(200).text.contains(key)));
        // One more is one too many; each ends by being revoked, and all by their time.
        client.post("/v1/auth/api-keys", &json!({"name": "x", "scope": "read"})).expect_problem(409, "api_key_limit");
        let id = client.get("/v1/auth/api-keys?limit=100").expect(200).text_at("/api_keys/0/id");
        client.delete(&format!("/v1/auth/api-keys/{id}")).expect(204);
        let works = || keys.iter().filter(|key| with_key(&server, key).get("/v1/auth/me").status == 200).count();
        assert_eq!(works(), 19);
        let one = keys.iter().find(|key| exchange(&server, key, &[]).status == 200).expect("a key that works");
        let claims = token::decode(&exchange(&server, one, &[("scope", "read")]).expect(200).access_token()).1;
        assert_eq!((&claims["scope"], claims["exp"].as_i64()), (&json!("read"), claims["iat"].as_i64().map(|iat| iat + 900)));
        server.clock.advance(DAY * 90);
        assert_eq!(works(), 0);
    }

    fn z5_hostile_40_a_wrong_secret_and_a_disabled_users_key_are_both_401(backend) {
        let (server, client) = world(backend);
        let key = make_key(&client, "account").text_at("/key");
        let wrong = with_another_secret(&key);
        assert_eq!((&wrong[..20], wrong.len()), (&key[..20], key.len()));
        with_key(&server, &wrong).get("/v1/auth/me").expect_problem(401, "invalid_token");
        server.client().bearer(&wrong).get("/v1/auth/me").expect_problem(401, "invalid_token");
        exchange(&server, &wrong, &[]).expect_oauth(400, "invalid_request");
        with_key(&server, &key).get("/v1/auth/me").expect(200);
        server.execute("UPDATE users SET is_active = false");
        with_key(&server, &key).get("/v1/auth/me").expect_problem(401, "invalid_token");
        exchange(&server, &key, &[]).expect_oauth(400, "invalid_request");
    }
}

#[test]
fn z2_nobody_registers_with_rights_of_their_own_choice() {
    let server = Server::start(Backend::Sqlite);
    for (name, value) in [
        ("role", json!("admin")),
        ("roles", json!(["admin"])),
        ("is_admin", json!(true)),
        ("is_verified", json!(true)),
        ("is_active", json!(true)),
        ("id", json!("00000000-0000-0000-0000-000000000000")),
        ("created_at", json!("2020-01-01T00:00:00Z")),
    ] {
        let mut body = json!({"email": "ada@example.com", "password": PASSWORD});
        body[name] = value;
        let answer = server.client().post("/v1/auth/register", &body).expect_problem(422, "invalid_field");
        assert_eq!(answer.field_errors(), [(name.to_owned(), "unknown".to_owned())]);
    }
    assert_eq!(server.client().register("ada@example.com").json()["user"]["roles"], json!(["user"]));
}

#[test]
fn z3_a_strangers_session_is_not_found() {
    let server = Server::start(Backend::Sqlite);
    let ada = server.client().register("ada@example.com");
    let eve = server.client().register("eve@example.com");
    let sid = token::decode(&ada.access_token()).1["sid"].as_str().expect("a session").to_owned();
    for id in [sid.as_str(), "00000000-0000-0000-0000-000000000000", "x", "%00", "..%2f.."] {
        let path = format!("/v1/auth/sessions/{id}");
        server.client().bearer(&eve.access_token()).delete(&path).expect_problem(404, "not_found");
    }
    let page = server.client().bearer(&eve.access_token()).get(&format!("/v1/auth/sessions?after={sid}")).expect(200);
    assert!(!page.text.contains(&sid));
    server.client().refresh(&ada.refresh_token()).expect(200);
}

on_both! {
    fn z6_without_its_database_the_service_denies(backend) {
        let server = impatient(backend);
        let session = server.client().register("ada@example.com");
        let client = server.client().bearer(&session.access_token());
        let outage = Outage::of(&server);
        // SQLite still reads while somebody else holds its write lock.
        if backend == Backend::Postgres {
            client.get("/v1/auth/me").expect_problem(503, "unavailable");
            client.get("/v1/auth/sessions").expect_problem(503, "unavailable");
            // For two seconds after the last success it may only be busy.
            wait::until("it is still ready", || server.operator().get("/health/ready").status == 503);
            assert_eq!(server.operator().get("/health/ready").expect(503).json()["database"], "unavailable");
        }
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        for answer in [server.client().post("/v1/auth/login", &body), client.patch("/v1/auth/me", &json!({"name": "x"})), client.post_empty("/v1/auth/logout")] {
            assert!(!answer.expect_problem(503, "unavailable").header("retry-after").is_empty());
        }
        server.operator().get("/health/live").expect(200);
        drop(outage);
        wait::until("it does not recover", || client.get("/v1/auth/me").status == 200);
    }
}

#[test]
fn z6_a_database_without_its_schema_is_not_served_from() {
    if !postgres::is_available() {
        return;
    }
    assert!(Place::on(&postgres::empty_database()).fail(&["serve"]).contains("run `signet migrate`"));
}
