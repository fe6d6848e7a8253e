//! JSON in and out: the body of a refresh, parsed as the service parses it, and the answer, as it is written.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use criterion::{Criterion, criterion_group, criterion_main};
use signet::access::role::Roles;
use signet::access::scope::Scope;
use signet::account::UserId;
use signet::clock::Clock;
use signet::config::Config;
use signet::http::body::{Fields, FromFields};
use signet::session::refresh::Request;
use signet::session::token::RefreshToken;
use signet::session::{Grant, SessionId};
use signet::token::issue::{Issuer, Tokens};
use signet::token::key_file;
use signet::token::keyring::Keyring;

criterion_group!(benches, json);
criterion_main!(benches);

fn json(criterion: &mut Criterion) {
    let body = format!(r#"{{"refresh_token":"{}"}}"#, *RefreshToken::generate().to_text());
    let tokens = tokens();
    let mut group = criterion.benchmark_group("json");
    group.bench_function("in", |b| {
        b.iter(|| {
            let mut fields = Fields::parse(black_box(body.as_bytes())).expect("an object");
            Request::from_fields(&mut fields).expect("the fields of a refresh")
        });
    });
    group.bench_function("out", |b| b.iter(|| serde_json::to_vec(black_box(&tokens)).expect("plain data")));
    group.finish();
}

/// What a refresh is answered with.
fn tokens() -> Tokens {
    let key = key_file::parse(&key_file::generate(), "a.pem").expect("our own key");
    let ring = Arc::new(ArcSwap::from_pointee(Keyring::new(vec![key], Duration::from_secs(900))));
    let config = Config { issuer: "https://id.example.com".to_owned(), ..Config::default() };
    let now = Clock::system().now();
    let grant = Grant {
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
    };
    Issuer::new(&config, ring).tokens(&grant, None, None).expect("a key may sign")
}
