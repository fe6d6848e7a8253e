//! The README's tour, run as it is printed.

use std::process::Command;

use crate::support::program::Place;

/// The lines of the fenced block that is marked as the tour.
fn tour() -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("the README");
    let (_, rest) = readme.split_once("```sh tour\n").expect("a tour");
    let (tour, _) = rest.split_once("```").expect("its end");
    tour.to_owned()
}

#[test]
fn every_command_of_the_tour_works() {
    let place = Place::new();
    let service = place.start(&["dev"]);
    let host = |url: &str| url.trim_start_matches("http://").to_owned();
    let script = tour()
        .replace("127.0.0.1:8080", &host(&service.url))
        .replace("127.0.0.1:9100", &host(&service.management_url))
        // Each answer on a line of its own, after its status.
        .replace("curl -s ", "curl -s -w '\\n%{http_code}\\n' ")
        .replace("=$(curl -s -w '\\n%{http_code}\\n' ", "=$(curl -s ");
    let output = Command::new("sh").args(["-e", "-c", &script]).output().expect("a shell");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    let statuses: Vec<&str> =
        printed.lines().filter(|line| line.len() == 3 && line.bytes().all(|b| b.is_ascii_digit())).collect();
    assert_eq!(statuses, ["201", "200", "200", "200", "200", "200", "200", "204", "401", "200", "200"], "{printed}");
}
