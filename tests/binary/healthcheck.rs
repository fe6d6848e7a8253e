//! `signet healthcheck`, as a container's health check runs it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::ports;
use crate::support::program::Place;

/// The program that asks, set up like the service that listens at `address`.
fn asking(address: &str) -> Place {
    Place::new().with("SIGNET_MANAGEMENT__LISTEN", address)
}

#[test]
fn it_asks_the_running_service_of_the_same_configuration() {
    let place = Place::ready_on_sqlite();
    let service = place.serve();
    let port = service.management_url.rsplit(':').next().expect("a port");
    for address in [format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}")] {
        let printed = asking(&address).succeed(&["healthcheck"]);
        assert!(printed.starts_with(r#"{"status":"ready","#) && printed.lines().count() == 1, "{printed}");
        assert_eq!(asking(&address).succeed(&["healthcheck", "--live"]), "{\"status\":\"live\"}\n");
    }
}

#[test]
fn a_service_that_is_not_ready_is_one_line_and_a_failure() {
    let place = Place::ready_on_sqlite().with("SIGNET_SHUTDOWN__DELAY", "20s");
    let mut service = place.serve();
    let address = service.management_url.strip_prefix("http://").expect("plain http").to_owned();
    service.signal("TERM");
    service.wait_for("stopping");
    let line = asking(&address).fail(&["healthcheck"]);
    assert!(line.contains("/health/ready: 503 {\"status\":\"draining\""), "{line}");
    asking(&address).succeed(&["healthcheck", "--live"]);
}

#[test]
fn nobody_there_is_one_line_and_a_failure() {
    let [port] = ports::free();
    let free = format!("127.0.0.1:{port}");
    let line = asking(&free).fail(&["healthcheck"]);
    assert!(line.starts_with(&format!("http://{free}/health/ready: ")), "{line}");
}

#[test]
fn whoever_never_answers_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("bound").to_string();
    for (arguments, least) in [(&["healthcheck", "--timeout", "500ms"][..], 400), (&["healthcheck"][..], 2_500)] {
        let begun = Instant::now();
        asking(&address).fail(arguments);
        assert!(begun.elapsed() >= Duration::from_millis(least), "{:?}", begun.elapsed());
    }
}
