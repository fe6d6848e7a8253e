//! How `serve` ends: it says so first, then takes no more, then finishes what it has.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use diesel::Connection;
use diesel::connection::SimpleConnection;

use crate::support::program::Place;

/// Sends a request on a connection and reads its answer's head and body, which `length` says the end of.
fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n\r\n").expect("taken");
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with("]}") && stream.read(&mut byte).expect("answered") > 0 {
        answer.push(char::from(byte[0]));
    }
    answer.to_ascii_lowercase()
}

#[test]
fn after_sigterm_it_serves_on_until_balancers_know() {
    let place = Place::ready_on_sqlite().with("SIGNET_SHUTDOWN__DELAY", "2s");
    let mut service = place.serve();
    let address = service.url.strip_prefix("http://").expect("plain http").to_owned();
    let mut kept = TcpStream::connect(&address).expect("connects");
    assert!(!ask(&mut kept).contains("connection: close"), "it is kept while there is no end in sight");

    let begun = Instant::now();
    service.signal("TERM");
    service.wait_for("stopping: not ready any more");
    let ready = service.operator().get("/health/ready").expect(503);
    assert_eq!(ready.json()["status"], "draining");
    assert_eq!(service.operator().get("/health/live").expect(200).header("connection"), "close");
    // New connections are still served, and the kept one is let go with its next answer.
    service.client().register("ada@example.com");
    assert!(ask(&mut kept).contains("connection: close"));
    assert_eq!(kept.read(&mut [0]).expect("closed, not broken"), 0);

    service.wait_for("stopping: no more connections are taken");
    assert!(begun.elapsed() >= Duration::from_millis(1_900), "{:?}", begun.elapsed());
    assert_eq!(service.end().0, Some(0));
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn a_person_does_not_wait_and_a_second_signal_ends_it_at_once() {
    // Longer than any test waits.
    let place = Place::ready_on_sqlite().with("SIGNET_SHUTDOWN__DELAY", "10m");
    for signals in [&["INT"][..], &["TERM", "INT"], &["TERM", "TERM"]] {
        let mut service = place.serve();
        service.signal(signals[0]);
        service.wait_for("stopping");
        for signal in &signals[1..] {
            service.signal(signal);
        }
        assert_eq!(service.end().0, Some(0));
    }
}

#[test]
fn what_takes_longer_than_the_deadline_is_cut_off() {
    let place = Place::ready_on_sqlite().with("SIGNET_SHUTDOWN__DEADLINE", "1s");
    let service = place.serve();
    let client = service.client();
    // Somebody else's transaction, for which SQLite waits five seconds.
    let path = place.path().join("signet.db").display().to_string();
    let mut lock = diesel::SqliteConnection::establish(&path).expect("opens");
    lock.batch_execute("BEGIN IMMEDIATE").expect("locked");
    let registering = std::thread::spawn(move || {
        let body = serde_json::json!({"email": "ada@example.com", "password": "correct horse battery"});
        client.try_post("/v1/auth/register", &body)
    });
    std::thread::sleep(Duration::from_millis(500));
    service.signal("TERM");
    assert_eq!(service.end().0, Some(0));
    assert!(registering.join().expect("ends").is_none(), "it was cut off");
}

#[test]
fn dev_ends_at_once() {
    let place = Place::new().without("SIGNET_SHUTDOWN__DELAY");
    let mut service = place.start(&["dev"]);
    service.signal("TERM");
    let line = service.wait_for("stopping");
    assert!(line.contains("no more connections are taken"), "without a delay: {line}");
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn a_service_that_has_ended_leaves_the_whole_database_in_its_file() {
    let place = Place::ready_on_sqlite();
    let service = place.serve();
    service.client().register("ada@example.com");
    service.signal("TERM");
    assert_eq!(service.end().0, Some(0));
    let log = std::fs::metadata(place.path().join("signet.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "nothing is left in the log");
}
