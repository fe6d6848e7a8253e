//! `signet serve`: it starts only when it can serve, and ends when told to.

use std::os::unix::process::ExitStatusExt;

use crate::support::program::Place;
use crate::support::{Backend, json, on_both, wait};

fn broken_key(file: &str, content: &str) -> Place {
    let place = Place::ready_on_sqlite();
    std::fs::remove_dir_all(place.path().join("keys")).expect("removed");
    std::fs::create_dir(place.path().join("keys")).expect("made");
    if !file.is_empty() {
        std::fs::write(place.path().join("keys").join(file), content).expect("written");
    }
    place
}

#[test]
fn without_a_key_it_does_not_start() {
    assert_eq!(
        broken_key("", "").fail(&["serve"]),
        "keys: has no private key that may sign now; make one with `signet keys new`"
    );
    let place = Place::ready_on_sqlite();
    std::fs::remove_dir_all(place.path().join("keys")).expect("removed");
    assert!(place.fail(&["serve"]).starts_with("keys: there is no such folder; "));
}

#[test]
fn a_key_that_is_no_p256_key_is_named() {
    for (pem, reason) in [
        (include_str!("keys/rsa.pem"), "not a P-256 private key in PKCS#8"),
        (include_str!("keys/p384.pem"), "not a P-256 private key in SEC1"),
        (include_str!("keys/p384_pkcs8.pem"), "not a P-256 private key in PKCS#8"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA", "not a P-256 private key in PKCS#8"),
        ("", "no PEM key"),
    ] {
        assert_eq!(broken_key("signing.pem", pem).fail(&["serve"]), format!("signing.pem: {reason}"));
    }
    assert!(
        broken_key("2026-13-01T00-00-00Z.pem", include_str!("keys/sec1.pem"))
            .fail(&["serve"])
            .contains("looks like a time")
    );
}

#[test]
fn a_key_as_openssl_writes_it_will_do() {
    let place = broken_key("signing.pem", include_str!("keys/sec1.pem"));
    let mut service = place.serve();
    let keys = service.client().get("/.well-known/jwks.json").expect(200).json();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
    service.signal("TERM");
    service.wait_for("stopped");
}

#[test]
fn a_configuration_that_cannot_be_used_is_one_line() {
    let place = Place::ready_on_sqlite().with("SIGNET_SESION__GRACE", "30s");
    assert_eq!(
        place.fail(&["serve"]),
        "SIGNET_SESION__GRACE: there is no key `sesion.grace`; did you mean `session.grace`?"
    );
    let place = Place::ready_on_sqlite();
    std::fs::write(place.path().join("signet.toml"), "[session]\ngrase = '30s'").expect("written");
    assert_eq!(place.fail(&["serve"]), "signet.toml: there is no key `session.grase`; did you mean `session.grace`?");
    std::fs::write(place.path().join("signet.toml"), "[session\n").expect("written");
    assert!(place.fail(&["serve"]).starts_with("signet.toml: "));
    let place =
        Place::ready_on_sqlite().with("SIGNET_TOKEN__ACCESS_TTL", "31d").with("SIGNET_ISSUER", "https://id.example/");
    assert_eq!(
        place.fail(&["serve"]),
        "the configuration is invalid: issuer: must not end with a slash, since verifiers compare it byte by byte; \
         token.access_ttl: must be at most 30d"
    );
    assert!(Place::new().fail(&["--config", "nothing.toml", "serve"]).starts_with("cannot read nothing.toml: "));
}

#[test]
fn a_database_that_cannot_be_used_is_one_line_without_its_password() {
    let unreachable =
        Place::ready_on_sqlite().with("SIGNET_DATABASE__URL", "postgres://signet:hunter2@127.0.0.1:9/signet");
    let line = unreachable.fail(&["serve"]);
    assert!(line.starts_with("cannot reach the database postgres://127.0.0.1:9/signet: "), "{line}");
    assert!(!line.contains("hunter2"));
    let nowhere = Place::ready_on_sqlite().with("SIGNET_DATABASE__URL", "sqlite:nowhere/signet.db");
    assert!(nowhere.fail(&["serve"]).starts_with("cannot reach the database sqlite:nowhere/signet.db: "));
    let empty = Place::ready_on_sqlite().with("SIGNET_DATABASE__URL", "sqlite:empty.db");
    assert_eq!(empty.fail(&["serve"]), "the database sqlite:empty.db lacks 10 migration(s): run `signet migrate`");
}

#[test]
fn a_clock_before_the_release_is_one_line() {
    use signet::app::App;
    use signet::clock::{Clock, Timestamp};
    use signet::config::{Config, Secret};
    let place = Place::ready_on_sqlite();
    let mut config = Config { issuer: "http://localhost:8080".to_owned(), ..Config::default() };
    config.database.url = Secret(format!("sqlite:{}", place.path().join("signet.db").display()));
    config.keys.dir = place.path().join("keys");
    let refused = App::build(config, Clock::manual(Timestamp::from_micros(0))).err().expect("1970");
    assert_eq!(
        refused.to_string(),
        "this machine's clock says 1970-01-01T00:00:00Z, which is before this release was made"
    );
}

#[test]
fn a_port_that_is_taken_is_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let line = Place::ready_on_sqlite().with("SIGNET_PUBLIC__LISTEN", &address).fail(&["serve"]);
    assert!(line.starts_with(&format!("cannot listen on {address}: ")), "{line}");
}

