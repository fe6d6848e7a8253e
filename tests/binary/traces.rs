//! Traces: what a collector is sent, and what happens if there is none.

use std::net::TcpListener;
use std::time::Duration;

use super::serve::execute;
use crate::support::collector::{Collector, SERVER, Span};
use crate::support::program::{Place, Service};
use crate::support::{Backend, Client, json, on_both, ports, wait};

const CALLER: &str = "00f067aa0ba902b7";

/// A trace id of a test's own.
fn trace_id(number: u8) -> String {
    format!("4bf92f3577b34da6a3ce929d0e0e47{number:02x}")
}

fn within(client: &Client, trace: &str, flags: &str) -> Client {
    client.with("traceparent", &format!("00-{trace}-{CALLER}-{flags}"))
}

struct World {
    database_url: String,
    collector: Collector,
    service: Service,
    _place: Place,
    _dir: tempfile::TempDir,
}

fn world(backend: Backend, settings: &[(&str, &str)]) -> World {
    let dir = tempfile::tempdir().expect("a folder");
    let collector = Collector::start();
    let database_url = backend.database(dir.path());
    let mut place = Place::ready(&database_url).with("SIGNET_TRACES__ENDPOINT", &collector.url());
    for (name, value) in settings {
        place = place.with(name, value);
    }
    World { database_url, collector, service: place.serve(), _place: place, _dir: dir }
}

/// The only span of that name.
#[track_caller]
fn the<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

#[track_caller]
fn assert_within(child: &Span, parent: &Span) {
    assert_eq!(child.parent, parent.id, "{child:#?} in {parent:#?}");
    assert!(parent.begun <= child.begun && child.begun <= child.ended && child.ended <= parent.ended);
}

/// Everything that a span may say; nothing that a stranger or a user chose is among it.
const ATTRIBUTES: [&str; 11] = [
    "db.system.name",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "signet.hash.wait_us",
    "signet.kid",
    "signet.request_id",
    "signet.retries",
    "signet.trace_id",
    "signet.wait_us",
    "url.scheme",
];

