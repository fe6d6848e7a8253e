//! K: keys and the JWKS.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use sha2::{Digest, Sha256};
use signet::clock::Clock;
use signet::config::Period;
use signet::token::key_file;

use super::Outage;
use crate::support::program::Place;
use crate::support::{Backend, Server, Value, json, on_both, token, wait};

const PATH: &str = "/.well-known/jwks.json";
const DAY: Duration = Duration::from_secs(86_400);

/// Waits until a running service publishes that many keys.
fn await_keys(server: &Server, count: usize) -> Value {
    let has_so_many = |jwks: &Value| jwks["keys"].as_array().map(Vec::len) == Some(count);
    let jwks = wait::until_some(|| Some(server.client().get(PATH).expect(200).json()).filter(has_so_many));
    jwks.expect("the folder is read again")
}

fn kid_of(access_token: &str) -> Value {
    token::decode(access_token).0["kid"].clone()
}

#[test]
fn k1_the_jwks_is_answered_directly_to_anybody() {
    let server = Server::start(Backend::Sqlite);
    let answer = server.client().get(PATH).expect(200);
    assert_eq!((answer.header("content-type"), answer.header("location")), ("application/json", ""));
}

#[test]
fn k2_a_key_is_complete_and_its_coordinates_keep_their_leading_zeros() {
    let server = Server::start(Backend::Sqlite);
    // A scalar whose point's x begins with a zero byte, found by trying.
    let scalar = (1_u32..).find(|number| {
        let secret = p256::SecretKey::from_slice(&[[0; 28].as_slice(), &number.to_be_bytes()].concat());
        let point = secret.expect("a scalar").public_key().to_sec1_point(false);
        point.x().expect("a point")[0] == 0
    });
    let scalar = [[0; 28].as_slice(), &scalar.expect("one in 256").to_be_bytes()].concat();
    let secret = p256::SecretKey::from_slice(&scalar).expect("a scalar");
    let pem = secret.to_pkcs8_pem(LineEnding::LF).expect("PEM");
    std::fs::write(server.dir.path().join("keys/zero.pem"), pem.as_bytes()).expect("written");
    let jwks = await_keys(&server, 2);
    for key in jwks["keys"].as_array().expect("keys") {
        for (name, value) in [("kty", "EC"), ("crv", "P-256"), ("use", "sig"), ("alg", "ES256")] {
            assert_eq!(key[name], value);
        }
        assert_eq!((key["x"].as_str().map(str::len), key["y"].as_str().map(str::len)), (Some(43), Some(43)));
        assert_eq!(key.as_object().expect("a key").len(), 7, "and no private member: {key}");
    }
    assert!(
        jwks["keys"].as_array().expect("keys").iter().any(|key| key["x"].as_str().is_some_and(|x| x.starts_with('A')))
    );
}

#[test]
fn k3_the_kid_is_the_thumbprint() {
    let server = Server::start(Backend::Sqlite);
    let key = server.client().get(PATH).json()["keys"][0].clone();
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, key["x"], key["y"]);
    assert_eq!(key["kid"], json!(URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))));
}

#[test]
fn k4_the_jwks_may_be_cached_and_revalidated() {
    let server = Server::start(Backend::Sqlite);
    let answer = server.client().get(PATH).expect(200);
    assert_eq!(answer.header("cache-control"), "public, max-age=300, stale-if-error=3600");
    server.client().with("if-none-match", answer.header("etag")).get(PATH).expect(304);
}

#[test]
fn k5_neither_query_nor_accept_nor_head_disturb() {
    let server = Server::start(Backend::Sqlite);
    let text = server.client().get(PATH).expect(200).text;
    for accept in ["text/html", "application/jwk-set+json", "image/*;q=0"] {
        assert_eq!(server.client().with("accept", accept).get(&format!("{PATH}?kid=x&kid=%00")).expect(200).text, text);
    }
    assert_eq!(server.client().send("HEAD", PATH, None, b"").expect(200).text, "");
}

on_both! {
    fn k6_the_jwks_is_answered_without_a_database(backend) {
        let server = Server::start(backend);
        let text = server.client().get(PATH).expect(200).text;
        let _outage = Outage::of(&server);
        // What jobs ask meanwhile fails as well.
        let is_of_job = |line: &str| ["audit.", "cleanup.", "mail.", "webhook.", "db."].iter().any(|job| line.contains(&format!("{{name=\"{job}")));
        let asked = || {
            let metrics = server.operator().get("/metrics").text;
            let units = metrics.lines().filter(|line| line.starts_with("signet_database_transaction_duration_seconds_count") && !is_of_job(line));
            units.map(str::to_owned).collect::<Vec<_>>()
        };
        let before = asked();
        for _ in 0..100 {
            assert_eq!(server.client().get(PATH).expect(200).text, text);
        }
        assert_eq!(asked(), before, "nothing was asked of it");
    }
}

