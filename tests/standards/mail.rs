//! P11, L9, L13, T5, T9: what depends on mail.

use std::time::{Duration, Instant};

use signet::config::{Config, HashingConfig, Registration};

use crate::support::mailbox::{self, Mailbox};
use crate::support::{Answer, Backend, PASSWORD, Server, json, on_both, token};

const NEW: &str = "a wholly other phrase";

/// An active user, a disabled one, and nobody.
const WHO: [&str; 3] = ["ada@example.com", "off@example.com", "nobody@example.com"];

fn with_users(backend: Backend, change: impl FnOnce(&mut Config)) -> Server {
    let server = Server::start_with(backend, |config| {
        mailbox::into_folder(config);
        change(config);
    });
    for email in &WHO[..2] {
        server.execute("UPDATE users SET is_verified = true");
        let body = json!({"email": email, "password": PASSWORD});
        assert!(server.client().post("/v1/auth/register", &body).status < 300);
    }
    server.execute("UPDATE users SET is_verified = true");
    server.execute("UPDATE users SET is_active = false WHERE email = 'off@example.com'");
    server
}

fn forgot(server: &Server, email: &str) -> Answer {
    server.client().with("x-request-id", "same").post("/v1/auth/forgot-password", &json!({"email": email}))
}

fn register(server: &Server, email: &str) -> Answer {
    let body = json!({"email": email, "password": PASSWORD});
    server.client().with("x-request-id", "same").post("/v1/auth/register", &body)
}

/// All that the caller can see of an answer, but the date.
fn visible(answer: &Answer) -> (u16, String, Vec<String>) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date");
    let mut headers: Vec<_> = headers.map(|header| format!("{header:?}")).collect();
    headers.sort();
    (answer.status, answer.text.clone(), headers)
}

on_both! {
    fn p11_asking_for_a_reset_says_the_same_to_all_and_does_the_same_work(backend) {
        let server = with_users(backend, |_| {});
        let name = "signet_database_transaction_duration_seconds_count{name=\"account.request_mail\"}";
        let work = || [name, "signet_hash_duration_seconds_count"].map(|name| server.metric(name));
        let mut seen = Vec::new();
        for email in WHO {
            let before = work();
            seen.push(visible(&forgot(&server, email).expect(202)));
            let after = work();
            assert_eq!([after[0] - before[0], after[1] - before[1]], [1.0, 0.0], "{email}");
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0], seen[2]);
    }

    fn p11_a_reset_token_is_opaque_hashed_works_once_and_for_less_than_an_hour(backend) {
        let server = with_users(backend, |config| config.mail.token_ttl.0 = Duration::from_secs(3600));
        let session = server.client().login("ada@example.com");
        forgot(&server, "ada@example.com").expect(202);
        let token = Mailbox::of(&server).newest("ada@example.com", "reset_password").token();
        assert!(token.len() - "sgp_".len() >= 128 / 6, "at least 128 bits");
        let reset = |token: &str| {
            let body = json!({"token": token, "new_password": NEW});
            server.client().post("/v1/auth/reset-password", &body)
        };
        let answer = reset(&token).expect(204);
        assert!(answer.text.is_empty() && answer.header("set-cookie").is_empty(), "nobody is logged in by it");
        reset(&token).expect_problem(400, "invalid_one_time_token");
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        server.clock.advance(Duration::from_secs(60));
        forgot(&server, "ada@example.com").expect(202);
        let late = Mailbox::of(&server).newest("ada@example.com", "reset_password").token();
        server.clock.advance(Duration::from_secs(3600));
        reset(&late).expect_problem(400, "invalid_one_time_token");
    }

    fn l9_registering_says_the_same_to_all_where_addresses_are_verified(backend) {
        let server = with_users(backend, |config| config.registration = Registration::Verified);
        let hashes = || server.metric("signet_hash_duration_seconds_count");
        let mut seen = Vec::new();
        for email in WHO {
            let before = hashes();
            seen.push(visible(&register(&server, email).expect(202)));
            assert_eq!(hashes(), before + 1.0, "{email}");
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0], seen[2]);
        // Nor does logging in afterwards tell who was there before.
        let login = |email: &str| {
            let body = json!({"email": email, "password": PASSWORD});
            visible(&server.client().with("x-request-id", "same").post("/v1/auth/login", &body).expect(401))
        };
        assert_eq!(login("off@example.com"), login("nobody@example.com"));
    }

    fn l13_a_changed_password_and_a_changed_address_are_told_to_the_user(backend) {
        let server = with_users(backend, |_| {});
        let session = server.client().login("ada@example.com");
        let client = server.client().bearer(&session.access_token());
        let body = json!({"current_password": PASSWORD, "new_password": NEW});
        client.post("/v1/auth/change-password", &body).expect(204);
        let mailbox = Mailbox::of(&server);
        let notice = mailbox.newest("ada@example.com", "password_changed");
        assert!(mailbox::find_token(&notice.text).is_none() && !notice.text.contains(NEW));
        client.post("/v1/auth/change-email", &json!({"new_email": "new@example.com", "password": NEW})).expect(202);
        for (to, template) in [("ada@example.com", "confirm_old_address"), ("new@example.com", "confirm_new_address")] {
            let token = mailbox.newest(to, template).token();
            server.client().post("/v1/auth/change-email/confirm", &json!({"token": token})).expect(200);
        }
        mailbox.newest("ada@example.com", "email_changed");
    }

    fn t5_the_subject_stays_when_the_address_changes(backend) {
        let server = with_users(backend, |_| {});
        let session = server.client().login("ada@example.com");
        let body = json!({"new_email": "new@example.com", "password": PASSWORD});
        server.client().bearer(&session.access_token()).post("/v1/auth/change-email", &body).expect(202);
        let mailbox = Mailbox::of(&server);
        for (to, template) in [("ada@example.com", "confirm_old_address"), ("new@example.com", "confirm_new_address")] {
            let token = mailbox.newest(to, template).token();
            server.client().post("/v1/auth/change-email/confirm", &json!({"token": token})).expect(200);
        }
        let subject = |answer: &Answer| token::decode(&answer.access_token()).1["sub"].clone();
        assert_eq!(subject(&server.client().login("new@example.com")), subject(&session));
        // Whoever has the address now is somebody else.
        let next = register(&server, "ada@example.com").expect(201);
        assert_ne!(subject(&next), subject(&session));
    }

    fn t9_no_one_time_token_is_an_access_token_or_a_refresh_token(backend) {
        let server = with_users(backend, |_| {});
        forgot(&server, "ada@example.com").expect(202);
        let reset = Mailbox::of(&server).newest("ada@example.com", "reset_password").token();
        for token in [reset.clone(), reset.replace("sgp_", "sgr_")] {
            assert!(!token.contains('.'), "no part of it is a header");
            server.client().bearer(&token).get("/v1/auth/me").expect_problem(401, "invalid_token");
            server.client().refresh(&token).expect_problem(401, "invalid_grant");
        }
    }
}

