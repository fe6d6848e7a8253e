//! What `/metrics` says: nothing that a stranger chose, everything from zero, and the time as it is.

use std::collections::BTreeSet;
use std::time::Duration;

use signet::token::key_file;

use crate::support::server::START;
use crate::support::{Backend, PASSWORD, Server, json, on_both, wait};

/// The series that a service has: everything of a line but its value.
fn series(server: &Server) -> BTreeSet<String> {
    let text = server.operator().get("/metrics").expect(200).text;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').expect("a value").0.to_owned()).collect()
}

/// Those of one metric.
fn series_of(server: &Server, name: &str) -> BTreeSet<String> {
    let name = format!("{name}{{");
    series(server).into_iter().filter(|line| line.starts_with(&name)).collect()
}

/// Asks for many things that do not exist, in ways that do not exist; no two waves are alike.
fn hostile_wave(server: &Server, wave: &str) {
    let client = server.client();
    for number in 0..40 {
        let word = format!("{wave}-{number}");
        client.get(&format!("/{word}?{word}=1")).expect(404);
        client.get(&format!("/v1/auth/sessions/{word}"));
        client.delete(&format!("/v1/auth/sessions/{word}")).expect(401);
        client.with(&format!("x-{word}"), &word).with("host", &word).with("user-agent", &word).get("/v1/auth/me");
        client.post("/v1/auth/login", &json!({"email": format!("{word}@example.com"), "password": word, &word: 1}));
        client.refresh(&word).expect(401);
        client.form("/oauth2/token", &[("grant_type", &word), ("client_id", &word), ("scope", &word)]);
        let request = format!("{} /{word} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", word.to_uppercase());
        client.raw(request.as_bytes(), Duration::from_secs(2));
        server.operator().get(&format!("/metrics/{word}")).expect(404);
    }
}

