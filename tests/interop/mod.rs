//! Signet as other people's software sees it: real packages at pinned versions, against a service on the real clock.
//!
//! `clients/` holds the programs and the lock files; some of the programs are what the README shows. `install` fetches
//! the packages, once, or says what it had to leave out.

mod actix;
mod authlib;
mod express;
mod fastapi;
mod install;
mod jose;
mod openid_client;
mod process;
mod pyjwt;
mod rotation;
mod sibling;
mod smtp;
mod webhooks;

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::{EncodePublicKey, LineEnding};
use signet::clock::{Clock, Timestamp};
use signet::token::key_file;

use crate::support::{Backend, Server, Value, json, token};

/// Whom the tokens are for: not the issuer, so that no client takes the one for the other.
const AUDIENCE: &str = "https://api.example";

/// Where the pages of a sibling come from.
const PAGES: &str = "http://localhost:8000";

fn service(backend: Backend) -> Server {
    Server::start_on_system_clock(backend, |config| {
        config.audience = AUDIENCE.to_owned();
        config.oauth.password_grant = true;
        config.oauth.public_clients = vec!["web".to_owned()];
        config.public.allowed_origins = vec![PAGES.to_owned()];
    })
}

/// Tokens that nobody may accept, each with what is wrong with it. All but the last few are made with the service's own
/// key, so that nothing but the named fault can be the reason.
fn forgeries(server: &Server, genuine: &str) -> Vec<(&'static str, String)> {
    let (header, claims) = token::decode(genuine);
    let keys = &server.config.keys.dir;
    let with = |claim: &str, value: Value| {
        let mut claims = claims.clone();
        claims[claim] = value;
        token::sign(keys, &header, &claims)
    };
    let without = |claim: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().expect("claims").remove(claim);
        token::sign(keys, &header, &claims)
    };
    let typed = |typ: &str| token::sign(keys, &json!({"alg": "ES256", "typ": typ, "kid": header["kid"]}), &claims);
    let headed = |header: &Value| token::sign(keys, header, &claims);
    let part = |token: &str, index: usize| token.split('.').nth(index).expect("three parts").to_owned();
    let unsigned = headed(&json!({"alg": "none", "typ": "at+jwt", "kid": header["kid"]}));
    let unsigned = format!("{}.{}.", part(&unsigned, 0), part(&unsigned, 1));
    let admin = with("roles", json!(["admin"]));
    let long_ago = json!(Clock::system().now().as_seconds() - 3_600);

    let foreign = tempfile::tempdir().expect("a temporary folder");
    key_file::create(foreign.path(), Timestamp::from_micros(0), Duration::ZERO).expect("a key");

    vec![
        ("expired", with("exp", long_ago)),
        ("other audience", with("aud", json!("https://other.example"))),
        ("other issuer", with("iss", json!("https://evil.example"))),
        ("no expiry", without("exp")),
        ("no audience", without("aud")),
        ("no subject", without("sub")),
        ("no access token", typed("JWT")),
        ("tampered claims", format!("{}.{}.{}", part(genuine, 0), part(&admin, 1), part(genuine, 2))),
        ("signature of another", format!("{}.{}.{}", part(genuine, 0), part(genuine, 1), part(&admin, 2))),
        ("no algorithm", unsigned),
        ("public key as secret", sign_with_public_key(server, &header, &claims)),
        ("foreign key", token::sign(foreign.path(), &header, &claims)),
        (
            "unknown key",
            token::sign(foreign.path(), &json!({"alg": "ES256", "typ": "at+jwt", "kid": "unknown"}), &claims),
        ),
        ("no token", "junk".to_owned()),
    ]
}

/// HS256 with what everybody knows: accepted by a verifier that lets the token choose the algorithm.
fn sign_with_public_key(server: &Server, header: &Value, claims: &Value) -> String {
    let public = *token::signing_key(&server.config.keys.dir).verifying_key();
    let pem = public.to_public_key_pem(LineEnding::LF).expect("a public key");
    let mut forged = Header::new(Algorithm::HS256);
    forged.typ = Some("at+jwt".to_owned());
    forged.kid = header["kid"].as_str().map(str::to_owned);
    jsonwebtoken::encode(&forged, claims, &EncodingKey::from_secret(pem.as_bytes())).expect("a token")
}

/// What a program said about each token: one line of JSON each.
fn answers(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}