#[test]
fn k7_any_page_may_read_the_public_documents_and_nothing_else() {
    let server = Server::start(Backend::Sqlite);
    let page = server.client().with("origin", "https://any.example");
    for path in [PATH, "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        assert_eq!(page.get(path).expect(200).header("access-control-allow-origin"), "*");
    }
    for path in ["/v1/auth/me", "/oauth2/token", "/nothing"] {
        assert_eq!(page.get(path).header("access-control-allow-origin"), "");
    }
}

#[test]
fn k8_a_new_key_is_published_a_day_before_it_signs() {
    let server = Server::start(Backend::Sqlite);
    let old = kid_of(&server.client().register("ada@example.com").access_token());
    let keys = server.config.keys.dir.to_str().expect("UTF-8");
    let refused = Place::new().with("SIGNET_KEYS__DIR", keys).fail(&["keys", "new", "--activate-in", "5m"]);
    assert!(refused.contains("15m"), "{refused}");
    let default = Place::new();
    default.succeed(&["keys", "new"]);
    assert!(default.succeed(&["keys", "rotate"]).contains("in 1d"));
    let key = key_file::create(&server.config.keys.dir, server.clock.now(), DAY).expect("a key");
    await_keys(&server, 2);
    assert_eq!(kid_of(&server.client().login("ada@example.com").access_token()), old);
    server.clock.advance(DAY);
    assert_eq!(kid_of(&server.client().login("ada@example.com").access_token()), json!(key.kid));
}

#[test]
fn k9_an_old_key_stays_for_as_long_as_its_tokens_may_live() {
    let server = Server::start(Backend::Sqlite);
    key_file::create(&server.config.keys.dir, server.clock.now(), Duration::from_secs(1_000)).expect("a key");
    await_keys(&server, 2);
    server.clock.advance(Duration::from_secs(999));
    let last = server.client().register("ada@example.com");
    server.clock.advance(Duration::from_secs(800));
    server.client().bearer(&last.access_token()).get("/v1/auth/me").expect(200);
    let published = || server.client().get(PATH).json()["keys"].as_array().map(Vec::len);
    server.clock.advance(DAY - Duration::from_secs(900));
    assert_eq!(published(), Some(2), "a day at least");
    server.clock.advance(Duration::from_secs(101));
    assert_eq!(published(), Some(1));
}

#[test]
fn k9_long_lived_tokens_keep_their_key_for_as_long_and_for_every_copy_of_the_jwks() {
    let server = Server::start_with(Backend::Sqlite, |config| config.token.access_ttl = Period(DAY * 2));
    key_file::create(&server.config.keys.dir, server.clock.now(), Duration::from_secs(1_000)).expect("a key");
    await_keys(&server, 2);
    server.clock.advance(Duration::from_secs(999));
    let last = server.client().register("ada@example.com");
    let published = || server.client().get(PATH).json()["keys"].as_array().map(Vec::len);
    server.clock.advance(DAY * 2 - Duration::from_secs(1));
    server.client().bearer(&last.access_token()).get("/v1/auth/me").expect(200);
    // And then the skew of clocks and what a cache may hold.
    server.clock.advance(Duration::from_secs(1 + 60 + 300));
    assert_eq!(published(), Some(2));
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(published(), Some(1));
}

#[test]
fn k10_what_one_instance_signs_the_other_publishes() {
    let server = Server::start(Backend::Sqlite);
    // The clocks of two machines differ.
    let clock = Clock::manual(server.clock.now() + Duration::from_secs(30));
    let other = Server::start_beside(&server, clock, |_| {});
    server.client().register("ada@example.com");
    key_file::create(&server.config.keys.dir, server.clock.now(), Duration::from_secs(60)).expect("a key");
    await_keys(&server, 2);
    await_keys(&other, 2);
    for _ in 0..4 {
        server.clock.advance(Duration::from_secs(25));
        other.clock.advance(Duration::from_secs(25));
        for (signs, verifies) in [(&server, &other), (&other, &server)] {
            let session = signs.client().login("ada@example.com");
            let jwks = verifies.client().get(PATH).json();
            let kid = kid_of(&session.access_token());
            assert!(jwks["keys"].as_array().expect("keys").iter().any(|key| key["kid"] == kid));
            verifies.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200);
        }
    }
}