on_both! {
    fn strangers_make_no_series_of_their_own(backend) {
        let server = Server::start(backend);
        let quiet = series(&server).len();
        hostile_wave(&server, "first");
        let after_one = series(&server);
        hostile_wave(&server, "second");
        let after_two = series(&server);
        assert_eq!(after_two.difference(&after_one).collect::<Vec<_>>(), Vec::<&String>::new());
        assert!(after_one.len() < quiet + 150, "{quiet} before, {} after", after_one.len());
        // Of each route its statuses, and the buckets of its time.
        let most = 40 * signet::routes::PUBLIC.len();
        assert!(after_two.len() < most, "{} of {most}", after_two.len());
    }

    fn every_outcome_is_known_before_it_happens(backend) {
        let server = Server::start(backend);
        let metrics = ["signet_registrations_total", "signet_logins_total", "signet_refreshes_total", "signet_database_failures_total", "signet_keys"];
        let before = metrics.map(|name| series_of(&server, name));
        let client = server.client();
        let login = |email: &str, password: &str| client.post("/v1/auth/login", &json!({"email": email, "password": password}));
        let credentials = json!({"email": "ada@example.com", "password": PASSWORD});

        let first = client.register("ada@example.com");
        client.post("/v1/auth/register", &credentials).expect(409);
        login("ada@example.com", "not my password").expect(401);
        login("bob@example.com", PASSWORD).expect(401);
        let second = client.refresh(&first.refresh_token()).expect(200);
        client.refresh(&first.refresh_token()).expect(200); // repeated
        server.clock.advance(Duration::from_secs(60));
        client.refresh(&first.refresh_token()).expect(200); // recovered
        client.refresh(&second.refresh_token()).expect(401); // reused
        client.refresh(&second.refresh_token()).expect(401); // revoked
        client.refresh("mangled").expect(401);
        let form = |token: &str, client_id: &str, scope: &str| {
            client.form("/oauth2/token", &[("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", client_id), ("scope", scope)])
        };
        form("mangled", "signet", "account").expect(400);
        let third = client.login("ada@example.com").refresh_token();
        form(&third, "somebody", "account").expect(400); // other_client
        form(&third, "signet", "account more").expect(400); // scope_exceeded
        server.execute("ALTER TABLE sessions RENAME TO gone");
        login("ada@example.com", PASSWORD).expect(503);
        client.refresh(&third).expect(503);
        client.post("/v1/auth/register", &json!({"email": "eve@example.com", "password": PASSWORD})).expect(503);
        server.execute("ALTER TABLE gone RENAME TO sessions");
        server.execute("UPDATE users SET is_active = false");
        login("ada@example.com", PASSWORD).expect(401);
        client.refresh(&third).expect(401); // disabled
        server.clock.advance(Duration::from_secs(31 * 86400));
        client.refresh(&third).expect(401); // expired
        server.execute("DELETE FROM sessions");
        client.refresh(&third).expect(401); // unknown

        let counted = |metric: &str, label: &str, value: &str| server.metric(&format!("{metric}{{{label}=\"{value}\"}}"));
        for (outcome, times) in [
            ("rotated", 1.0), ("repeated", 1.0), ("recovered", 1.0), ("reused", 1.0), ("revoked", 1.0), ("mangled", 2.0),
            ("other_client", 1.0), ("scope_exceeded", 1.0), ("internal", 0.0), ("disabled", 1.0), ("expired", 1.0),
            ("unknown", 1.0), ("overloaded", 0.0), ("unavailable", 1.0),
        ] {
            assert_eq!(counted("signet_refreshes_total", "outcome", outcome), times, "{outcome}");
        }
        for (outcome, times) in [
            ("success", 1.0), ("wrong_password", 1.0), ("unknown_user", 1.0), ("disabled", 1.0), ("changed_meanwhile", 0.0),
            ("internal", 0.0), ("overloaded", 0.0), ("unavailable", 1.0),
        ] {
            assert_eq!(counted("signet_logins_total", "outcome", outcome), times, "{outcome}");
        }
        for (outcome, times) in [("success", 1.0), ("email_taken", 1.0), ("unavailable", 1.0)] {
            assert_eq!(counted("signet_registrations_total", "outcome", outcome), times, "{outcome}");
        }
        assert_eq!(counted("signet_database_failures_total", "kind", "schema"), 3.0);
        assert_eq!(server.metric("signet_token_reuse_total"), 1.0);
        assert_eq!(metrics.map(|name| series_of(&server, name)), before, "nothing that happened made a series");
    }

    fn a_superseded_token_at_logout_is_a_reuse_too(backend) {
        let server = Server::start_with(backend, |config| {
            config.session.grace = signet::config::Period(Duration::ZERO);
            config.session.recovery = Some(signet::config::Period(Duration::ZERO));
        });
        let logout = |token: &str, all: bool| server.client().post("/v1/auth/logout", &json!({"refresh_token": token, "all": all}));
        for (all, status, so_far) in [(false, 204, 1.0), (true, 401, 2.0)] {
            let first = server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD}));
            let first = if first.status == 200 { first } else { server.client().register("ada@example.com") };
            server.client().refresh(&first.refresh_token()).expect(200);
            logout(&first.refresh_token(), all).expect(status);
            logout(&first.refresh_token(), false).expect(204);
            assert_eq!(server.metric("signet_token_reuse_total"), so_far);
            assert_eq!(server.audited("authn_token_reuse") as f64, so_far);
        }
    }

    fn every_foreseen_answer_of_a_route_is_there_from_the_start(backend) {
        let server = Server::start(backend);
        let text = server.operator().get("/metrics").expect(200).text;
        for line in [
            "signet_http_requests_total{method=\"POST\",route=\"/v1/auth/login\",status=\"200\"} 0",
            "signet_http_requests_total{method=\"POST\",route=\"/v1/auth/login\",status=\"503\"} 0",
            "signet_http_requests_total{method=\"POST\",route=\"/oauth2/token\",status=\"400\"} 0",
            "signet_http_requests_total{method=\"GET\",route=\"/health/ready\",status=\"503\"} 0",
            "signet_http_requests_total{method=\"GET\",route=\"/.well-known/jwks.json\",status=\"304\"} 0",
            "signet_http_request_duration_seconds_count{method=\"DELETE\",route=\"/v1/auth/sessions/{id}\"} 0",
            "signet_hash_threads 1",
            "signet_draining 0",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is not in\n{text}");
        }
    }

    fn the_age_of_the_keys_is_that_of_the_moment_of_the_scrape(backend) {
        let server = Server::start(backend);
        let ages = || ["signet_key_signing_age_seconds", "signet_key_next_activation_seconds"].map(|name| server.metric(name));
        let [born, next] = ages();
        assert!((0.0..1.0).contains(&born), "the time in the file name has no fraction: {born}");
        assert_eq!(next, f64::INFINITY, "nothing is scheduled");
        server.clock.advance(Duration::from_secs(500));
        assert_eq!(ages()[0], born + 500.0);
        assert!(server.metric("signet_keys_read_age_seconds") <= 500.0);
    }

    fn the_next_key_comes_nearer_and_takes_over(backend) {
        let server = Server::start_with(backend, |config| {
            key_file::create(&config.keys.dir, START, Duration::from_secs(3600)).expect("a second key");
        });
        let state = |name: &str| server.metric(&format!("signet_keys{{state=\"{name}\"}}"));
        let next = || server.metric("signet_key_next_activation_seconds");
        let far = next();
        assert!((3598.0..=3601.0).contains(&far), "{far}");
        assert_eq!((state("signing"), state("scheduled"), state("retained")), (1.0, 1.0, 0.0));
        server.clock.advance(Duration::from_secs(1000));
        assert_eq!(next(), far - 1000.0);
        server.clock.advance(Duration::from_secs(2602));
        assert_eq!(next(), f64::INFINITY);
        assert_eq!((state("signing"), state("scheduled"), state("retained")), (1.0, 0.0, 1.0));
        assert!(server.metric("signet_key_signing_age_seconds") < 5.0);
    }
}

#[test]
fn a_key_whose_name_is_no_time_has_signed_since_ever() {
    let server = Server::start_with(Backend::Sqlite, |config| {
        let named =
            std::fs::read_dir(&config.keys.dir).expect("the keys").next().expect("one").expect("readable").path();
        std::fs::rename(&named, config.keys.dir.join("signing.pem")).expect("renamed");
    });
    assert_eq!(server.metric("signet_key_signing_age_seconds"), f64::INFINITY);
}

#[test]
fn a_folder_that_cannot_be_read_shows_in_the_age_of_the_last_good_read() {
    let server = Server::start(Backend::Sqlite);
    std::fs::write(server.config.keys.dir.join("broken.pem"), "-----BEGIN PRIVATE KEY-----\nAAAA").expect("written");
    server.clock.advance(Duration::from_secs(100));
    wait::until("the folder is not read again", || server.metric("signet_key_reload_failures_total") != 0.0);
    assert_eq!(server.metric("signet_keys_read_age_seconds"), 100.0);
}
