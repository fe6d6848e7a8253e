//! `deploy/grafana/signet.json`: a real Prometheus understands every query of every panel, and has an answer to it once
//! the service was used in all the ways that the panels ask about.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signet::config::Period;

use crate::support::prometheus::{self, Prometheus};
use crate::support::{Backend, PASSWORD, Server, Value, json, on_both};

fn dashboard() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/grafana/signet.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the dashboard")).expect("JSON")
}

/// A list within the dashboard.
fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Everything that panels ask about happens, over and over.
fn use_in_every_way(server: &Server, round: u32) {
    let client = server.client();
    let email = format!("user{round}@example.com");
    let login =
        |email: &str, password: &str| client.post("/v1/auth/login", &json!({"email": email, "password": password}));
    let first = client.register(&email);
    client.post("/v1/auth/register", &json!({"email": email, "password": PASSWORD})).expect(409);
    login(&email, PASSWORD).expect(200);
    login(&email, "not my password").expect(401);
    login("nobody@example.com", PASSWORD).expect(401);
    let second = client.refresh(&first.refresh_token()).expect(200);
    client.refresh(&second.refresh_token()).expect(200);
    client.refresh(&first.refresh_token()).expect(401);
    client.refresh("mangled").expect(401);
    client.get("/.well-known/jwks.json").expect(200);
    client.get("/nothing").expect(404);
    server.execute("ALTER TABLE users RENAME TO gone");
    login(&email, PASSWORD).expect(503);
    server.execute("ALTER TABLE gone RENAME TO users");
    server.operator().get("/health/ready").expect(200);
}

/// A query as Grafana would send it. A second between scrapes makes four for a rate.
fn sent(query: &str) -> String {
    let query = query.replace("$__rate_interval", "4s").replace("$job", "signet").replace("$instance", ".*");
    assert!(!query.contains('$'), "a variable that Grafana does not know either: {query}");
    query
}

/// What is wrong with a panel's query: refused, or without a single number to show.
fn fault(prometheus: &Prometheus, query: &str) -> Option<String> {
    let series = match prometheus.query_range(&sent(query), 10) {
        Ok(series) => series,
        Err(refusal) => return Some(refusal),
    };
    let is_number = |point: &Value| point[1].as_str().is_some_and(|value| value != "NaN");
    let has_numbers = series.iter().any(|series| list(series, "values").iter().any(is_number));
    (!has_numbers).then(|| format!("nothing to show: {series:?}"))
}

on_both! {
    fn every_panel_has_something_to_show(backend) {
        if !prometheus::is_available() {
            return;
        }
        let server = Server::start_on_system_clock(backend, |config| {
            config.cleanup.enabled = true;
            config.cleanup.interval = Period(Duration::from_secs(1));
            // It fails to log in as the same user over and over.
            config.throttle.enabled = false;
        });
        let prometheus = Prometheus::scraping(&server.management_url);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Bounded, so that a test that fails ends.
                for round in (0..600).take_while(|_| !done.load(Ordering::SeqCst)) {
                    use_in_every_way(&server, round);
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
            // Six scrapes under load, so that the rates over four seconds are those of a service at work.
            prometheus.await_result("count_over_time(up[10s]) >= 6");
            let dashboard = dashboard();
            let targets = list(&dashboard, "panels").iter().flat_map(|panel| list(panel, "targets").iter().map(move |target| (panel, target)));
            let faults: Vec<String> = targets
                .filter_map(|(panel, target)| {
                    let query = text(target, "expr");
                    Some(format!("{}: {query}: {}", text(panel, "title"), fault(&prometheus, query)?))
                })
                .collect();
            done.store(true, Ordering::SeqCst);
            assert!(faults.is_empty(), "{}", faults.join("\n"));
        });
    }
}

#[test]
fn every_panel_is_described_and_has_a_place_of_its_own() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in list(&dashboard, "panels") {
        let title = text(panel, "title");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: its id is taken");
        let at = |name: &str| panel["gridPos"][name].as_u64().expect("a whole number");
        assert!(at("x") + at("w") <= 24, "{title} is too wide");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        if text(panel, "type") == "row" {
            continue;
        }
        assert!(text(panel, "description").len() > 30, "{title} is not explained");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), "{title} has no unit");
        assert!(!list(panel, "targets").is_empty(), "{title} asks nothing");
        for target in list(panel, "targets") {
            sent(text(target, "expr"));
        }
    }
}

/// The questions that the dashboard is there to answer.
#[test]
fn each_question_has_a_row() {
    let dashboard = dashboard();
    let rows: Vec<&str> = list(&dashboard, "panels")
        .iter()
        .filter(|panel| text(panel, "type") == "row")
        .map(|row| text(row, "title"))
        .collect();
    for question in [
        "Are log-ins fine?",
        "Are refreshes fine?",
        "Is somebody attacking us?",
        "Are the keys fine?",
        "What saturates first?",
    ] {
        assert!(rows.contains(&question), "{question} is not among {rows:?}");
    }
}
