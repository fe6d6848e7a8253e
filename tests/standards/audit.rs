//! G: audit trail, logs, metrics.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::program::{Place, Service};
use crate::support::prometheus::{self, Prometheus};
use crate::support::{Answer, Backend, Client, PASSWORD, Server, Value, json, on_both};

on_both! {
    fn g1_every_change_of_state_and_every_failure_leaves_its_event(backend) {
        let server = Server::start(backend);
        let client = server.client();
        let first = client.register("ada@example.com");
        client.post("/v1/auth/login", &json!({"email": "ada@example.com", "password": "wrong one"})).expect(401);
        let second = client.login("ada@example.com");
        let me = client.bearer(&second.access_token());
        me.patch("/v1/auth/me", &json!({"name": "Ada"})).expect(200);
        let change = |current: &str| me.post("/v1/auth/change-password", &json!({"current_password": current, "new_password": "a wholly other phrase"}));
        change("wrong one").expect(401);
        client.post("/v1/auth/logout", &json!({"refresh_token": first.refresh_token()})).expect(204);
        change(PASSWORD).expect(204);
        let third = client.refresh(&second.refresh_token()).expect(200);
        client.refresh(&third.refresh_token()).expect(200);
        client.refresh(&second.refresh_token()).expect(401);
        let url = &server.config.database.url.0;
        assert!(Place::on(url).run(&["users", "set-role", "ada@example.com", "admin"]).status.success());
        assert!(Place::on(url).run(&["users", "disable", "ada@example.com"]).status.success());
        assert!(Place::on(url).run(&["users", "enable", "ada@example.com"]).status.success());
        let set = Place::on(url).run_with_input(&["users", "set-password", "ada@example.com"], "yet another phrase\n");
        assert!(set.status.success());
        client.post("/v1/auth/login", &json!({"email": "ada@example.com", "password": "yet another phrase"})).expect(200);
        assert!(Place::on(url).run(&["sessions", "end", "ada@example.com"]).status.success());
        let mut kinds = server.audit();
        kinds.sort();
        assert_eq!(kinds, [
            "authn_login_fail", "authn_login_success", "authn_login_success", "authn_logout", "authn_password_change", "authn_password_change_fail",
            "authn_token_reuse", "authz_roles_change", "user_disabled", "user_enabled", "user_password_set",
            "user_registered", "user_sessions_ended", "user_updated",
        ]);
    }

    // The proof that an event is written in the transaction of its change: without the one there is not the other.
    fn g1_what_cannot_be_audited_is_not_done(backend) {
        let server = Server::start(backend);
        let client = server.client();
        let first = client.register("ada@example.com");
        let second = client.login("ada@example.com");
        let newest = client.refresh(&client.refresh(&second.refresh_token()).expect(200).refresh_token()).expect(200);
        let me = client.bearer(&first.access_token());
        let sid = crate::support::token::decode(&second.access_token()).1["sid"].as_str().expect("a session").to_owned();
        let state = || {
            ["users", "users WHERE is_active", "users WHERE name IS NULL AND roles = 'user'", "sessions", "sessions WHERE revoked_at IS NULL"].map(|what| server.count(what))
        };
        let hash = server.query_text("SELECT password_hash AS value FROM users");
        let before = state();
        server.execute("ALTER TABLE audit_events RENAME TO gone");
        for answer in [
            client.post("/v1/auth/register", &json!({"email": "eve@example.com", "password": PASSWORD})),
            client.post("/v1/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})),
            client.post("/v1/auth/login", &json!({"email": "ada@example.com", "password": "wrong one"})),
            me.patch("/v1/auth/me", &json!({"name": "Ada"})),
            me.post("/v1/auth/change-password", &json!({"current_password": PASSWORD, "new_password": "a wholly other phrase"})),
            me.post("/v1/auth/change-password", &json!({"current_password": "wrong one", "new_password": "a wholly other phrase"})),
            me.post("/v1/auth/logout", &json!({"all": true})),
            me.delete(&format!("/v1/auth/sessions/{sid}")),
            client.post("/v1/auth/logout", &json!({"refresh_token": newest.refresh_token()})),
            client.refresh(&second.refresh_token()),
        ] {
            answer.expect_problem(503, "unavailable");
        }
        let url = &server.config.database.url.0;
        assert!(!Place::on(url).run(&["users", "set-role", "ada@example.com", "admin"]).status.success());
        assert!(!Place::on(url).run(&["users", "disable", "ada@example.com"]).status.success());
        assert!(!Place::on(url).run(&["sessions", "end", "--all"]).status.success());
        let set = Place::on(url).run_with_input(&["users", "set-password", "ada@example.com"], "yet another phrase\n");
        assert!(!set.status.success());
        server.execute("ALTER TABLE gone RENAME TO audit_events");
        assert_eq!(state(), before);
        assert_eq!(server.query_text("SELECT password_hash AS value FROM users"), hash);
        client.refresh(&newest.refresh_token()).expect(200);
        client.refresh(&second.refresh_token()).expect_problem(401, "invalid_grant");
        assert_eq!(server.audited("authn_token_reuse"), 1, "the replay is found out once it can be written down");
    }

    fn g2_an_event_says_when_who_whom_from_where_and_in_which_request(backend) {
        let server = Server::start(backend);
        let client = server.client().with("x-request-id", "req-1").with("user-agent", "tester/1").with("x-forwarded-for", "203.0.113.1");
        client.register("ada@example.com");
        let columns = if backend == Backend::Postgres {
            "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' ' || (subject = actor) || ' ' || (session_id IS NOT NULL)"
        } else {
            "datetime(at / 1000000, 'unixepoch') || ' ' || iif(subject = actor, 'true', 'false') || ' ' || iif(session_id IS NOT NULL, 'true', 'false')"
        };
        let row = server.query_text(&format!("SELECT {columns} || ' ' || address || ' ' || user_agent || ' ' || request_id AS value FROM audit_events"));
        assert_eq!(row, "2026-11-21 10:00:00 true true 127.0.0.1 tester/1 req-1");
    }
}

/// Every line, which must be JSON.
fn lines(program: &Service) -> Vec<Value> {
    let log = program.log();
    assert!(!log.is_empty());
    log.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))).collect()
}

