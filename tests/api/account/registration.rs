//! Who may register: `registration = "verified"`, `"invite"`, `"closed"`. The open one is in `register.rs`.

use std::time::Duration;

use signet::config::Registration;

use crate::support::mailbox::{self, Mailbox};
use crate::support::{Answer, Backend, PASSWORD, Server, json, on_both};

const OTHER: &str = "a wholly other phrase";

fn start(backend: Backend, registration: Registration) -> Server {
    Server::start_with(backend, |config| {
        mailbox::into_folder(config);
        config.registration = registration;
    })
}

fn register(server: &Server, email: &str, password: &str) -> Answer {
    server.client().post("/v1/auth/register", &json!({"email": email, "password": password}))
}

fn login(server: &Server, email: &str, password: &str) -> Answer {
    server.client().post("/v1/auth/login", &json!({"email": email, "password": password}))
}

on_both! {
    fn verified_opens_no_session_before_the_address_is_verified(backend) {
        let server = start(backend, Registration::Verified);
        let answer = register(&server, "ada@example.com", PASSWORD).expect(202);
        assert_eq!((answer.text.as_str(), answer.header("set-cookie"), answer.header("location")), ("", "", ""));
        let unknown = login(&server, "nobody@example.com", PASSWORD).expect_problem(401, "invalid_credentials");
        let refused = login(&server, "ada@example.com", PASSWORD).expect_problem(401, "invalid_credentials");
        assert_eq!(unknown.json()["detail"], refused.json()["detail"]);
        assert_eq!(server.metric("signet_logins_total{outcome=\"unverified\"}"), 1.0);
        assert_eq!(server.count("sessions"), 0);
        let token = Mailbox::of(&server).newest("ada@example.com", "verify_email").token();
        server.client().post("/v1/auth/verify-email", &json!({"token": token})).expect(204);
        login(&server, "ada@example.com", PASSWORD).expect(200);
    }

    fn verified_says_the_same_of_a_taken_address_and_tells_only_its_owner(backend) {
        let server = start(backend, Registration::Verified);
        let mailbox = Mailbox::of(&server);
        let first = register(&server, "Ada@example.com", PASSWORD).expect(202);
        let token = mailbox.newest("Ada@example.com", "verify_email").token();
        server.client().post("/v1/auth/verify-email", &json!({"token": token})).expect(204);
        let again = register(&server, "ADA@example.com", OTHER).expect(202);
        assert_eq!(first.text, again.text);
        let names = |answer: &Answer| { let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect(); names.sort(); names };
        assert_eq!(names(&first), names(&again));
        let mail = mailbox.newest("Ada@example.com", "already_registered");
        assert!(mailbox::find_token(&mail.text).is_none(), "{}", mail.text);
        login(&server, "ada@example.com", OTHER).expect_problem(401, "invalid_credentials");
        login(&server, "ada@example.com", PASSWORD).expect(200);
        for kind in ["user_registered", "user_email_verified", "user_registered_again", "authn_login_fail", "authn_login_success"] {
            assert_eq!(server.audited(kind), 1, "{kind}");
        }
        assert_eq!(server.metric("signet_registrations_total{outcome=\"pending\"}"), 1.0);
        assert_eq!(server.metric("signet_registrations_total{outcome=\"repeated\"}"), 1.0);
    }

    fn whoever_registered_first_with_somebodys_address_gets_nothing_by_it(backend) {
        let server = start(backend, Registration::Verified);
        let mailbox = Mailbox::of(&server);
        register(&server, "victim@example.com", "the attackers phrase").expect(202);
        let first = mailbox.newest("victim@example.com", "verify_email").token();
        register(&server, "victim@example.com", PASSWORD).expect(202);
        let second = mailbox.newest("victim@example.com", "choose_password").token();
        // The first mail is void: following it would have let the attacker in.
        server.client().post("/v1/auth/verify-email", &json!({"token": first})).expect_problem(400, "invalid_one_time_token");
        let body = json!({"token": second, "new_password": OTHER});
        server.client().post("/v1/auth/reset-password", &body).expect(204);
        for password in ["the attackers phrase", PASSWORD] {
            login(&server, "victim@example.com", password).expect_problem(401, "invalid_credentials");
        }
        let session = login(&server, "victim@example.com", OTHER).expect(200);
        assert_eq!(session.json()["user"]["is_verified"], json!(true));
        assert_eq!(server.audited("user_password_voided"), 1);
    }

    fn an_unverified_account_that_is_in_use_keeps_its_password(backend) {
        let mut server = start(backend, Registration::Open);
        register(&server, "ada@example.com", PASSWORD).expect(201);
        assert_eq!(Mailbox::of(&server).count("ada@example.com"), 1);
        server.config.registration = Registration::Verified;
        server.restart();
        server.clock.advance(Duration::from_secs(60));
        register(&server, "ada@example.com", OTHER).expect(202);
        let mailbox = Mailbox::of(&server);
        mailbox.newest("ada@example.com", "already_registered");
        // Nobody gets in before the address is verified, which its owner can ask for at any time.
        login(&server, "ada@example.com", PASSWORD).expect_problem(401, "invalid_credentials");
        server.client().post("/v1/auth/verify-email/resend", &json!({"email": "ada@example.com"})).expect(202);
        let token = mailbox.newest("ada@example.com", "verify_email").token();
        server.client().post("/v1/auth/verify-email", &json!({"token": token})).expect(204);
        login(&server, "ada@example.com", PASSWORD).expect(200);
        assert_eq!(server.audited("user_password_voided"), 0);
    }

    fn verified_costs_one_hash_either_way(backend) {
        let server = start(backend, Registration::Verified);
        let hashes = || server.metric("signet_hash_duration_seconds_count");
        for _ in 0..2 {
            let before = hashes();
            register(&server, "ada@example.com", PASSWORD).expect(202);
            assert_eq!(hashes(), before + 1.0);
        }
    }

    fn fifty_at_once_are_one_account_and_one_voice(backend) {
        let server = start(backend, Registration::Verified);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..50).map(|_| scope.spawn(|| register(&server, "ada@example.com", PASSWORD).status)).collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        assert_eq!(statuses, vec![202; 50]);
        assert_eq!(server.count("users"), 1);
        assert!(Mailbox::of(&server).count("ada@example.com") <= 3);
    }

    fn closed_and_invite_let_no_stranger_in(backend) {
        for registration in [Registration::Closed, Registration::Invite] {
            let server = start(backend, registration);
            register(&server, "ada@example.com", PASSWORD).expect_problem(403, "forbidden");
            let body = json!({"email": "ada@example.com", "password": PASSWORD, "invitation": "sgi_made_up"});
            let refused = server.client().post("/v1/auth/register", &body);
            match registration {
                Registration::Closed => refused.expect_problem(403, "forbidden"),
                _ => refused.expect_problem(400, "invalid_one_time_token"),
            };
            assert_eq!(server.count("users"), 0);
            assert_eq!(server.metric("signet_hash_duration_seconds_count"), 0.0, "no password was hashed");
        }
    }
}
