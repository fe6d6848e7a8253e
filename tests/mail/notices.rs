//! Notices of what its user may not have done, and the limit on mails that strangers have sent to one address.

use std::time::Duration;

use crate::support::mailbox::{self, Mailbox};
use crate::support::{Answer, Backend, Client, PASSWORD, Server, json, on_both};

/// Behind a proxy that names each client.
fn with_mail(backend: Backend) -> Server {
    Server::start_with(backend, |config| {
        mailbox::into_folder(config);
        config.public.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
}

fn from(server: &Server, address: &str) -> Client {
    server.client().with("x-forwarded-for", address)
}

fn notices(server: &Server, kind: &str) -> usize {
    Mailbox::of(server).mails().iter().filter(|mail| mail.template == kind).count()
}

fn log_in(client: &Client, device: Option<&str>) -> Answer {
    let body =
        json!({"email": "ada@example.com", "password": PASSWORD, "device_token": device, "remember_device": true});
    client.post("/v1/auth/login", &body).expect(200)
}

on_both! {
    fn a_log_in_from_a_strange_address_is_told_once(backend) {
        let server = with_mail(backend);
        from(&server, "198.51.100.7").register("ada@example.com");
        from(&server, "198.51.100.7").login("ada@example.com");
        assert_eq!(notices(&server, "new_sign_in"), 0, "it is where the account was opened");
        from(&server, "203.0.113.9").with("user-agent", "strange words").login("ada@example.com");
        let mail = Mailbox::of(&server).newest("ada@example.com", "new_sign_in");
        assert!(mail.text.contains("203.0.113.9") && mail.text.contains("2026-11-21 10:00 UTC"), "{}", mail.text);
        assert!(!mail.text.contains("strange words"), "whoever logs in must not write our mails: {}", mail.text);
        from(&server, "203.0.113.9").login("ada@example.com");
        from(&server, "198.51.100.7").login("ada@example.com");
        assert_eq!(notices(&server, "new_sign_in"), 1);
        let wrong = json!({"email": "ada@example.com", "password": "not the password"});
        from(&server, "192.0.2.44").post("/v1/auth/login", &wrong).expect(401);
        assert_eq!(notices(&server, "new_sign_in"), 1, "nobody got in");
    }

    fn a_known_device_may_travel_and_the_first_log_in_is_not_strange(backend) {
        let server = with_mail(backend);
        // Made by an operator: nobody has logged in from anywhere yet.
        from(&server, "198.51.100.7").register("ada@example.com");
        server.execute("DELETE FROM known_sources");
        let device = log_in(&from(&server, "198.51.100.8"), None).text_at("/device_token");
        assert_eq!(notices(&server, "new_sign_in"), 0);
        log_in(&from(&server, "203.0.113.1"), Some(&device));
        assert_eq!(notices(&server, "new_sign_in"), 0, "the device is known");
        log_in(&from(&server, "203.0.113.2"), None);
        assert_eq!(notices(&server, "new_sign_in"), 1);
    }

    fn where_addresses_tell_nothing_a_new_device_is_told(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        log_in(&server.client(), None);
        assert_eq!(notices(&server, "new_sign_in"), 0, "the first device");
        log_in(&server.client(), None);
        assert_eq!(notices(&server, "new_sign_in"), 1);
        server.client().login("ada@example.com");
        assert_eq!(notices(&server, "new_sign_in"), 1, "nothing can be told of who does without");
    }

    fn a_session_that_two_parties_hold_is_ended_and_its_user_told(backend) {
        let server = with_mail(backend);
        let first = from(&server, "198.51.100.7").register("ada@example.com");
        let client = from(&server, "198.51.100.7");
        let second = client.refresh(&first.refresh_token()).expect(200);
        client.refresh(&second.refresh_token()).expect(200);
        client.refresh(&first.refresh_token()).expect_problem(401, "invalid_grant");
        let mail = Mailbox::of(&server).newest("ada@example.com", "session_ended");
        assert!(mail.text.contains("2026-11-21 10:00 UTC"), "{}", mail.text);
        client.refresh(&first.refresh_token()).expect_problem(401, "invalid_grant");
        assert_eq!(notices(&server, "session_ended"), 1);
        // A log-out finds it, too.
        let first = client.login("ada@example.com");
        let second = client.refresh(&first.refresh_token()).expect(200);
        client.refresh(&second.refresh_token()).expect(200);
        client.post("/v1/auth/logout", &json!({"refresh_token": first.refresh_token()})).expect(204);
        assert_eq!(notices(&server, "session_ended"), 2);
    }

    fn without_mail_nothing_is_kept_for_it(backend) {
        let server = Server::start_with(backend, |config| {
            config.public.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        });
        let first = from(&server, "198.51.100.7").register("ada@example.com");
        from(&server, "203.0.113.9").login("ada@example.com");
        let client = server.client();
        let second = client.refresh(&first.refresh_token()).expect(200);
        client.refresh(&second.refresh_token()).expect(200);
        client.refresh(&first.refresh_token()).expect(401);
        assert_eq!(server.count("outbox"), 0);
    }

    fn strangers_have_only_so_many_mails_sent_to_one_address_and_see_no_difference(backend) {
        let server = with_mail(backend);
        from(&server, "198.51.100.7").register("ada@example.com");
        let mut answers = Vec::new();
        for number in 0..14_u32 {
            server.clock.advance(Duration::from_secs(61));
            let client = from(&server, &format!("203.0.113.{number}")).with("x-request-id", "same");
            answers.push(client.post("/v1/auth/forgot-password", &json!({"email": "ada@example.com"})).expect(202).text);
            Mailbox::of(&server).mails();
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        // Ten at once, and one again for each six minutes that passed meanwhile; one was to verify the address.
        let count = Mailbox::of(&server).count("ada@example.com");
        assert!((11..=13).contains(&count), "{count}");
        assert_eq!(server.audited("excess_rate_limit_exceeded"), 1);
        // Notices are nobody's wish, and are not counted.
        from(&server, "192.0.2.1").login("ada@example.com");
        assert_eq!(notices(&server, "new_sign_in"), 1);
        server.clock.advance(Duration::from_secs(3600));
        from(&server, "203.0.113.99").post("/v1/auth/forgot-password", &json!({"email": "ada@example.com"})).expect(202);
        assert_eq!(Mailbox::of(&server).count("ada@example.com"), count + 2);
    }
}
