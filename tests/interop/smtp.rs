//! A real mail server, aiosmtpd: in clear on loopback, with STARTTLS and with TLS from the start; and one that refuses.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::install;
use super::process::Serving;
use crate::support::mailbox::find_token;
use crate::support::{Backend, PASSWORD, Server, Value, json, on_both, wait};

struct MailServer {
    port: u16,
    folder: TempDir,
    _process: Serving,
}

impl MailServer {
    /// `None` without Python.
    fn start(mode: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut python = install::python()?;
        python.arg("smtp_server.py").arg(folder.path()).arg(mode);
        let process = Serving::start(&mut python);
        let port = process.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        Some(Self { port, folder, _process: process })
    }

    fn url(&self, scheme: &str, query: &str) -> String {
        let credentials = if query.is_empty() { "signet:open-sesame@" } else { "" };
        let host = if query.is_empty() { "localhost" } else { "127.0.0.1" };
        format!("{scheme}://{credentials}{host}:{}{query}", self.port)
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn taken(&self) -> Vec<Value> {
        let parse = |number: usize| {
            let text = std::fs::read_to_string(self.folder.path().join(format!("{number}.json"))).ok()?;
            Some(serde_json::from_str(&text).expect("JSON"))
        };
        (1..).map_while(parse).collect()
    }

    /// What it has taken, once it is so much.
    #[track_caller]
    fn await_taken(&self, count: usize) -> Vec<Value> {
        wait::until(&format!("no {count} mails arrive"), || self.taken().len() >= count);
        self.taken()
    }
}

/// A service that sends to it.
fn service(backend: Backend, url: String, ca_file: Option<PathBuf>) -> Server {
    Server::start_with(backend, |config| {
        config.mail.url.0 = url;
        config.mail.from = "Acme <no-reply@acme.example>".to_owned();
        config.mail.verify_email_link = "https://app.example/verify#token={token}".to_owned();
        config.mail.ca_file = ca_file.unwrap_or_default();
    })
}

fn header<'m>(mail: &'m Value, name: &str) -> Vec<&'m str> {
    let headers = mail["headers"].as_array().expect("a list").iter();
    headers.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().expect("text")).collect()
}

#[track_caller]
fn await_metric(server: &Server, outcome: &str, count: f64) {
    let metric = format!("signet_mails_total{{outcome=\"{outcome}\"}}");
    wait::until(&format!("no {count} {outcome}"), || server.metric(&metric) >= count);
}

on_both! {
    fn a_mail_arrives_whole_and_its_link_works(backend) {
        let Some(mail_server) = MailServer::start("plain") else { return };
        let server = service(backend, mail_server.url("smtp", "?tls=none"), None);
        server.client().register("ada@example.com");
        let mail = &mail_server.await_taken(1)[0];
        assert_eq!((&mail["from"], &mail["to"]), (&json!("no-reply@acme.example"), &json!(["ada@example.com"])));
        assert_eq!(header(mail, "From"), ["Acme <no-reply@acme.example>"]);
        assert_eq!(header(mail, "To"), ["ada@example.com"]);
        assert_eq!(header(mail, "Subject"), ["Confirm your address for Acme"]);
        assert_eq!(header(mail, "Auto-Submitted"), ["auto-generated"]);
        assert_eq!(header(mail, "Date"), ["Sat, 21 Nov 2026 10:00:00 +0000"]);
        assert!(header(mail, "Message-ID")[0].ends_with("@acme.example>"), "{mail}");
        assert_eq!(mail["defects"], json!([]));
        let text = &mail["text"].as_str().expect("text").replace("\r\n", "\n");
        let html = mail["html"].as_str().expect("a page");
        let token = find_token(text).expect("a token");
        assert!(text.contains(&format!("\n    https://app.example/verify#token={token}\n")), "{text}");
        assert!(html.contains(&token), "{html}");
        server.client().post("/v1/auth/verify-email", &json!({"token": token})).expect(204);
    }

    fn a_name_brings_no_header_and_no_recipient_with_it(backend) {
        let Some(mail_server) = MailServer::start("plain") else { return };
        let server = service(backend, mail_server.url("smtp", "?tls=none"), None);
        for name in ["x\r\nBcc: eve@example.com", "x\nTo: eve@example.com"] {
            let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": name});
            server.client().post("/v1/auth/register", &body).expect_problem(422, "invalid_field");
        }
        let name = "x\u{2028}Bcc: eve@example.com\u{2029}\u{feff}.";
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": name});
        server.client().post("/v1/auth/register", &body).expect(201);
        mail_server.await_taken(1);
        server.execute("UPDATE users SET is_verified = true");
        server.client().post("/v1/auth/forgot-password", &json!({"email": "ada@example.com"})).expect(202);
        for mail in mail_server.await_taken(2) {
            assert_eq!(mail["to"], json!(["ada@example.com"]));
            assert_eq!((header(&mail, "Bcc").len(), header(&mail, "To")), (0, vec!["ada@example.com"]));
            assert_eq!(mail["defects"], json!([]));
        }
    }

    fn over_tls_with_a_password(backend) {
        for (mode, scheme) in [("starttls", "smtp"), ("tls", "smtps")] {
            let Some(mail_server) = MailServer::start(mode) else { return };
            let server = service(backend, mail_server.url(scheme, ""), Some(mail_server.ca_file()));
            server.client().register("ada@example.com");
            let mail = &mail_server.await_taken(1)[0];
            assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("signet")), "{mode}");
            // Over the same connection or another.
            server.client().register("eve@example.com");
            mail_server.await_taken(2);
        }
    }
}

#[test]
fn a_server_that_is_not_known_gets_neither_mail_nor_password() {
    for (mode, scheme) in [("starttls", "smtp"), ("tls", "smtps")] {
        let Some(mail_server) = MailServer::start(mode) else { return };
        let server = service(Backend::Sqlite, mail_server.url(scheme, ""), None);
        server.client().register("ada@example.com");
        await_metric(&server, "failed", 1.0);
        assert_eq!(mail_server.taken().len(), 0);
    }
}

#[test]
fn where_tls_is_demanded_nothing_goes_in_clear() {
    let Some(mail_server) = MailServer::start("plain") else { return };
    let server = service(Backend::Sqlite, format!("smtp://localhost:{}", mail_server.port), None);
    server.client().register("ada@example.com");
    await_metric(&server, "failed", 1.0);
    assert_eq!(mail_server.taken().len(), 0);
}

on_both! {
    fn who_is_not_there_is_given_up_and_who_is_not_there_now_is_tried_again(backend) {
        let Some(mail_server) = MailServer::start("plain") else { return };
        let server = service(backend, mail_server.url("smtp", "?tls=none"), None);
        server.client().register("nobody@example.com");
        await_metric(&server, "given_up", 1.0);
        server.client().register("later@example.com");
        await_metric(&server, "failed", 1.0);
        assert_eq!(mail_server.taken().len(), 0);
        server.clock.advance(Duration::from_secs(60));
        let mail = &mail_server.await_taken(1)[0];
        assert_eq!(mail["to"], json!(["later@example.com"]));
        let token = find_token(mail["text"].as_str().expect("text")).expect("a token");
        server.client().post("/v1/auth/verify-email", &json!({"token": token})).expect(204);
        assert_eq!(server.count("outbox WHERE email = 'nobody@example.com'"), 0);
    }
}
