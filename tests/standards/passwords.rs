//! P: passwords.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signet::config::{Config, HashingConfig, Period};

use super::at_once;
use crate::support::{Answer, Backend, PASSWORD, Server, json, on_both, wait};

const NEW: &str = "a wholly other phrase";

fn register(server: &Server, email: &str, password: &str) -> Answer {
    server.client().post("/v1/auth/register", &json!({"email": email, "password": password}))
}

fn login(server: &Server, email: &str, password: &str) -> Answer {
    server.client().post("/v1/auth/login", &json!({"email": email, "password": password}))
}

#[test]
fn p1_the_minimum_length_is_eight_or_as_configured() {
    let server = Server::start(Backend::Sqlite);
    register(&server, "ada@example.com", "seven77").expect_problem(422, "invalid_field");
    register(&server, "ada@example.com", "eight8ei").expect(201);
    let strict = Server::start_with(Backend::Sqlite, |config| config.password.min_length = 15);
    register(&strict, "ada@example.com", "fourteen chars").expect_problem(422, "invalid_field");
    register(&strict, "ada@example.com", "fifteen letters").expect(201);
}

#[test]
fn p2_a_long_password_counts_to_its_last_character_and_a_huge_one_is_refused_unhashed() {
    let server = Server::start(Backend::Sqlite);
    let long = "correct horse battery staple ".repeat(5)[..127].to_owned();
    register(&server, "ada@example.com", &format!("{long}a")).expect(201);
    login(&server, "ada@example.com", &format!("{long}b")).expect_problem(401, "invalid_credentials");
    login(&server, "ada@example.com", &format!("{long}a")).expect(200);
    let hashed = server.metric("signet_hash_duration_seconds_count");
    login(&server, "ada@example.com", &"x".repeat(10_000)).expect_problem(422, "invalid_field");
    assert_eq!(server.metric("signet_hash_duration_seconds_count"), hashed);
}

#[test]
fn p3_any_characters_are_taken_in_any_composition() {
    let server = Server::start(Backend::Sqlite);
    for (number, password) in
        ["        8 spaces", "пароль мой", "🐎🔋📎🐎🔋📎🐎🔋", "lowercaseonly", "73152846"].iter().enumerate()
    {
        let email = format!("user{number}@example.com");
        register(&server, &email, password).expect(201);
        login(&server, &email, password).expect(200);
    }
}

#[test]
fn p4_common_passwords_and_what_is_known_of_the_user_are_refused() {
    let server = Server::start_with(Backend::Sqlite, |config| config.issuer = "https://id.acme.example".to_owned());
    for (password, code) in [
        ("password1", "too_common"),
        ("iloveyou2", "too_common"),
        ("qwertyuiop", "too_common"),
        ("PASSWORD123", "too_common"),
        ("ada.lovelace", "too_personal"),
        ("Ada.Lovelace1", "too_personal"),
        ("lovelace-ada", "too_personal"),
        ("acme2026!", "too_personal"),
        ("signet123!", "too_personal"),
    ] {
        let answer = register(&server, "ada.lovelace@example.com", password).expect_problem(422, "invalid_field");
        assert_eq!(answer.field_errors(), [("password".to_owned(), code.to_owned())], "{password}");
    }
}

#[test]
fn p6_the_two_spellings_of_an_accent_are_one_password_and_nothing_else_is_altered() {
    let server = Server::start(Backend::Sqlite);
    register(&server, "ada@example.com", "cafe\u{301} Au Lait ").expect(201);
    login(&server, "ada@example.com", "caf\u{e9} Au Lait ").expect(200);
    for other in ["café Au Lait", "café au lait ", "cafe Au Lait "] {
        login(&server, "ada@example.com", other).expect_problem(401, "invalid_credentials");
    }
    register(&server, "eve@example.com", "ﬁnancial plan").expect(201);
    login(&server, "eve@example.com", "financial plan").expect_problem(401, "invalid_credentials");
}

