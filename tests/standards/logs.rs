//! G: logs, looked at over a whole run: this program runs the API's tests once more with every service logging all that
//! it can, and reads what they wrote.
//!
//! `SIGNET_TEST_LOGS=all` has it run every test of a service on every database, which takes as long as they take.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use signet::clock::Clock;
use signet::db::{Db, Url};
use signet::metrics::Metrics;
use tracing::Instrument;

use crate::support::program::Place;
use crate::support::{Backend, PASSWORD, Server, block_on, json, on_both, say, secrets};

/// What services and programs wrote to standard error during the run, and what must not be in it.
struct Run {
    text: String,
    lines: Vec<BTreeMap<String, Value>>,
    secrets: BTreeSet<String>,
}

fn run() -> &'static Run {
    static RUN: OnceLock<Result<Run, String>> = OnceLock::new();
    RUN.get_or_init(watch).as_ref().unwrap_or_else(|summary| panic!("the tests fail when they are watched:\n{summary}"))
}

fn watch() -> Result<Run, String> {
    let dir = tempfile::tempdir().expect("a folder");
    let (log, noted) = (dir.path().join("log"), dir.path().join("secrets"));
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    // These would run themselves; real clients from elsewhere log in in their own ways.
    command.args(["--skip", "standards::logs::g", "--skip", "interop::"]);
    if std::env::var("SIGNET_TEST_LOGS").is_ok_and(|wish| wish == "all") {
        // Those work on the database without any request, and panic on purpose.
        command.args(["--skip", "store::"]);
        say("NOTE: every test is run once more, to look at the logs; that takes as long as they take.");
    } else {
        command.args(["--skip", "::postgres", "--skip", "binary::traces"]);
        command.args(["standards::logs::watched", "api::", "binary::"]);
    }
    let output = command
        .env(secrets::FILE, &noted)
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(&log).expect("a file"))
        .output()
        .expect("this program runs");
    if !output.status.success() {
        let printed = String::from_utf8_lossy(&output.stdout);
        return Err(printed.rsplit("\nfailures:\n").next().unwrap_or_default().to_owned());
    }
    let text = std::fs::read_to_string(&log).expect("UTF-8");
    let lines = text.lines().filter(|line| line.starts_with('{')).map(parse).collect();
    let secrets = std::fs::read_to_string(&noted).expect("secrets were noted");
    let secrets = secrets.lines().map(|line| serde_json::from_str(line).expect("a string")).collect();
    Ok(Run { text, lines, secrets })
}

