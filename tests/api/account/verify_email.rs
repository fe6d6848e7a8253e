//! `POST /v1/auth/verify-email` and `…/resend`.

use std::time::Duration;

use crate::support::mailbox::{self, Mailbox};
use crate::support::{Answer, Backend, Client, Server, json, on_both, wait};

const MINUTE: Duration = Duration::from_secs(60);

fn verify(client: &Client, token: &str) -> Answer {
    client.post("/v1/auth/verify-email", &json!({"token": token}))
}

fn resend(client: &Client, email: &str) -> Answer {
    client.post("/v1/auth/verify-email/resend", &json!({"email": email}))
}

on_both! {
    fn the_token_of_the_mail_verifies_the_address_once(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        let session = server.client().register("Ada@example.com");
        let mail = Mailbox::of(&server).newest("Ada@example.com", "verify_email");
        assert!(mail.subject.starts_with("Confirm your address"), "{}", mail.subject);
        assert!(mail.text.contains("30 minutes"), "{}", mail.text);
        assert_eq!(verify(&server.client(), &mail.token()).expect(204).text, "");
        let me = server.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200);
        assert_eq!(me.json()["is_verified"], json!(true));
        verify(&server.client(), &mail.token()).expect_problem(400, "invalid_one_time_token");
        assert_eq!(server.audited("user_email_verified"), 1);
        assert_eq!(server.metric("signet_one_time_tokens_total{outcome=\"used\"}"), 1.0);
        assert_eq!(server.metric("signet_one_time_tokens_total{outcome=\"refused\"}"), 1.0);
    }

    fn sixty_four_at_once_with_one_token_are_one_success(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        let token = Mailbox::of(&server).newest("ada@example.com", "verify_email").token();
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64)
                .map(|_| { let (client, token) = (server.client(), token.clone()); scope.spawn(move || verify(&client, &token).status) })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        let count = |status| statuses.iter().filter(|own| **own == status).count();
        assert_eq!((count(204), count(400)), (1, 63), "{statuses:?}");
        assert_eq!(server.audited("user_email_verified"), 1);
    }

    fn a_token_ends_with_its_time(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        let mailbox = Mailbox::of(&server);
        let first = mailbox.newest("ada@example.com", "verify_email").token();
        server.clock.advance(30 * MINUTE);
        verify(&server.client(), &first).expect_problem(400, "invalid_one_time_token");
        resend(&server.client(), "ada@example.com").expect(202);
        let second = mailbox.newest("ada@example.com", "verify_email").token();
        server.clock.advance(30 * MINUTE - Duration::from_micros(1));
        verify(&server.client(), &second).expect(204);
    }

    fn a_new_mail_replaces_the_token_and_comes_not_more_often_than_once_a_minute(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        let mailbox = Mailbox::of(&server);
        let first = mailbox.newest("ada@example.com", "verify_email").token();
        server.clock.advance(MINUTE - Duration::from_micros(1));
        resend(&server.client(), "ada@example.com").expect(202);
        assert_eq!(mailbox.count("ada@example.com"), 1);
        server.clock.advance(Duration::from_micros(1));
        resend(&server.client(), "ADA@example.com").expect(202);
        assert_eq!(mailbox.count("ada@example.com"), 2);
        let second = mailbox.newest("ada@example.com", "verify_email").token();
        assert_ne!(first, second);
        verify(&server.client(), &first).expect_problem(400, "invalid_one_time_token");
        verify(&server.client(), &second).expect(204);
        assert_eq!(server.count("one_time_tokens"), 0);
    }

    fn resending_says_the_same_to_everybody_and_mails_only_whom_it_concerns(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("verified@example.com");
        let mailbox = Mailbox::of(&server);
        verify(&server.client(), &mailbox.newest("verified@example.com", "verify_email").token()).expect(204);
        server.client().register("disabled@example.com");
        assert_eq!(mailbox.count("disabled@example.com"), 1);
        server.execute("UPDATE users SET is_active = false WHERE email = 'disabled@example.com'");
        server.clock.advance(2 * MINUTE);
        let before = mailbox.mails().len();
        for email in ["verified@example.com", "disabled@example.com", "nobody@example.com"] {
            let answer = resend(&server.client(), email).expect(202);
            assert_eq!((answer.text.as_str(), answer.header("content-type")), ("", ""));
        }
        assert_eq!(mailbox.mails().len(), before);
        assert_eq!(server.audited("user_email_verification_requested"), 3);
        assert_eq!(server.metric("signet_mails_total{outcome=\"dropped\"}"), 3.0);
    }

    fn a_disabled_users_token_does_not_work(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        let token = Mailbox::of(&server).newest("ada@example.com", "verify_email").token();
        server.execute("UPDATE users SET is_active = false");
        verify(&server.client(), &token).expect_problem(400, "invalid_one_time_token");
        assert_eq!(server.count("users WHERE is_verified"), 0);
    }

    fn only_a_digest_is_stored_and_no_token_waits_in_the_outbox(backend) {
        // A mail server that is not there: the letter waits, after its first attempt.
        let server = Server::start_with(backend, |config| config.mail.url.0 = "smtp://127.0.0.1:9?tls=none".to_owned());
        server.client().register("ada@example.com");
        wait::until("no attempt was made", || server.count("one_time_tokens") != 0);
        assert_eq!(server.count("outbox WHERE kind = 'verify_email'"), 1);
        let length = match backend {
            Backend::Sqlite => "SELECT length(digest) AS value FROM one_time_tokens",
            Backend::Postgres => "SELECT octet_length(digest)::bigint AS value FROM one_time_tokens",
        };
        assert_eq!(server.query_number(length), 32);
    }

    fn without_mail_everybody_is_told_so_and_nothing_waits(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        for email in ["ada@example.com", "nobody@example.com"] {
            resend(&server.client(), email).expect_problem(403, "forbidden");
            server.client().post("/v1/auth/forgot-password", &json!({"email": email})).expect_problem(403, "forbidden");
        }
        assert_eq!(server.count("outbox"), 0);
    }
}