#[test]
fn k11_a_key_that_cannot_sign_keeps_the_service_from_starting_in_one_line() {
    const P384: &str =
        "-----BEGIN PRIVATE KEY-----\nMIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDA\n-----END PRIVATE KEY-----\n";
    for (bad, pem) in [
        ("unparsable", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("of another curve", P384),
        ("no PEM", "hello"),
        ("none at all", ""),
    ] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let place = Place::on(&Backend::Sqlite.database(dir.path()));
        std::fs::create_dir(place.path().join("keys")).expect("a folder");
        if !pem.is_empty() {
            std::fs::write(place.path().join("keys/bad.pem"), pem).expect("written");
        }
        let said = place.fail(&["serve"]);
        assert!(said.contains(if pem.is_empty() { "keys" } else { "bad.pem" }), "{bad}: {said}");
        assert!(!said.contains("AAAA"), "{bad}: {said}");
    }
}

#[test]
fn k12_a_broken_file_leaves_the_last_good_keys_and_is_counted() {
    let server = Server::start(Backend::Sqlite);
    let before = server.client().get(PATH).expect(200).text;
    std::fs::write(server.config.keys.dir.join("new.pem"), "-----BEGIN PRIVATE KEY-----\nAAAA").expect("written");
    wait::until("the folder is not read again", || server.metric("signet_key_reload_failures_total") != 0.0);
    assert_eq!(server.client().get(PATH).expect(200).text, before);
    server.client().register("ada@example.com");
    std::fs::remove_file(server.config.keys.dir.join("new.pem")).expect("removed");
    key_file::create(&server.config.keys.dir, server.clock.now(), Duration::from_secs(3_600)).expect("a key");
    await_keys(&server, 2);
}

#[test]
fn k13_keys_are_made_rotated_retired_and_exported_by_commands() {
    let place = Place::new();
    place.succeed(&["keys", "new"]);
    place.succeed(&["keys", "rotate"]);
    let states = || -> Vec<Value> {
        let rows: Vec<Value> =
            serde_json::from_str(&place.succeed(&["keys", "list", "--json"])).expect("a list of objects");
        rows.into_iter().map(|row| row["state"].clone()).collect()
    };
    assert_eq!(states(), ["signing", "scheduled"]);
    assert!(place.succeed(&["keys", "export"]).starts_with("-----BEGIN PUBLIC KEY-----"));
    // Two that were superseded long ago, and one whose tokens may still live.
    let long_ago = |days: u32| Clock::system().now() - DAY * days;
    for days in [30, 20, 10] {
        key_file::create_at(&place.path().join("keys"), long_ago(days)).expect("a key");
    }
    assert_eq!(states(), ["expired", "expired", "retained", "signing", "scheduled"]);
    place.succeed(&["keys", "prune"]);
    assert_eq!(states(), ["retained", "signing", "scheduled"]);
}

#[test]
fn k14_a_leaked_key_is_dropped_by_one_command_which_says_what_verifiers_do_as_the_runbook_does() {
    let place = Place::ready_on_sqlite();
    let service = place.serve();
    let session = service.client().register("ada@example.com");
    let leaked = kid_of(&session.access_token());
    let said = place.succeed(&["keys", "revoke", "--yes", leaked.as_str().expect("a kid")]);
    assert!(said.contains("until they are restarted"), "{said}");
    // Nobody sends a signal.
    wait::until("the folder is not read again", || {
        !service.client().get(PATH).expect(200).text.contains(leaked.as_str().expect("a kid"))
    });
    service.client().bearer(&session.access_token()).get("/v1/auth/me").expect(401);
    let fresh = service.client().refresh(&session.refresh_token()).expect(200).access_token();
    assert_ne!(kid_of(&fresh), leaked);
    service.client().bearer(&fresh).get("/v1/auth/me").expect(200);

    let runbook = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).expect("a page");
    let (_, section) = runbook.split_once("### A signing key has leaked").expect("a runbook");
    let section = section.split("\n## ").next().unwrap_or_default();
    for fact in ["signet keys revoke", "24 h", "restart", "pyjwt-key-fetcher", "aws-jwt-verify"] {
        assert!(section.contains(fact), "{fact}");
    }
}
