//! Tokens issued and verified, beside the raw signature that neither can be faster than.
//!
//! `raw` is aws-lc-rs with a key that was parsed once; `jsonwebtoken` that library as it comes, with claims and keys like
//! ours; `ours` the whole answer to a refresh and the whole check of a bearer token, as the service does them.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair, UnparsedPublicKey};
use criterion::{Criterion, criterion_group, criterion_main};
use p256::SecretKey;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use serde_json::Value;
use signet::access::role::Roles;
use signet::access::scope::Scope;
use signet::account::UserId;
use signet::clock::Clock;
use signet::config::Config;
use signet::session::token::RefreshToken;
use signet::session::{Grant, SessionId};
use signet::token::issue::Issuer;
use signet::token::key_file;
use signet::token::keyring::Keyring;
use signet::token::signing::TOKEN_TYPE;
use signet::token::verify::Verifier;

criterion_group!(benches, sign, verify);
criterion_main!(benches);

/// A key, and everything that signs or verifies with it.
struct Bench {
    issuer: Issuer,
    verifier: Verifier,
    grant: Grant,
    raw: EcdsaKeyPair,
    library: LibraryKeys,
}

struct LibraryKeys {
    encoding: jsonwebtoken::EncodingKey,
    decoding: jsonwebtoken::DecodingKey,
    header: jsonwebtoken::Header,
    validation: jsonwebtoken::Validation,
}

impl Bench {
    fn new() -> Self {
        let pem = key_file::generate();
        let key = key_file::parse(&pem, "a.pem").expect("our own key");
        let kid = key.kid.clone();
        let ring = Arc::new(ArcSwap::from_pointee(Keyring::new(vec![key], Duration::from_secs(900))));
        let config = Config { issuer: "https://id.example.com".to_owned(), ..Config::default() };
        let pkcs8 = SecretKey::from_pkcs8_pem(&pem).expect("PKCS#8").to_pkcs8_der().expect("a key");
        let raw = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_bytes());
        let raw = raw.expect("a key on P-256");
        Self {
            issuer: Issuer::new(&config, Arc::clone(&ring)),
            verifier: Verifier::new(&config, ring),
            grant: grant(),
            library: LibraryKeys::new(pkcs8.as_bytes(), kid, &raw, &config),
            raw,
        }
    }

    /// An access token of ours.
    fn token(&self) -> String {
        let tokens = self.issuer.tokens(&self.grant, None, None).expect("a key may sign");
        let tokens = serde_json::to_value(&tokens).expect("plain data");
        tokens["access_token"].as_str().expect("a text").to_owned()
    }
}

impl LibraryKeys {
    fn new(pkcs8: &[u8], kid: String, raw: &EcdsaKeyPair, config: &Config) -> Self {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(kid);
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
        validation.set_audience(&[config.audience()]);
        validation.set_issuer(&[&config.issuer]);
        Self {
            encoding: jsonwebtoken::EncodingKey::from_ec_der(pkcs8),
            decoding: jsonwebtoken::DecodingKey::from_ec_der(raw.public_key().as_ref()),
            header,
            validation,
        }
    }
}

fn grant() -> Grant {
    let now = Clock::system().now();
    Grant {
        session_id: SessionId::new(now),
        user_id: UserId::new(now),
        roles: Roles::user(),
        scope: Scope::account(),
        client_id: "signet".to_owned(),
        auth_time: now,
        amr: "pwd".to_owned(),
        granted_at: now,
        refresh_token: RefreshToken::generate(),
        refresh_expires_at: now + Duration::from_secs(7 * 86_400),
    }
}

fn sign(criterion: &mut Criterion) {
    let bench = Bench::new();
    let token = bench.token();
    let (message, _) = token.rsplit_once('.').expect("a token has three parts");
    let claims = claims_of(message);
    let random = SystemRandom::new();
    let mut group = criterion.benchmark_group("sign");
    group.bench_function("raw", |b| b.iter(|| bench.raw.sign(&random, black_box(message.as_bytes())).expect("signs")));
    group.bench_function("jsonwebtoken", |b| {
        let LibraryKeys { header, encoding, .. } = &bench.library;
        b.iter(|| jsonwebtoken::encode(header, black_box(&claims), encoding).expect("signs"));
    });
    group.bench_function("ours", |b| {
        b.iter(|| bench.issuer.tokens(black_box(&bench.grant), None, None).expect("signs"))
    });
    group.finish();
}

fn verify(criterion: &mut Criterion) {
    let bench = Bench::new();
    let token = bench.token();
    let now = bench.grant.granted_at;
    let (message, _) = token.rsplit_once('.').expect("a token has three parts");
    let signature = bench.raw.sign(&SystemRandom::new(), message.as_bytes()).expect("signs");
    let public = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, bench.raw.public_key().as_ref());
    let parsed = public.parse().expect("a point on P-256");
    let mut group = criterion.benchmark_group("verify");
    group.bench_function("raw", |b| {
        b.iter(|| parsed.verify_sig(black_box(message.as_bytes()), signature.as_ref()).expect("verifies"));
    });
    group.bench_function("jsonwebtoken", |b| {
        let LibraryKeys { decoding, validation, .. } = &bench.library;
        b.iter(|| jsonwebtoken::decode::<Value>(black_box(&token), decoding, validation).expect("verifies"));
    });
    group.bench_function("ours", |b| b.iter(|| bench.verifier.verify(black_box(&token), now).expect("verifies")));
    group.finish();
}

fn claims_of(message: &str) -> Value {
    use base64::Engine;
    let (_, claims) = message.split_once('.').expect("a header and claims");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    serde_json::from_slice(&bytes).expect("claims")
}