/// Where the program says all that it ever says.
fn at_debug() -> Place {
    Place::ready_on_sqlite()
        .with("SIGNET_LOG__LEVEL", "debug")
        .with("SIGNET_OAUTH__PASSWORD_GRANT", "true")
        .with("SIGNET_HASHING__MEMORY_KIB", "19456")
        .with("SIGNET_HASHING__ITERATIONS", "2")
}

/// Tokens in an answer, wherever they are.
fn tokens(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let in_body = ["access_token", "refresh_token"].map(|name| json[name].as_str().map(str::to_owned));
    let in_cookie = answer.header("set-cookie").split(['=', ';']).nth(1).map(str::to_owned);
    in_body.into_iter().chain([in_cookie]).flatten().collect()
}

#[test]
fn g3_no_secret_and_no_address_is_ever_logged() {
    let place = at_debug();
    let program = place.serve();
    let client = program.client().with("user-agent", "sekret-agent");
    let mut secrets: Vec<String> = [
        "zebra-crossing-17",
        "wrong-zebra-99",
        "new-zebra-42",
        "ada@example.com",
        "example.com",
        "argon2id",
        "sekret-agent",
        "c2Vrcml0",
        "sekret-name",
    ]
    .map(str::to_owned)
    .into();
    let credentials = |password: &str| json!({"email": "ada@example.com", "password": password, "cookie": false});
    let mut note = |answer: Answer| {
        secrets.extend(tokens(&answer));
        answer
    };

    let first = note(
        client
            .post(
                "/v1/auth/register",
                &json!({"email": "ada@example.com", "password": "zebra-crossing-17", "name": "sekret-name"}),
            )
            .expect(201),
    );
    client.post("/v1/auth/register", &credentials("zebra-crossing-17")).expect(409);
    client.post("/v1/auth/login", &credentials("wrong-zebra-99")).expect(401);
    let second = note(client.post("/v1/auth/login", &credentials("zebra-crossing-17")).expect(200));
    let third = note(client.refresh(&second.refresh_token()).expect(200));
    let fourth = note(client.refresh(&third.refresh_token()).expect(200));
    client.refresh(&second.refresh_token()).expect(401);
    client.refresh(&fourth.refresh_token()).expect(401);
    let in_browser = note(
        client
            .post(
                "/v1/auth/login",
                &json!({"email": "ada@example.com", "password": "zebra-crossing-17", "cookie": true}),
            )
            .expect(200),
    );
    let cookie = in_browser.header("set-cookie").split(';').next().expect("a pair").to_owned();
    let page = client.with("cookie", &cookie).with("x-requested-with", "x");
    note(page.post_empty("/v1/auth/refresh").expect(200));
    let form = [("grant_type", "password"), ("username", "ada@example.com"), ("password", "zebra-crossing-17")];
    note(client.form("/oauth2/token", &form).expect(200));
    client.with("authorization", "Basic c2Vrcml0OmM=").form("/oauth2/token", &form).expect(401);
    let me = client.bearer(&first.access_token());
    me.get("/v1/auth/me?access_token=zebra-crossing-17").expect(200);
    let change = |current: &str| {
        me.post("/v1/auth/change-password", &json!({"current_password": current, "new_password": "new-zebra-42"}))
    };
    change("wrong-zebra-99").expect(401);
    change("zebra-crossing-17").expect(204);
    me.post_empty("/v1/auth/logout").expect(204);
    me.get("/v1/auth/me").expect(401);
    client.get("/v1/users/ada@example.com?password=zebra-crossing-17").expect(404);
    client.send("POST", "/v1/auth/login", Some("application/json"), b"{\"password\":\"zebra-crossing-17\"").expect(400);
    client.raw(
        b"GET /ada@example.com HTTP/1.1\r\nhost : x\r\nauthorization: zebra-crossing-17\r\n\r\n",
        Duration::from_secs(1),
    );
    // A database that fails says what it was doing.
    let database = signet_database(&place);
    database.batch("ALTER TABLE users RENAME TO gone");
    client.post("/v1/auth/login", &credentials("zebra-crossing-17")).expect(503);
    client.post("/v1/auth/register", &credentials("zebra-crossing-17")).expect(503);

    let log: Vec<String> = lines(&program).iter().map(Value::to_string).collect();
    assert!(log.len() > 20, "{log:#?}");
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        // Neither a token nor the part of it that would do.
        let part = secret.rsplit('.').next().expect("a part");
        let leak = log.iter().find(|line| line.contains(part));
        assert!(leak.is_none(), "{secret} in {leak:?}");
    }
}