#[test]
fn p7_a_password_is_stored_as_argon2id_with_a_salt_of_its_own() {
    let server = Server::start_with(Backend::Sqlite, |config| config.hashing = HashingConfig::default());
    let stored = |email: &str| {
        server.client().register(email);
        server.query_text(&format!("SELECT password_hash AS value FROM users WHERE email = '{email}'"))
    };
    let (ada, eve) = (stored("ada@example.com"), stored("eve@example.com"));
    assert!(ada.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{ada}");
    assert_ne!(ada, eve);
}

#[test]
fn p8_a_hash_is_renewed_when_the_cost_was_raised() {
    let server = Server::start(Backend::Sqlite);
    server.client().register("ada@example.com");
    let stronger = Server::start_beside(&server, server.clock.clone(), |config| config.hashing.iterations = 3);
    stronger.client().login("ada@example.com");
    assert!(server.query_text("SELECT password_hash AS value FROM users").contains(",t=3,"));
}

on_both! {
    fn p8_log_ins_that_renew_a_hash_at_once_all_succeed(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        let stronger = Server::start_beside(&server, server.clock.clone(), |config| {
            config.hashing.iterations = 2;
            config.hashing.threads = 4;
        });
        let statuses = at_once(12, |_| login(&stronger, "ada@example.com", PASSWORD).status);
        assert_eq!(statuses, [200; 12]);
        assert_eq!(server.audited("authn_login_fail"), 0);
    }

    fn p9_a_change_needs_the_current_password_and_ends_the_other_sessions(backend) {
        let server = Server::start(backend);
        let other = server.client().register("ada@example.com");
        let asking = server.client().login("ada@example.com");
        let change = |current: &str| {
            let body = json!({"current_password": current, "new_password": NEW});
            server.client().bearer(&asking.access_token()).post("/v1/auth/change-password", &body)
        };
        change("not the password").expect_problem(401, "invalid_credentials");
        server.client().refresh(&other.refresh_token()).expect(200);
        change(PASSWORD).expect(204);
        server.client().bearer(&other.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        server.client().refresh(&asking.refresh_token()).expect(200);
    }

    fn p10_too_many_log_ins_are_told_to_come_back_and_everything_else_goes_on(backend) {
        let server = Server::start_with(backend, |config| {
            config.hashing = HashingConfig { threads: 1, max_wait: Period(Duration::from_millis(200)), ..HashingConfig::default() };
        });
        let session = server.client().register("ada@example.com");
        let mut refresh_token = session.refresh_token();
        std::thread::scope(|scope| {
            let logins = scope.spawn(|| at_once(40, |_| login(&server, "ada@example.com", PASSWORD)));
            let (mut rounds, mut slowest) = (0, Duration::ZERO);
            while !logins.is_finished() || rounds < 3 {
                let begun = Instant::now();
                server.client().get("/.well-known/jwks.json").expect(200);
                server.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200);
                refresh_token = server.client().refresh(&refresh_token).expect(200).refresh_token();
                (rounds, slowest) = (rounds + 1, slowest.max(begun.elapsed()));
            }
            assert!(slowest < Duration::from_secs(60), "nothing hangs: {slowest:?}");
            let answers = logins.join().expect("answered");
            for answer in &answers {
                if answer.status != 200 {
                    let busy = answer.clone().expect_problem(503, "overloaded");
                    assert!(busy.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
                }
            }
            let served = answers.iter().filter(|answer| answer.status == 200).count();
            assert!(served < 40, "forty hashes take longer than a fifth of a second");
        });
        // Trying again is what the answer asks for.
        wait::until("it has nothing to do and refuses", || login(&server, "ada@example.com", PASSWORD).status == 200);
    }
}

on_both! {
    fn p10_an_address_that_logs_in_without_end_keeps_nobody_else_from_it(backend) {
        let change = |config: &mut Config| {
            config.hashing = HashingConfig { threads: 1, memory_kib: 65_536, iterations: 3, ..HashingConfig::default() };
            config.public.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
        };
        let first = Server::start_with(backend, change);
        first.client().register("ada@example.com");
        // Machines differ, and so does what else they do: the limit is what thirty log-ins take here and now.
        let begun = Instant::now();
        (0..3).for_each(|_| drop(first.client().login("ada@example.com")));
        let max_wait = Period(begun.elapsed() * 10);
        let server = Server::start_beside(&first, first.clock.clone(), |config| {
            change(config);
            config.hashing.max_wait = max_wait;
        });
        let login = |address: &str| {
            let body = json!({"email": "ada@example.com", "password": PASSWORD});
            server.client().with("x-forwarded-for", address).post("/v1/auth/login", &body)
        };
        let is_over = AtomicBool::new(false);
        let (others, flood) = std::thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let ask = |number: usize| {
                    // One subscriber's network, and not one address only.
                    let answer = login(&format!("2001:db8:1:2::{number:x}"));
                    std::thread::sleep(max_wait.0 / 5);
                    answer
                };
                at_once(60, |number| (0..100).take_while(|_| !is_over.load(Ordering::Relaxed)).map(|_| ask(number)).collect::<Vec<_>>())
            });
            let begun = Instant::now();
            while server.metric("signet_hash_shed_total") < 10.0 && begun.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let others = [1, 2, 3].map(|last| login(&format!("192.0.2.{last}")));
            is_over.store(true, Ordering::Relaxed);
            (others, flood.join().expect("answered").concat())
        });
        for other in others {
            other.expect(200);
        }
        let (served, refused): (Vec<_>, Vec<_>) = flood.into_iter().partition(|answer| answer.status == 200);
        assert!(!served.is_empty(), "it is slowed down and not shut out");
        assert!(refused.len() >= 10, "{} were refused", refused.len());
        for busy in refused {
            busy.expect_problem(503, "overloaded");
        }
    }

    fn p10_an_overload_is_told_before_the_database_is_asked_and_alike_for_known_and_unknown(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        let busy = Server::start_beside(&server, server.clock.clone(), |config| {
            config.hashing = HashingConfig { threads: 1, max_wait: Period(Duration::from_millis(15)), memory_kib: 65_536, iterations: 8, ..HashingConfig::default() };
        });
        let refusal = |email: &str| {
            let client = busy.client().with("x-request-id", "same");
            client.post("/v1/auth/login", &json!({"email": email, "password": PASSWORD}))
        };
        let queries = || busy.metric("signet_database_wait_seconds_count");
        // While the only thread hashes. Where it begins late the job is given up, and where it ends early there is room.
        let seen = (0..50).find_map(|_| std::thread::scope(|scope| {
            let slow = scope.spawn(|| busy.client().post("/v1/auth/register", &json!({"email": "bob@example.com", "password": PASSWORD})));
            std::thread::sleep(Duration::from_millis(20));
            let before = queries();
            let (known, unknown) = (refusal("ada@example.com"), refusal("nobody@example.com"));
            let no_query = queries() == before && !slow.is_finished();
            (no_query && [&known, &unknown].map(|answer| answer.status) == [503; 2]).then_some((known, unknown))
        }));
        let (known, unknown) = seen.expect("once in fifty times the thread is at work all the time, and no refusal costs a query");
        assert_eq!([&known, &unknown].map(|answer| answer.header("retry-after")), ["1"; 2]);
        assert_eq!(known.expect_problem(503, "overloaded").text, unknown.expect_problem(503, "overloaded").text);
    }
}

#[test]
fn p13_a_password_neither_expires_nor_has_a_hint() {
    let server = Server::start(Backend::Sqlite);
    register(&server, "ada@example.com", PASSWORD).expect(201);
    let body = json!({"email": "eve@example.com", "password": PASSWORD, "hint": "horse", "security_question": "x"});
    server.client().post("/v1/auth/register", &body).expect_problem(422, "invalid_field");
    server.clock.advance(Duration::from_secs(10 * 365 * 86_400));
    login(&server, "ada@example.com", PASSWORD).expect(200);
}