on_both! {
    fn a_schema_of_a_newer_release_is_refused(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let url = backend.database(dir.path());
        let place = Place::ready(&url);
        execute(&url, "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')");
        for command in ["serve", "migrate"] {
            assert_eq!(
                place.fail(&[command]),
                "the database has schema 29991231000000, which this release does not know: run the newer release"
            );
        }
    }

    fn what_was_answered_survives_kill_9(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path()));
        let mut service = place.serve();
        let mut session = service.client().register("ada@example.com");
        for _ in 0..5 {
            session = service.client().refresh(&session.refresh_token()).expect(200);
            service.signal("KILL");
            assert_eq!(service.child.wait().expect("ended").signal(), Some(9));
            service = place.serve();
        }
        service.client().refresh(&session.refresh_token()).expect(200);
        service.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200);
    }

    fn two_instances_on_one_database_are_one_service(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path()));
        let (first, second) = (place.serve(), place.serve());
        let session = first.client().register("ada@example.com");
        let next = second.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(first.client().refresh(&session.refresh_token()).expect(200).refresh_token(), next.refresh_token());
        second.client().bearer(&next.access_token()).post("/v1/auth/logout", &json!({"all": true})).expect(204);
        first.client().bearer(&session.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        first.client().refresh(&next.refresh_token()).expect_problem(401, "invalid_grant");
    }
}

pub(super) fn execute(url: &str, sql: &str) {
    use diesel::connection::SimpleConnection;
    use signet::db::{Conn, Url};
    match &mut url.parse::<Url>().expect("our own URL").connect().expect("connects") {
        Conn::Pg(c) => c.batch_execute(sql),
        Conn::Sqlite(c) => c.batch_execute(sql),
    }
    .expect(sql);
}

#[test]
fn sigterm_finishes_what_is_under_way_and_ends_well() {
    let place =
        Place::ready_on_sqlite().with("SIGNET_HASHING__MEMORY_KIB", "65536").with("SIGNET_HASHING__ITERATIONS", "4");
    let mut service = place.serve();
    let client = service.client();
    let registering = std::thread::spawn(move || client.register("ada@example.com"));
    wait::until("the hash is not begun", || {
        service.operator().get("/metrics").text.contains("signet_hash_wait_seconds_count 1")
    });
    service.signal("TERM");
    service.wait_for("stopping");
    registering.join().expect("answered").expect(201);
    let (code, _) = service.end();
    assert_eq!(code, Some(0));
}

#[test]
fn sighup_reads_the_keys_again() {
    let place = Place::ready_on_sqlite();
    let mut service = place.serve();
    place.succeed(&["keys", "new"]);
    service.signal("HUP");
    service.wait_for("the published keys changed");
    let keys = service.client().get("/.well-known/jwks.json").expect(200).json();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_key_folder_that_was_emptied_is_told_and_the_last_good_keys_go_on() {
    let place = Place::ready_on_sqlite();
    let mut service = place.serve();
    let session = service.client().register("ada@example.com");
    let (keys, away) = (place.path().join("keys"), place.path().join("away"));
    std::fs::rename(&keys, &away).expect("moved");
    std::fs::create_dir(&keys).expect("made");
    service.signal("HUP");
    service.wait_for("the last good ones stay in use");
    let ready = service.operator().get("/health/ready").expect(200).json();
    assert_eq!((&ready["keys"], &ready["status"]), (&json!("stale"), &json!("ready")));
    let metrics = service.operator().get("/metrics").text;
    for line in ["signet_key_reload_failures_total 1", "signet_ready{part=\"keys\"} 0"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let next = service.client().refresh(&session.refresh_token()).expect(200);
    service.client().bearer(&next.access_token()).get("/v1/auth/me").expect(200);

    std::fs::remove_dir(&keys).and_then(|()| std::fs::rename(&away, &keys)).expect("moved back");
    service.signal("HUP");
    wait::until("it does not read them again", || {
        service.operator().get("/health/ready").expect(200).json()["keys"] == "ok"
    });
}

#[test]
fn it_never_makes_up_a_key_or_a_schema() {
    let place =
        Place::new().with("SIGNET_ISSUER", "http://localhost:8080").with("SIGNET_DATABASE__URL", "sqlite:signet.db");
    place.fail(&["serve"]);
    assert!(!place.path().join("keys").exists());
}

#[test]
fn logs_are_json_lines_with_a_request_id() {
    let place = Place::ready_on_sqlite();
    let mut service = place.serve();
    service.client().with("x-request-id", "trace-7").get("/v1/auth/me").expect(401);
    let line: serde_json::Value = serde_json::from_str(&service.wait_for("trace-7")).expect("JSON");
    assert_eq!(line["message"], "request answered");
    assert_eq!(line["status"], 401);
    assert_eq!(line["route"], "/v1/auth/me");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["level"], "INFO");
}
