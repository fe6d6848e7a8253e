//! A machine that stands still: paused, moved to another host, or with too much to do. Whoever asked meanwhile is answered.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use signet::db::{Conn, Url};

use crate::support::program::{Place, Service};
use crate::support::{Answer, Backend, Client, PASSWORD, json, on_both, wait};

/// Longer than a request's head may take, and than anybody waits for a turn.
const STANDSTILL: Duration = Duration::from_secs(12);
/// The longest wait for a turn that is not warned of.
const MAX_WAIT: &str = "10s";

/// A connection that the service has seen.
fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(service.url.trim_start_matches("http://")).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    std::thread::sleep(Duration::from_millis(300));
    stream
}

/// One on which a request was answered already.
fn connect_and_ask(service: &Service) -> TcpStream {
    let mut stream = connect(service);
    stream.write_all(b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n\r\n").expect("written");
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"]}") && stream.read(&mut byte).expect("answered") > 0 {
        answer.push(byte[0]);
    }
    stream
}

fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// A client throws its session away on any 4xx.
#[test]
fn who_asks_while_the_machine_stands_still_keeps_the_session() {
    let place = Place::ready_on_sqlite();
    let service = place.serve();
    let session = service.client().register("ada@example.com");
    let body = json!({"refresh_token": session.refresh_token()}).to_string();
    let head = "POST /v1/auth/refresh HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let [early, head, body, silent] = [(); 4].map(|()| connect(&service));
    let kept = connect_and_ask(&service);
    // What each has sent before.
    let mut asking = [(early, 0), (head, 40), (body, request.len() - 20), (kept, 0)];
    for (stream, before) in &mut asking {
        stream.write_all(&request.as_bytes()[..*before]).expect("written");
    }
    std::thread::sleep(Duration::from_millis(300));
    service.signal("STOP");
    for (stream, before) in &mut asking {
        stream.write_all(&request.as_bytes()[*before..]).expect("written");
    }
    std::thread::sleep(STANDSTILL);
    service.signal("CONT");
    for (stream, before) in asking {
        let answer = read(stream);
        let is_answered = answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"refresh_token\"");
        assert!(is_answered, "after {before} bytes: {answer}");
    }
    // Whoever says nothing is not waited for all the same, and told nothing that could be taken for an answer.
    assert_eq!(read(silent), "");
}

/// Has `ask` done by so many clients, and the machine stand still as soon as `all_wait`.
fn ask_and_stand_still(
    service: &Service,
    count: usize,
    ask: impl Fn(&Client, usize) -> Answer + Sync,
    all_wait: impl FnOnce(),
    meanwhile: impl FnOnce(),
) -> Vec<Answer> {
    let (client, ask) = (service.client(), &ask);
    std::thread::scope(|scope| {
        let start = |number| {
            let client = &client;
            scope.spawn(move || ask(client, number))
        };
        let asking: Vec<_> = (0..count).map(start).collect();
        all_wait();
        service.signal("STOP");
        meanwhile();
        std::thread::sleep(STANDSTILL);
        service.signal("CONT");
        asking.into_iter().map(|asking| asking.join().expect("answered")).collect()
    })
}

fn metric(service: &Service, name: &str) -> f64 {
    let text = service.operator().get("/metrics").text;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

on_both! {
    fn who_waits_for_the_database_while_the_machine_stands_still_is_answered(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let url = backend.database(dir.path());
        let place = Place::ready(&url).with("SIGNET_DATABASE__POOL_SIZE", "1").with("SIGNET_DATABASE__MAX_WAIT", MAX_WAIT);
        let service = place.serve();
        let sessions = ["ada@example.com", "bob@example.com", "eve@example.com"].map(|email| service.client().register(email));
        let mut other = url.parse::<Url>().expect("our own URL").connect().expect("there");
        let mut run = |sql: &str| match &mut other {
            Conn::Pg(c) => c.batch_execute(sql),
            Conn::Sqlite(c) => c.batch_execute(sql),
        }.expect(sql);
        // One has the connection, or the turn, and waits for somebody else's lock; the others wait for it.
        run(match backend {
            Backend::Postgres => "BEGIN; LOCK TABLE sessions",
            Backend::Sqlite => "BEGIN EXCLUSIVE",
        });
        let all_wait = || {
            wait::until("nobody is at work", || metric(&service, "signet_database_connections_in_use") == 1.0);
            std::thread::sleep(Duration::from_millis(500));
        };
        let refresh = |client: &Client, number: usize| client.refresh(&sessions[number].refresh_token());
        for answer in ask_and_stand_still(&service, sessions.len(), refresh, all_wait, || run("ROLLBACK")) {
            answer.expect(200);
        }
    }
}

#[test]
fn who_waits_for_a_hash_while_the_machine_stands_still_is_answered() {
    let place = Place::ready_on_sqlite()
        .with("SIGNET_HASHING__THREADS", "1")
        .with("SIGNET_HASHING__MEMORY_KIB", "65536")
        .with("SIGNET_HASHING__ITERATIONS", "3")
        .with("SIGNET_HASHING__MAX_WAIT", MAX_WAIT);
    let service = place.serve();
    service.client().register("ada@example.com");
    let login =
        |client: &Client, _| client.post("/v1/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD}));
    // Where this comes too late they had what they wanted before, and nothing is shown.
    let all_wait = || {
        let _ = (0..1_000).find(|_| metric(&service, "signet_hash_queue_depth") > 1.0);
    };
    for answer in ask_and_stand_still(&service, 4, login, all_wait, || {}) {
        answer.expect(200);
    }
    // Nor does it keep anybody out afterwards.
    for answer in ask_and_stand_still(&service, 4, login, || {}, || {}) {
        answer.expect(200);
    }
}

#[test]
fn balancers_have_their_time_to_notice_when_the_machine_goes_on() {
    let place = Place::ready_on_sqlite().with("SIGNET_SHUTDOWN__DELAY", "10s");
    let mut service = place.serve();
    service.signal("TERM");
    service.wait_for("stopping: not ready any more");
    service.signal("STOP");
    std::thread::sleep(STANDSTILL);
    service.signal("CONT");
    // It would have ended by now.
    for _ in 0..10 {
        service.operator().get("/health/ready").expect(503);
        service.client().get("/.well-known/jwks.json").expect(200);
    }
    assert!(!service.log().iter().any(|line| line.contains("no more connections")), "{:?}", service.log());
}