fn parse(line: &str) -> BTreeMap<String, Value> {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// Words that tests use as passwords and that logs use as words, and what is too short to be told from chance.
fn is_telling(secret: &str) -> bool {
    secret.len() >= 7 && secret != "password"
}

#[test]
fn g3_no_secret_of_the_whole_api_suite_is_in_its_logs() {
    const WINDOW: usize = 7;
    let Run { text, lines, secrets } = run();
    assert!(lines.len() > 500 && secrets.len() > 300, "{} lines, {} secrets", lines.len(), secrets.len());
    // Most secrets are ruled out by how they begin; searching all of the text for each would take minutes.
    let beginnings: HashSet<&[u8]> = text.as_bytes().windows(WINDOW).collect();
    for secret in secrets.iter().filter(|secret| is_telling(secret)) {
        if beginnings.contains(&secret.as_bytes()[..WINDOW]) {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert!(line.is_none(), "{secret:?} in {line:?}");
        }
    }
    // Nor anything that looks like one, whoever made it.
    for mark in [
        "sgk_",
        "sgr_",
        "sgv_",
        "sgp_",
        "sgo_",
        "sgn_",
        "sgi_",
        "sgm_",
        "otpauth",
        "eyJ",
        "$argon2",
        "PRIVATE KEY",
        "Bearer ",
        "@example",
    ] {
        let line = text.lines().find(|line| line.contains(mark));
        assert!(line.is_none(), "{mark} in {line:?}");
    }
}

#[test]
fn g3_log_lines_have_the_documented_fields_and_no_other() {
    let documented = documented_fields();
    assert!(documented.len() > 5, "{documented:?}");
    for line in &run().lines {
        for always in ["timestamp", "level", "target", "message"] {
            assert!(line.get(always).is_some_and(Value::is_string), "no {always} in {line:?}");
        }
        let other: Vec<&String> = line.keys().filter(|name| !documented.contains(*name)).collect();
        assert!(other.is_empty(), "{other:?} in {line:?}");
    }
}

/// The names in the table of `docs/operations.md`, one for each row.
fn documented_fields() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = std::fs::read_to_string(page).expect("the page for operators");
    let (_, section) = page.split_once("\n### Traces and logs\n").expect("its heading");
    let section = section.split("\n#").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

/// What a service says on its own account; every other line belongs to a request.
const OUTSIDE_REQUESTS: [&str; 22] = [
    "listening",
    "stopping: ",
    "stopped",
    "the published keys changed",
    "could not read the keys; ",
    "could not connect to the database; ",
    "spans cannot be exported; ",
    "spans are exported again",
    "another key signs now",
    "the keys can be read again",
    "readiness changed",
    "not ready to serve",
    "removed what has ended",
    "what has ended could not be removed; ",
    "a mail was sent",
    "a mail was given up",
    "a mail could not be sent; ",
    "a message could not be delivered; ",
    "a message was given up",
    "an endpoint answered 410 and is disabled",
    "this machine trusts no certificate, ",
    "the audit trail is sealed up to here",
];

#[test]
fn g3_every_line_of_a_request_says_which() {
    let (mut of_requests, mut answered) = (0, BTreeSet::new());
    for line in &run().lines {
        let message = line["message"].as_str().expect("text");
        // What is unwise about its configuration and its keys, a service says before it listens.
        // Probes and jobs use the database too.
        let of_a_probe = line["target"] == "signet::db::failure" && line.get("request_id").is_none();
        if line["target"] == "signet::app"
            || line["target"] == "signet::token::keys"
            || of_a_probe
            || OUTSIDE_REQUESTS.iter().any(|own| message.starts_with(own))
        {
            continue;
        }
        of_requests += 1;
        let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        assert!((1..=64).contains(&text("request_id").len()), "{line:?}");
        assert!(text("trace_id").len() == 32 && text("trace_id").chars().all(is_hex), "{line:?}");
        assert!(!text("method").is_empty(), "{line:?}");
        if message.starts_with("request ") {
            assert!(line["status"].is_u64() && line["duration_us"].is_u64(), "{line:?}");
            answered.insert((text("method").to_owned(), text("route").to_owned()));
        }
    }
    assert!(of_requests > 500, "{of_requests}");
    for row in signet::routes::PUBLIC {
        let key = (row.method.to_string(), row.path.to_owned());
        assert!(answered.contains(&key), "no line about {key:?}");
    }
}

/// Only in a run that is watched: what is said inside a transaction, which runs on a thread of its own.
#[test]
fn watched_transaction() {
    if !secrets::are_noted() {
        return;
    }
    secrets::watch();
    let dir = tempfile::tempdir().expect("a folder");
    let url = Backend::Sqlite.database(dir.path()).parse().expect("our own URL");
    let db = Db::open(url, 1, Duration::from_secs(1), Clock::system(), Metrics::default());
    let request = tracing::error_span!(
        target: "signet::request",
        "request",
        signet.request_id = "from-a-transaction",
        signet.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
        http.request.method = "TEST",
    );
    let speak = db.tx("test.speak", |_| {
        tracing::debug!(target: "signet::test", "a transaction speaks");
        Ok(())
    });
    block_on(speak.instrument(request)).expect("committed");
}

#[test]
fn g3_what_a_transaction_says_belongs_to_its_request() {
    let said = run().lines.iter().find(|line| line["message"] == "a transaction speaks").expect("it was watched");
    assert_eq!(said["request_id"], "from-a-transaction");
}

#[test]
fn g3_no_level_costs_a_line_its_request() {
    for level in ["warn", "error"] {
        let (place, mut service) = Place::ready_on_sqlite().serve_quietly(level);
        let url: Url = format!("sqlite:{}", place.path().join("signet.db").display()).parse().expect("our own URL");
        super::execute(&mut url.connect().expect("the database is there"), "ALTER TABLE users RENAME TO gone");
        let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
        service.client().with("x-request-id", "quiet").post("/v1/auth/login", &credentials).expect(503);
        let line = parse(&service.wait_for("the database lacks a table"));
        assert_eq!((&line["request_id"], &line["route"]), (&json!("quiet"), &json!("/v1/auth/login")));
    }
}

#[test]
fn g6_a_traceparent_is_followed_if_it_is_well_formed_and_else_ignored() {
    let place = Place::ready_on_sqlite();
    let mut program = place.serve();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let good = format!("00-{trace}-00f067aa0ba902b7-00");
    let future = format!("01-{trace}-00f067aa0ba902b7-00-more");
    let (upper, bad) = (good.to_uppercase(), format!("00-{trace}-0000000000000000-01"));
    for (number, (sent, followed)) in
        [(good.as_str(), true), (&future, true), (&upper, false), (&bad, false), ("forged\t", false)].iter().enumerate()
    {
        let id = format!("probe-{number}");
        let client = program.client().with("traceparent", sent).with("x-request-id", &id);
        let answer = client.get("/v1/auth/me").expect_problem(401, "invalid_token");
        assert_eq!(answer.header("traceparent"), "", "a draft's header is not sent");
        let line = parse(&program.wait_for(&id));
        let own = line["trace_id"].as_str().expect("text");
        assert_eq!(own == trace, *followed, "{sent}: {line:?}");
    }
    // Begun here, a trace is found by the request's id.
    let answer = program.client().get("/v1/auth/me").expect(401);
    let id = answer.header("x-request-id");
    assert_eq!(parse(&program.wait_for(id))["trace_id"], id.replace('-', ""));
}

#[test]
fn g4_a_line_for_people_is_one_line_without_commands_to_their_terminal() {
    let place = Place::ready_on_sqlite().with("SIGNET_LOG__FORMAT", "text").with("SIGNET_LOG__LEVEL", "debug");
    let mut service = place.serve();
    // The log names the file that it cannot read, whatever that is called.
    let name = "x\u{1b}[31mred\r\nforged \u{9b}.pem";
    std::fs::write(place.path().join("keys").join(name), "no key").expect("written");
    service.signal("HUP");
    let line = service.wait_for("could not read the keys");
    assert!(line.contains("forged"), "{line:?}");
    for line in service.log() {
        assert!(!line.contains(char::is_control) && !line.starts_with("forged"), "{line:?}");
    }
}

on_both! {
    fn e1_every_problem_carries_the_id_that_its_header_and_its_line_carry(backend) {
        let server = Server::start(backend);
        let client = server.client();
        client.register("ada@example.com");
        let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
        for answer in [
            client.get("/nothing"),
            client.get("/v1/auth/login"),
            client.get("/v1/auth/me"),
            client.post("/v1/auth/register", &credentials),
            client.post("/v1/auth/login", &json!({"email": "ada@example.com"})),
            client.send("POST", "/v1/auth/login", Some("text/plain"), b"x"),
            client.send("POST", "/v1/auth/login", Some("application/json"), &[b' '; 20_000]),
            client.refresh("sgr_nonsense"),
        ] {
            assert_eq!(answer.json()["request_id"], answer.header("x-request-id"), "{}", answer.text);
        }
        // RFC 6749 §5.2 has no member for it: the header carries it.
        let answer = client.form("/oauth2/token", &[]).expect_oauth(400, "invalid_request");
        assert!(!answer.header("x-request-id").is_empty());
    }
}
