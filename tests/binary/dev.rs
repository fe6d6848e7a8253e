//! `signet dev`: what a newcomer sees.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use signet::clock::Clock;

use crate::support::phone::Phone;
use crate::support::program::Place;
use crate::support::{Value, json, token};

#[test]
fn the_printed_commands_work_as_they_are() {
    let place = Place::new();
    let service = place.start(&["dev"]);
    service.signal("TERM");
    let url = service.url.clone();
    let (code, printed) = service.end();
    assert_eq!(code, Some(0));
    assert!(printed.contains(&format!("{url}/.well-known/jwks.json")), "{printed}");

    // The ports of the first run are free again; the second run takes the same, so that its lines can be run as printed.
    let listen = url.strip_prefix("http://").expect("plain http");
    let place = place.with("SIGNET_PUBLIC__LISTEN", listen);
    let _service = place.start(&["dev"]);
    let commands: Vec<&str> = printed.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    let answers: Vec<Value> = commands.iter().map(|command| run(command)).collect();
    let [registered, logged_in, jwks] = answers.as_slice() else { panic!("three commands: {printed}") };
    assert_eq!(registered["user"]["email"], "ada@example.com");
    assert_eq!(logged_in["user"]["id"], registered["user"]["id"]);
    let (header, _) = token::decode(logged_in["access_token"].as_str().expect("a token"));
    assert_eq!(header["kid"], jwks["keys"][0]["kid"]);
}

fn run(command: &str) -> Value {
    let output = Command::new("sh").args(["-c", command]).output().expect("a shell");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{command}: {error}: {output:?}"))
}

#[test]
fn a_second_start_keeps_users_sessions_and_keys() {
    let place = Place::new();
    let first = place.start(&["dev", "--data", "elsewhere"]);
    let session = first.client().register("ada@example.com");
    let me = first.client().bearer(&session.access_token());
    let enrolment = me.post_empty("/v1/auth/mfa/totp").expect(200);
    let keys = first.client().get("/.well-known/jwks.json").text;
    first.signal("INT");
    let (code, printed) = first.end();
    assert_eq!(code, Some(0));
    assert!(printed.contains("a new key was made"), "{printed}");
    let second = place.start(&["dev", "--data", "elsewhere"]);
    assert_eq!(second.client().get("/.well-known/jwks.json").text, keys);
    second.client().login("ada@example.com");
    let refreshed = second.client().refresh(&session.refresh_token()).expect(200);
    // Sealed with a key that was made, and kept.
    let me = second.client().bearer(&refreshed.access_token());
    let code = Phone::scan(&enrolment).code_at(Clock::system().now());
    me.post("/v1/auth/mfa/totp/confirm", &json!({"code": code})).expect(200);
    second.signal("TERM");
    let (_, printed) = second.end();
    assert!(!printed.contains("a new key was made"), "{printed}");
    for file in
        std::fs::read_dir(place.path().join("elsewhere")).expect("readable").map(|entry| entry.expect("readable"))
    {
        let mode = file.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} holds what is nobody else's", file.path());
    }
}

#[test]
fn it_listens_on_loopback_only() {
    let place = Place::new().with("SIGNET_PUBLIC__LISTEN", "0.0.0.0:0");
    assert!(place.fail(&["dev"]).starts_with("dev listens on loopback only, not on 0.0.0.0:0"));
    assert!(!place.path().join("data").exists());
}

#[test]
fn configuration_holds_in_dev_too() {
    let place = Place::new().with("SIGNET_TOKEN__ACCESS_TTL", "1h").with("SIGNET_AUDIENCE", "api");
    let service = place.start(&["dev"]);
    let session = service.client().register("ada@example.com");
    assert_eq!(session.json()["expires_in"], 3600);
    let (_, claims) = token::decode(&session.access_token());
    assert_eq!((claims["aud"].as_str(), claims["iss"].as_str()), (Some("api"), Some(service.url.as_str())));
}
