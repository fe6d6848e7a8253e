//! Whoever guesses, sprays and floods, and whoever only wants to log in meanwhile. `simulation` makes the table of
//! `docs/abuse.md`.

mod devices;
mod factors;
mod guesses;
mod registrations;
mod shared;
mod simulation;
mod sources;
mod timing;

use std::time::Duration;

use signet::config::{Config, Period};

use crate::support::{Answer, Backend, Client, PASSWORD, Server, json};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The limits as they come, behind a proxy that names each client.
fn behind_a_proxy(backend: Backend) -> Server {
    behind_a_proxy_with(backend, |_| {})
}

fn behind_a_proxy_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Server {
    Server::start_with(backend, |config| {
        config.public.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        // How fast the machine is today is not the question.
        config.database.max_wait = Period(Duration::from_secs(30));
        change(config);
    })
}

fn from(server: &Server, address: &str) -> Client {
    server.client().with("x-forwarded-for", address)
}

fn login(client: &Client, email: &str, password: &str) -> Answer {
    client.with("x-request-id", "same").post("/v1/auth/login", &json!({"email": email, "password": password}))
}

/// Guesses until the limit is met: how many were judged, and the refusal.
#[track_caller]
fn guess_until_refused(client: &Client, email: &str) -> (u32, Answer) {
    for judged in 0..1_000 {
        let answer = login(client, email, "not the password");
        if answer.status == 429 {
            return (judged, answer);
        }
        answer.expect_problem(401, "invalid_credentials");
    }
    panic!("never refused");
}

/// All that a client can see of an answer, whenever it is given.
fn visible(answer: &Answer) -> (u16, Vec<String>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date");
    let mut headers: Vec<String> = headers.map(|header| format!("{header:?}")).collect();
    headers.sort();
    (answer.status, headers, answer.text.clone())
}

fn hashes(server: &Server) -> f64 {
    server.metric("signet_hash_duration_seconds_count")
}

fn throttled(server: &Server, limit: &str) -> f64 {
    server.metric(&format!("signet_throttled_total{{limit=\"{limit}\"}}"))
}