struct Database(String);

fn signet_database(place: &Place) -> Database {
    Database(format!("sqlite:{}", place.path().join("signet.db").display()))
}

impl Database {
    fn batch(&self, sql: &str) {
        let url: signet::db::Url = self.0.parse().expect("our own URL");
        super::execute(&mut url.connect().expect("the database is there"), sql);
    }
}

#[test]
fn g4_whatever_a_client_sends_a_log_line_stays_one_line_of_json() {
    let place = at_debug();
    let program = place.serve();
    let hostile = "x\u{1b}[31mred\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}";
    program.client().post("/v1/auth/login", &json!({"email": hostile, "password": hostile})).expect(422);
    program
        .client()
        .post("/v1/auth/register", &json!({"email": "ada@example.com", "password": PASSWORD, "name": hostile}))
        .expect(422);
    program
        .client()
        .post("/v1/auth/register", &json!({"email": "a@x", "password": PASSWORD, "forged\n\u{1b}": 1}))
        .expect(422);
    for (name, value) in [
        ("user-agent", "x\t\u{85}forged"),
        ("x-request-id", "forged\"}{"),
        ("x-request-id", "a b;forged"),
        ("host", "forged"),
    ] {
        program.client().with(name, value).get("/nothing").expect(404);
    }
    for request in [
        &b"GET /forged%0a%1b[31m HTTP/1.1\r\nhost: x\r\nx-request-id: forged\x1b[31m\r\nconnection: close\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nhost: x\r\nuser-agent: \x1b[31mforged\xff\r\nconnection: close\r\n\r\n",
        b"FORGED /\x1b[31m HTTP/1.1\r\n\r\n",
        b"FORGED / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ] {
        program.client().raw(request, Duration::from_secs(2));
    }
    for line in lines(&program) {
        let text = line.to_string();
        assert!(!text.contains("\\u001b") && !text.contains("\\n"), "{text}");
        assert!(line["request_id"].as_str().is_none_or(|id| !id.contains("forged")), "{text}");
        assert!(!text.contains("forged"), "{text}");
    }
}

#[test]
fn g5_the_metrics_are_well_formed_and_name_nobody() {
    let server = Server::start(Backend::Sqlite);
    server.client().register("ada@example.com");
    server.client().get("/v1/users/ada@example.com").expect(404);
    server.client().raw(b"FORGED / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", Duration::from_secs(2));
    let text = server.operator().get("/metrics").expect(200).text;
    assert!(!text.contains("ada") && !text.contains("FORGED"), "{text}");
    let named = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .all(|line| line.starts_with("signet_") || line.starts_with("process_"));
    assert!(named, "{text}");
    if !prometheus::is_available() {
        return;
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is there");
    std::io::Write::write_all(&mut promtool.stdin.take().expect("piped"), text.as_bytes()).expect("written");
    let output = promtool.wait_with_output().expect("promtool ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn g5_a_real_prometheus_scrapes_it() {
    if !prometheus::is_available() {
        return;
    }
    let place = Place::ready_on_sqlite();
    let service = place.serve();
    service.client().register("ada@example.com");
    let prometheus = Prometheus::scraping(&service.management_url);
    let up = prometheus.await_result("up");
    assert_eq!((up.len(), &up[0]["metric"]["job"], &up[0]["value"][1]), (1, &json!("signet"), &json!("1")));
    let registered = prometheus.await_result("signet_registrations_total{outcome=\"success\"} == 1");
    assert_eq!(registered.len(), 1);
    // What is no plain number arrives too.
    let next = prometheus.await_result("signet_key_next_activation_seconds");
    assert_eq!(next[0]["value"][1], "+Inf");
    let people = prometheus
        .query("count({__name__=~\".+\", instance!=\"\"} and {__name__!~\"(signet|process|scrape|up|ALERTS).*\"})");
    assert!(people.is_empty(), "{people:?}");
}

#[test]
fn g6_a_request_id_is_bounded_in_length_and_characters() {
    let server = Server::start(Backend::Sqlite);
    let id = |sent: &str| {
        Client::new(&server.url).with("x-request-id", sent).get("/nothing").header("x-request-id").to_owned()
    };
    assert_eq!(id("trace-1.a_B"), "trace-1.a_B");
    for bad in ["", "two words", "a;b", "<b>", "é", &"x".repeat(65)] {
        assert_ne!(id(bad), bad);
    }
}
