//! T: access tokens.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::api::api_key::{EMAIL, exchange, make_key, with_key, world};
use crate::support::program::Place;
use crate::support::{Backend, PASSWORD, Server, Value, json, on_both, token};

/// Header and claims of a fresh token.
fn fresh() -> (Server, Value, Value) {
    let server = Server::start(Backend::Sqlite);
    let (header, claims) = token::decode(&server.client().register("ada@example.com").access_token());
    (server, header, claims)
}

#[test]
fn t1_header_names_algorithm_type_and_key() {
    let (server, header, _) = fresh();
    let jwks = server.client().get("/.well-known/jwks.json").json();
    assert_eq!(header, json!({"alg": "ES256", "typ": "at+jwt", "kid": jwks["keys"][0]["kid"]}), "and nothing else");
}

#[test]
fn t2_every_claim_of_rfc_9068_is_there_in_its_type() {
    let (_server, _, claims) = fresh();
    for name in ["iss", "sub", "aud", "jti", "client_id"] {
        assert!(claims[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {claims}");
    }
    for name in ["exp", "iat"] {
        assert!(claims[name].is_i64(), "{name}: {claims}");
    }
    assert_eq!(claims.get("nbf"), None, "verifiers without leeway refuse it");
}

#[test]
fn t3_a_token_lives_for_fifteen_minutes() {
    let (_server, _, claims) = fresh();
    assert_eq!(claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat"), 900);
}

#[test]
fn t4_the_single_audience_is_a_string() {
    let (server, _, claims) = fresh();
    assert_eq!(claims["aud"], json!(server.url));
}

#[test]
fn t5_the_subject_is_opaque_and_stays() {
    let (server, _, claims) = fresh();
    let again = token::decode(&server.client().login("Ada@Example.com").access_token()).1;
    let other = token::decode(&server.client().register("eve@example.com").access_token()).1;
    assert_eq!(again["sub"], claims["sub"]);
    assert_ne!(other["sub"], claims["sub"]);
    assert!(!claims["sub"].as_str().expect("text").contains("ada"));
}

#[test]
fn t6_scope_is_a_string_and_roles_are_an_array() {
    let server = Server::start_with(Backend::Sqlite, |config| {
        config.oauth.scope = "write account".parse().expect("a scope");
    });
    let claims = token::decode(&server.client().register("ada@example.com").access_token()).1;
    assert_eq!((&claims["scope"], &claims["roles"]), (&json!("account write"), &json!(["user"])));
}

#[test]
fn t7_no_two_tokens_and_no_two_sessions_share_an_id() {
    let (server, _, _) = fresh();
    let (mut ids, mut sids) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..200 {
        let claims = token::decode(&server.client().login("ada@example.com").access_token()).1;
        let jti = claims["jti"].as_str().expect("jti").to_owned();
        assert_eq!(URL_SAFE_NO_PAD.decode(&jti).map(|bytes| bytes.len()), Ok(16), "128 bits");
        ids.insert(jti);
        sids.insert(claims["sid"].as_str().expect("sid").to_owned());
    }
    assert_eq!((ids.len(), sids.len()), (200, 200));
}

#[test]
fn t8_a_token_holds_nothing_personal_by_default() {
    let (_server, _, claims) = fresh();
    let text = claims.to_string();
    for personal in ["ada", "example.com\"", "argon2", "127.0.0.1\""] {
        assert!(!text.contains(personal), "{personal} in {text}");
    }
}

#[test]
fn t9_a_refresh_token_is_opaque_and_verifies_nowhere() {
    let server = Server::start(Backend::Sqlite);
    let refresh_token = server.client().register("ada@example.com").refresh_token();
    assert!(!refresh_token.contains('.'), "no part of it is a header");
    server.client().bearer(&refresh_token).get("/v1/auth/me").expect_problem(401, "invalid_token");
}

#[test]
fn t10_own_endpoints_take_their_own_kind_of_token_only() {
    let (server, header, claims) = fresh();
    let keys = server.config.keys.dir.clone();
    let me = |header: &Value, claims: &Value| {
        server.client().bearer(&token::sign(&keys, header, claims)).get("/v1/auth/me").status
    };
    assert_eq!(me(&header, &claims), 200);
    let with = |value: &Value, name: &str, member: Value| {
        let mut value = value.clone();
        value[name] = member;
        value
    };
    for (name, value) in [("alg", json!("none")), ("typ", json!("JWT")), ("crit", json!(["exp"])), ("kid", json!("x"))]
    {
        assert_eq!(me(&with(&header, name, value), &claims), 401, "{name}");
    }
    let iat = claims["iat"].as_i64().expect("a number");
    for (name, value) in [
        ("iss", json!(format!("{}/", server.url))),
        ("aud", json!("other")),
        ("exp", json!(iat)),
        ("iat", json!(iat + 61)),
    ] {
        assert_eq!(me(&header, &with(&claims, name, value)), 401, "{name}");
    }
}

#[test]
fn t11_the_issuer_does_not_follow_the_host_header() {
    let server = Server::start(Backend::Sqlite);
    let evil = server.client().with("host", "evil.example").with("x-forwarded-host", "evil.example");
    let claims = token::decode(&evil.register("ada@example.com").access_token()).1;
    assert_eq!(claims["iss"], json!(server.url));
    assert!(!evil.get("/.well-known/openid-configuration").expect(200).text.contains("evil"));
}

#[test]
fn t12_a_token_says_when_and_how_the_user_proved_who_they_are() {
    let (server, _, claims) = fresh();
    server.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!((&claims["amr"], &claims["auth_time"]), (&json!(["pwd"]), &claims["iat"]));
    let session = server.client().login("ada@example.com");
    server.clock.advance(std::time::Duration::from_secs(60));
    let refreshed = token::decode(&server.client().refresh(&session.refresh_token()).expect(200).access_token()).1;
    assert_eq!(
        refreshed["auth_time"].as_i64(),
        refreshed["iat"].as_i64().map(|iat| iat - 60),
        "a refresh proves nothing"
    );
}

on_both! {
    fn t13_disabling_and_new_roles_take_effect_at_once_here_and_with_the_next_refresh(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let client = server.client().bearer(&session.access_token());
        let url = &server.config.database.url.0;
        assert!(Place::on(url).run(&["users", "set-role", "ada@example.com", "admin"]).status.success());
        assert_eq!(client.get("/v1/auth/me").expect(200).json()["roles"], json!(["admin"]));
        let next = server.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(token::decode(&next.access_token()).1["roles"], json!(["admin"]));
        assert!(Place::on(url).run(&["users", "disable", "ada@example.com"]).status.success());
        client.get("/v1/auth/me").expect_problem(401, "invalid_token");
        server.client().refresh(&next.refresh_token()).expect_problem(401, "invalid_grant");
    }
}

on_both! {
    fn t13_of_a_key_and_what_it_was_exchanged_for_too(backend) {
        let (server, client) = world(backend);
        let key = make_key(&client, "account write").text_at("/key");
        let token = exchange(&server, &key, &[]).expect(200);
        assert_eq!(token.json()["scope"], "account write");
        let clients = [with_key(&server, &key), server.client().bearer(&token.access_token())];
        server.set_roles(EMAIL, "user");
        assert_eq!(exchange(&server, &key, &[]).expect(200).json()["scope"], "account");
        for client in &clients {
            assert_eq!(client.get("/v1/auth/me").expect(200).json()["roles"], json!(["user"]));
        }
        let url = &server.config.database.url.0;
        assert!(Place::on(url).run(&["users", "disable", EMAIL]).status.success());
        for client in &clients {
            client.get("/v1/auth/me").expect_problem(401, "invalid_token");
        }
        exchange(&server, &key, &[]).expect_oauth(400, "invalid_request");
    }
}

#[test]
fn t14_a_token_is_shorter_than_a_kilobyte() {
    let server = Server::start(Backend::Sqlite);
    assert!(server.client().register("ada@example.com").access_token().len() <= 1_024);
}

#[test]
fn t15_a_token_answer_is_complete_and_never_stored() {
    let server = Server::start_with(Backend::Sqlite, |config| config.oauth.password_grant = true);
    let session = server.client().register("ada@example.com");
    let form = [("grant_type", "password"), ("username", "ada@example.com"), ("password", PASSWORD)];
    let answers = [server.client().login("ada@example.com"), server.client().form("/oauth2/token", &form).expect(200)];
    for answer in answers.into_iter().chain([session]) {
        assert_eq!(answer.header("cache-control"), "no-store");
        let body = answer.json();
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
        assert_eq!(body["scope"], "account");
    }
}
