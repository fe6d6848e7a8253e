//! The outbox with several instances, and with a mail server that does not do its work.

use std::path::PathBuf;
use std::time::Duration;

use signet::clock::Clock;

use crate::support::mailbox::{self, Mailbox};
use crate::support::{Backend, PASSWORD, Server, json, on_both, wait};

/// A folder that cannot be one: a file is in its place.
fn blocked(config: &mut signet::config::Config) {
    mailbox::into_folder(config);
    std::fs::write(config.keys.dir.with_file_name("mail"), "").expect("written");
}

fn place(server: &Server) -> PathBuf {
    server.dir.path().join("mail")
}

/// Waits until so many attempts have failed or been given up.
#[track_caller]
fn await_outcome(server: &Server, outcome: &str, count: f64) {
    let metric = format!("signet_mails_total{{outcome=\"{outcome}\"}}");
    wait::until(&format!("no {count} {outcome}"), || server.metric(&metric) >= count);
    assert_eq!(server.metric(&metric), count, "{outcome}");
}

on_both! {
    fn of_two_instances_one_sends_each_mail(backend) {
        let first = Server::start_with(backend, mailbox::into_folder);
        let clock = Clock::manual(first.clock.now());
        let second = Server::start_beside(&first, clock.clone(), |_| {});
        let emails: Vec<String> = (0..24).map(|number| format!("user{number}@example.com")).collect();
        std::thread::scope(|scope| {
            for (number, email) in emails.iter().enumerate() {
                let server = if number % 2 == 0 { &first } else { &second };
                let clients = [first.client(), second.client()];
                scope.spawn(move || {
                    server.client().register(email);
                    // Asked of both: it is one mail all the same.
                    for client in clients {
                        client.post("/v1/auth/forgot-password", &json!({"email": email})).expect(202);
                    }
                });
            }
        });
        let mailbox = Mailbox::of(&first);
        for email in &emails {
            assert_eq!(mailbox.count(email), 2, "one to verify {email} and one for a new password");
            let token = mailbox.newest_of(email, "reset_password").token();
            let body = json!({"token": token, "new_password": "a wholly other phrase"});
            second.client().post("/v1/auth/reset-password", &body).expect(204);
        }
        let sent = |server: &Server| server.metric("signet_mails_total{outcome=\"sent\"}");
        assert!(sent(&first) + sent(&second) >= 48.0);
    }

    fn what_cannot_be_sent_is_tried_again_ever_more_rarely_and_given_up(backend) {
        let server = Server::start_with(backend, blocked);
        server.client().register("ada@example.com");
        for (attempt, minutes) in [1, 2, 4, 8, 16, 32, 60].into_iter().enumerate() {
            await_outcome(&server, "failed", attempt as f64 + 1.0);
            server.clock.advance(Duration::from_secs(60 * minutes));
        }
        await_outcome(&server, "given_up", 1.0);
        wait::until("it was given up and waits still", || server.count("outbox") == 0);
        assert_eq!(server.metric("signet_mails_total{outcome=\"sent\"}"), 0.0);
        // Nobody was kept from anything.
        server.client().login("ada@example.com");
    }

    fn a_mail_that_was_delayed_carries_a_token_that_begins_when_it_is_sent(backend) {
        let server = Server::start_with(backend, blocked);
        server.client().register("ada@example.com");
        await_outcome(&server, "failed", 1.0);
        // The next look counts what waits.
        wait::until("nothing is said to wait", || server.metric("signet_mails_waiting") >= 1.0);
        std::fs::remove_file(place(&server)).expect("the trouble ends");
        server.clock.advance(Duration::from_secs(45 * 60));
        let mail = Mailbox::of(&server).newest("ada@example.com", "verify_email");
        server.clock.advance(Duration::from_secs(29 * 60));
        server.client().post("/v1/auth/verify-email", &json!({"token": mail.token()})).expect(204);
        // A token made for an attempt that failed is as if it had never been.
        assert_eq!(server.count("one_time_tokens"), 0);
    }

    fn a_request_that_fails_sends_nothing(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        server.client().post("/v1/auth/register", &body).expect_problem(409, "email_taken");
        assert_eq!(Mailbox::of(&server).mails().len(), 1);
    }
}