/// The medians of so many answers to each, taken in turns.
fn medians(rounds: usize, ask: impl Fn(usize, &str)) -> Vec<Duration> {
    let mut times = WHO.map(|_| Vec::new());
    for round in 0..rounds {
        for (own, email) in times.iter_mut().zip(WHO) {
            let begun = Instant::now();
            ask(round, email);
            own.push(begun.elapsed());
        }
    }
    let median = |mut own: Vec<Duration>| {
        own.sort();
        own[own.len() / 2]
    };
    times.into_iter().map(median).collect()
}

fn expect_alike(what: &str, medians: &[Duration]) {
    println!(
        "{what}: medians for an account {:?}, a disabled one {:?}, nobody {:?}",
        medians[0], medians[1], medians[2]
    );
    let (fastest, slowest) = (medians.iter().min().expect("three"), medians.iter().max().expect("three"));
    assert!(slowest.as_secs_f64() / fastest.as_secs_f64() < 1.05, "more than 5 % apart");
}

#[test]
#[ignore = "a measurement: takes a minute and a machine of its own"]
fn p11_measured() {
    let server = with_users(Backend::Sqlite, |_| {});
    let measured = medians(400, |_, email| drop(forgot(&server, email).expect(202)));
    expect_alike("forgot-password", &measured);
}

#[test]
#[ignore = "a measurement: takes a minute and a machine of its own"]
fn l9_measured() {
    let server = with_users(Backend::Sqlite, |config| {
        config.registration = Registration::Verified;
        config.hashing = HashingConfig::default();
    });
    // Somebody else each time, but for those who are there.
    let measured = medians(200, |round, email| {
        let email = if email == WHO[2] { format!("nobody{round}@example.com") } else { email.to_owned() };
        drop(register(&server, &email).expect(202));
    });
    expect_alike("register", &measured);
}