on_both! {
    fn a_login_shows_where_its_time_went_in_the_callers_trace(backend) {
        let world = world(backend, &[("SIGNET_TRACES__SERVICE_NAME", "id")]);
        world.service.client().register("ada@example.com");
        let client = within(&world.service.client(), &trace_id(1), "01").with("tracestate", "vendor=a b,other=1");
        let answer = client.login("ada@example.com");
        let spans = world.collector.trace(&trace_id(1));

        let request = the(&spans, "POST /v1/auth/login");
        assert_eq!((request.kind, request.parent.as_str(), request.status), (SERVER, CALLER, 0));
        assert_eq!(request.state, "vendor=a b,other=1");
        for (name, value) in [
            ("http.request.method", "POST"),
            ("http.route", "/v1/auth/login"),
            ("http.response.status_code", "200"),
            ("url.scheme", "http"),
            ("signet.request_id", answer.header("x-request-id")),
        ] {
            assert_eq!(request.attributes.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(request.resource["service.name"], "id");
        assert_eq!(request.resource["service.version"], env!("CARGO_PKG_VERSION"));

        let (system, concluding) = match backend {
            Backend::Postgres => ("postgresql", "statement session.login"),
            Backend::Sqlite => ("sqlite", "transaction session.login"),
        };
        for name in ["read session.credentials", concluding] {
            let transaction = the(&spans, name);
            assert_within(transaction, request);
            assert_eq!(transaction.attributes["db.system.name"], system);
            assert_eq!(transaction.attributes["signet.retries"], "0");
            assert!(transaction.attributes["signet.wait_us"].parse::<f64>().expect("a number") < 1e6);
        }
        let hash = the(&spans, "hash");
        assert_within(hash, request);
        assert!(hash.attributes["signet.hash.wait_us"].parse::<u64>().expect("a number") < 1_000_000);
        assert_within(the(&spans, "hash.work"), hash);
        let sign = the(&spans, "sign");
        assert_within(sign, request);
        let keys = world.service.client().get("/.well-known/jwks.json").json();
        assert_eq!(sign.attributes["signet.kid"], keys["keys"][0]["kid"].as_str().expect("text"));
        assert_eq!(spans.len(), 6, "{spans:#?}");
    }

    fn a_refresh_is_one_statement_and_one_signature(backend) {
        let world = world(backend, &[]);
        let session = world.service.client().register("ada@example.com");
        within(&world.service.client(), &trace_id(2), "01").refresh(&session.refresh_token()).expect(200);
        let spans = world.collector.trace(&trace_id(2));
        let request = the(&spans, "POST /v1/auth/refresh");
        assert_within(the(&spans, "statement session.rotate"), request);
        assert_within(the(&spans, "sign"), request);
        assert_eq!(spans.len(), 3, "{spans:#?}");
    }

    fn a_failing_transaction_is_an_error_in_the_trace(backend) {
        let world = world(backend, &[("SIGNET_LOG__LEVEL", "debug")]);
        let session = world.service.client().register("ada@example.com");
        execute(&world.database_url, "ALTER TABLE sessions RENAME TO gone");
        within(&world.service.client(), &trace_id(3), "01").refresh(&session.refresh_token()).expect_problem(503, "unavailable");
        let spans = world.collector.trace(&trace_id(3));
        assert_eq!(the(&spans, "POST /v1/auth/refresh").status, 2);
        assert_eq!(the(&spans, "statement session.rotate").status, 2);
    }

    fn spans_say_nothing_about_people(backend) {
        let world = world(backend, &[]);
        let client = world.service.client();
        let mut texts = vec!["ada@example.com".to_owned(), crate::support::PASSWORD.to_owned(), "127.0.0.1".to_owned()];
        let session = client.register("ada@example.com");
        let user = session.text_at("/user/id");
        let me = client.bearer(&session.access_token());
        let sid = me.get("/v1/auth/sessions").text_at("/sessions/0/id");
        texts.extend([user, sid.clone(), session.access_token(), session.refresh_token()]);
        me.delete(&format!("/v1/auth/sessions/{sid}")).expect(204);
        client.post("/v1/auth/login", &json!({"email": "nobody@example.com", "password": "wrong horse battery"})).expect(401);
        client.get("/ada@example.com?q=ada@example.com").expect(404);
        within(&client, &trace_id(4), "01").refresh(&session.refresh_token()).expect(401);
        world.collector.trace(&trace_id(4));
        let spans = world.collector.spans();
        assert!(spans.iter().any(|span| span.name == "DELETE /v1/auth/sessions/{id}"), "{spans:#?}");
        assert!(spans.iter().any(|span| span.name == "GET"), "a route that does not exist has no name: {spans:#?}");
        for span in &spans {
            assert_eq!(span.events, 0, "what is logged stays in the log: {span:?}");
            assert!(span.attributes.keys().all(|key| ATTRIBUTES.contains(&key.as_str())), "{span:?}");
            let all = format!("{} {:?}", span.name, span.attributes);
            let leak = texts.iter().find(|text| all.contains(text.as_str()));
            assert!(leak.is_none(), "{leak:?} in {all}");
        }
    }
}

#[test]
fn whether_a_trace_is_exported_is_the_callers_choice_and_else_our_ratio() {
    let world = world(Backend::Sqlite, &[("SIGNET_TRACES__SAMPLE_RATIO", "0")]);
    let client = world.service.client();
    client.get("/.well-known/jwks.json").expect(200);
    within(&client, &trace_id(5), "00").register("ada@example.com");
    within(&client, &trace_id(6), "01").get("/.well-known/jwks.json").expect(200);
    world.collector.trace(&trace_id(6));
    let traces: Vec<String> = world.collector.spans().into_iter().map(|span| span.trace).collect();
    assert_eq!(traces, [trace_id(6)]);
}

#[test]
fn without_a_caller_a_trace_begins_here_and_operators_and_jobs_have_none() {
    let mut world = world(Backend::Sqlite, &[]);
    world.service.operator().get("/health/ready").expect(200);
    world.service.operator().get("/metrics").expect(200);
    world
        .service
        .client()
        .with("traceparent", "00-nonsense")
        .with("x-request-id", "find-me")
        .get("/nothing")
        .expect(404);
    let line: serde_json::Value = serde_json::from_str(&world.service.wait_for("find-me")).expect("JSON");
    let id = line["trace_id"].as_str().expect("text").to_owned();
    let spans = world.collector.trace(&id);
    assert_eq!((spans.len(), spans[0].parent.as_str()), (1, ""), "{spans:#?}");
    assert_eq!(spans[0].attributes["signet.request_id"], "find-me");
    assert_eq!(world.collector.spans().len(), 1, "{:#?}", world.collector.spans());
}

#[test]
fn the_last_spans_are_sent_before_the_end() {
    let mut world = world(Backend::Sqlite, &[]);
    within(&world.service.client(), &trace_id(7), "01").register("ada@example.com");
    world.service.signal("TERM");
    world.service.wait_for("stopped");
    assert_eq!(world.service.end().0, Some(0));
    assert!(world.collector.spans().iter().any(|span| span.kind == SERVER && span.trace == trace_id(7)));
}

/// A port on which nothing listens.
fn nowhere() -> std::net::SocketAddr {
    let [port] = ports::free();
    ([127, 0, 0, 1], port).into()
}

fn counted(service: &Service, outcome: &str) -> u64 {
    let text = service.operator().get("/metrics").text;
    let name = format!("signet_trace_spans_total{{outcome=\"{outcome}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |value| value.parse().expect("a number"))
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    wait::until(what, holds);
}

#[test]
fn a_collector_that_is_away_is_reported_once_and_found_again() {
    let address = nowhere();
    let place = Place::ready_on_sqlite().with("SIGNET_TRACES__ENDPOINT", &format!("http://{address}"));
    let mut service = place.serve();
    for _ in 0..3 {
        let failed = counted(&service, "failed");
        service.client().get("/.well-known/jwks.json").expect(200);
        eventually("a batch fails", || counted(&service, "failed") > failed);
    }
    let reports = service.log().iter().filter(|line| line.contains("spans cannot be exported")).count();
    assert_eq!(reports, 1, "{:#?}", service.log());
    let collector = Collector::start_on(address);
    within(&service.client(), &trace_id(8), "01").get("/.well-known/jwks.json").expect(200);
    collector.trace(&trace_id(8));
    service.wait_for("spans are exported again");
    eventually("it is counted", || counted(&service, "exported") > 0);
}

#[test]
fn a_collector_that_never_answers_holds_up_neither_requests_nor_the_end() {
    // It takes connections into its backlog, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("bound");
    let place = Place::ready_on_sqlite().with("SIGNET_TRACES__ENDPOINT", &format!("http://{address}"));
    let mut service = place.serve();
    // More than the queue holds, in less time than a batch waits for its answer.
    let heads = "HEAD /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(500);
    let last = "HEAD /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let client = service.client();
    eventually("the queue is full", || {
        let answers = client.raw(format!("{heads}{last}").as_bytes(), Duration::from_secs(10));
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 501);
        counted(&service, "dropped") > 0
    });
    client.register("ada@example.com");
    service.signal("TERM");
    service.wait_for("stopped");
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn an_endpoint_that_cannot_be_used_is_one_line() {
    for (endpoint, finding) in [
        ("127.0.0.1:4318", "traces.endpoint: does not read like http://127.0.0.1:4318"),
        #[cfg(not(feature = "tls"))]
        ("https://collector.example:4318", "traces.endpoint: https needs a build with the feature `tls`"),
    ] {
        let place = Place::ready_on_sqlite().with("SIGNET_TRACES__ENDPOINT", endpoint);
        assert_eq!(place.fail(&["serve"]), format!("the configuration is invalid: {finding}"));
    }
    let place = Place::ready_on_sqlite().with("SIGNET_TRACES__SAMPLE_RATIO", "often");
    assert!(place.fail(&["serve"]).contains("SIGNET_TRACES__SAMPLE_RATIO"));
}
