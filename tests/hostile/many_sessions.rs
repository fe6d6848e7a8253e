//! Ten thousand sessions in one account: what its owner does costs what it costs with ten, but for the copy of everything,
//! which is read and sent a page at a time.

use std::time::{Duration, Instant};

use crate::api::admin::many_sessions;
use crate::support::{Answer, Backend, Client, PASSWORD, Server, json, on_both, say};

const EMAIL: &str = "ada@example.com";
/// Rows that an export reads at a time.
const PAGE: u32 = 500;

/// What is done, in this order.
const DEEDS: [&str; 7] = ["list", "log in", "refresh", "export", "change the password", "log out everywhere", "delete"];

fn do_it(server: &Server, me: &Client, deed: &str) -> Answer {
    match deed {
        "list" => me.get("/v1/auth/sessions?limit=100").expect(200),
        "log in" => server.client().login(EMAIL),
        "refresh" => server.client().refresh(&server.client().login(EMAIL).refresh_token()).expect(200),
        "export" => me.get("/v1/auth/me/export").expect(200),
        "change the password" => {
            let body = json!({"current_password": "not it", "new_password": "a wholly other phrase"});
            me.post("/v1/auth/change-password", &body).expect_problem(401, "invalid_credentials");
            // Set to what it was: what comes after logs in with it.
            let body = json!({"current_password": PASSWORD, "new_password": PASSWORD});
            me.post("/v1/auth/change-password", &body).expect(204)
        }
        "log out everywhere" => me.post("/v1/auth/logout", &json!({"all": true})).expect(204),
        "delete" => {
            let me = server.client().bearer(&server.client().login(EMAIL).access_token());
            me.delete_with("/v1/auth/me", &json!({"password": PASSWORD})).expect(204)
        }
        _ => panic!("{deed}"),
    }
}

/// What a deed took.
struct Cost {
    units: f64,
    events: i64,
    bytes: usize,
    time: Duration,
}

/// The cost of each deed to an account with so many sessions.
fn costs(backend: Backend, sessions: u32) -> Vec<Cost> {
    let server = Server::start(backend);
    let mut me = server.client().bearer(&server.client().register(EMAIL).access_token());
    many_sessions(&server, EMAIL, sessions);
    let measure = |deed: &&str| {
        // Whatever ended sessions before, there are as many again.
        let live = server.count("sessions WHERE revoked_at IS NULL");
        if live < i64::from(sessions) {
            me = server.client().bearer(&server.client().login(EMAIL).access_token());
            many_sessions(&server, EMAIL, sessions);
        }
        let before = (units(&server), events(&server));
        let begun = Instant::now();
        let answer = do_it(&server, &me, deed);
        let time = begun.elapsed();
        Cost { units: units(&server) - before.0, events: events(&server) - before.1, bytes: answer.text.len(), time }
    };
    let costs = DEEDS.iter().map(measure).collect();
    assert_eq!(server.count("sessions WHERE revoked_at IS NULL"), 0);
    costs
}

/// Units of database work for requests; jobs have names of their own.
fn units(server: &Server) -> f64 {
    let text = server.operator().get("/metrics").text;
    let counts = text.lines().filter_map(|line| {
        let named = line.strip_prefix("signet_database_transaction_duration_seconds_count{name=\"")?;
        let (name, count) = named.split_once("\"} ")?;
        ["account.", "session."]
            .iter()
            .any(|own| name.starts_with(own))
            .then(|| count.parse::<f64>().expect("a number"))
    });
    counts.sum()
}

fn events(server: &Server) -> i64 {
    server.count("audit_events")
}

on_both! {
    fn ten_thousand_cost_what_ten_cost(backend) {
        let (few, many) = (costs(backend, 10), costs(backend, 10_000));
        for ((deed, few), many) in DEEDS.iter().zip(&few).zip(&many) {
            let told = |cost: &Cost| format!("{} units, {} bytes, {:?}", cost.units, cost.bytes, cost.time);
            say(&format!("{backend:?}, {deed}: with 10 sessions {}; with 10,000 {}", told(few), told(many)));
            assert!(few.units > 0.0, "{deed}");
            // By the time of the export 10,000 were copied, and a few more have logged in; the trail takes a page as ever.
            let pages = if *deed == "export" { f64::from(10_000 / PAGE) } else { 0.0 };
            assert_eq!((many.units - few.units, many.events), (pages, few.events), "{deed}");
        }
    }
}
