//! `password.breached_file`: asked wherever a password is set, and for nothing else.

use std::io::Write;

use sha1::{Digest, Sha1};
use tempfile::NamedTempFile;

use crate::support::mailbox::{self, Mailbox};
use crate::support::program::Place;
use crate::support::{Answer, Backend, PASSWORD, Server, json, on_both};

const STOLEN: &str = "a very long phrase that was stolen";

/// A file in which [`STOLEN`] is among a thousand others.
fn list() -> NamedTempFile {
    let digest =
        |text: &str| Sha1::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let mut lines: Vec<String> = (0..1_000).map(|n| format!("{}:{n}\r\n", digest(&format!("other{n}")))).collect();
    lines.push(format!("{}:3\r\n", digest(STOLEN)));
    lines.sort();
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(lines.concat().as_bytes()).expect("written");
    file
}

fn expect_breached(answer: Answer, field: &str) {
    let answer = answer.expect_problem(422, "invalid_field");
    assert_eq!(answer.field_errors(), [(field.to_owned(), "password_breached".to_owned())]);
    assert!(!answer.text.contains(STOLEN), "{}", answer.text);
}

on_both! {
    fn a_stolen_password_is_refused_wherever_one_is_set(backend) {
        let list = list();
        let server = Server::start_with(backend, |config| {
            mailbox::into_folder(config);
            config.password.breached_file = list.path().to_owned();
        });
        let client = server.client();
        let register = |password: &str| client.post("/v1/auth/register", &json!({"email": "ada@example.com", "password": password}));
        expect_breached(register(STOLEN), "password");
        let session = register(PASSWORD).expect(201);
        let me = client.bearer(&session.access_token());
        let change = json!({"current_password": PASSWORD, "new_password": STOLEN});
        expect_breached(me.post("/v1/auth/change-password", &change), "new_password");
        client.post("/v1/auth/forgot-password", &json!({"email": "ada@example.com"})).expect(202);
        let token = Mailbox::of(&server).newest("ada@example.com", "reset_password").token();
        let reset = |password: &str| client.post("/v1/auth/reset-password", &json!({"token": token, "new_password": password}));
        expect_breached(reset(STOLEN), "new_password");
        reset("a wholly other phrase").expect(204);
        let place = Place::on(&server.config.database.url.0).with("SIGNET_PASSWORD__BREACHED_FILE", list.path().to_str().expect("UTF-8"));
        let set = place.run_with_input(&["users", "set-password", "ada@example.com"], &format!("{STOLEN}\n"));
        assert!(!set.status.success() && String::from_utf8_lossy(&set.stderr).contains("stolen elsewhere"));
        let body = json!({"email": "ada@example.com", "password": "a wholly other phrase"});
        client.post("/v1/auth/login", &body).expect(200);
    }

    fn whoever_has_one_already_still_gets_in(backend) {
        let without = Server::start(backend);
        let body = json!({"email": "ada@example.com", "password": STOLEN});
        without.client().post("/v1/auth/register", &body).expect(201);
        let list = list();
        let server = Server::start_beside(&without, without.clock.clone(), |config| config.password.breached_file = list.path().to_owned());
        server.client().post("/v1/auth/login", &body).expect(200);
    }
}

#[test]
fn a_file_of_no_use_is_found_before_the_service_starts() {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(b"letmein\npassword\n").expect("written");
    let path = file.path().to_str().expect("UTF-8").to_owned();
    let place = Place::ready_on_sqlite().with("SIGNET_PASSWORD__BREACHED_FILE", &path);
    let finding = format!("password.breached_file: {path}: is not a list of SHA-1 digests");
    let checked = place.run(&["check"]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains(&format!("finding: {finding}")), "{checked:?}");
    assert!(place.fail(&["serve"]).contains(&finding));
    // `check` finds all there is to find, so it does not stop at something else.
    let place = place.with("SIGNET_ISSUER", "https://id.example/");
    let found = String::from_utf8(place.run(&["check"]).stdout).expect("UTF-8");
    assert!(found.contains("finding: issuer: ") && found.contains(&format!("finding: {finding}")), "{found}");
    let place = place.with("SIGNET_ISSUER", "http://localhost:8080");
    let place = place.with("SIGNET_PASSWORD__BREACHED_FILE", list().path().to_str().expect("UTF-8"));
    assert!(place.fail(&["serve"]).contains("No such file"), "it is gone by then");
}
