//! A machine that stands still: paused, moved to another host, or with too much to do. Whoever asked meanwhile is answered.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::json;
use crate::support::program::{Place, Service};

/// Longer than a request's head may take.
const STANDSTILL: Duration = Duration::from_secs(12);

/// A connection that the service has seen.
fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(service.url.trim_start_matches("http://")).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    std::thread::sleep(Duration::from_millis(300));
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
    let [mut early, mut halfway, silent] = [(); 3].map(|()| connect(&service));
    halfway.write_all(&request.as_bytes()[..40]).expect("written");
    std::thread::sleep(Duration::from_millis(300));
    service.signal("STOP");
    early.write_all(request.as_bytes()).expect("written");
    halfway.write_all(&request.as_bytes()[40..]).expect("written");
    std::thread::sleep(STANDSTILL);
    service.signal("CONT");
    for answer in [read(early), read(halfway)] {
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"refresh_token\""), "{answer}");
    }
    // Whoever says nothing is not waited for all the same, and told nothing that could be taken for an answer.
    assert_eq!(read(silent), "");
}
