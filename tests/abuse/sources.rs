//! Limits by where somebody is, and who that is.

use super::*;
use crate::support::on_both;

/// How many of so many accounts a client is judged for, one wrong password each.
fn sprayed(client: &Client, prefix: &str, accounts: usize) -> usize {
    let statuses = (0..accounts).map(|n| login(client, &format!("{prefix}{n}@example.com"), "Summer2026!").status);
    statuses.filter(|status| *status == 401).count()
}

on_both! {
    fn one_address_is_wrong_for_twenty_accounts_and_no_more(backend) {
        let server = behind_a_proxy(backend);
        from(&server, "192.0.2.1").register("ada@example.com");
        let thief = from(&server, "198.51.100.1");
        assert_eq!(sprayed(&thief, "user", 50), 20);
        let refused = login(&thief, "ada@example.com", PASSWORD).expect_problem(429, "too_many_requests");
        assert_eq!(refused.header("ratelimit-policy"), "\"accounts-per-address\";q=20;w=14400");
        assert_eq!(refused.header("retry-after"), "720");
        // Accounts that it was wrong for already are no news, and have their own limit.
        login(&thief, "user3@example.com", "Winter2026!").expect(401);
        // Its neighbours are not it, and who is at home there gets in.
        login(&from(&server, "198.51.100.2"), "ada@example.com", PASSWORD).expect(200);
        server.clock.advance(12 * MINUTE);
        assert_eq!(sprayed(&thief, "other", 5), 1);
    }

    fn a_prefix_is_wrong_for_a_hundred_accounts_and_no_more(backend) {
        let server = behind_a_proxy(backend);
        let judged: usize = (0..8).map(|n| sprayed(&from(&server, &format!("2001:db8:1:{n}::1")), &format!("user{n}x"), 20)).sum();
        assert_eq!(judged, 100);
        assert_eq!(sprayed(&from(&server, "2001:db8:2::1"), "else", 5), 5, "another /48");
        assert_eq!(throttled(&server, "accounts_per_prefix"), 60.0);
    }

    fn an_address_of_ipv6_is_its_64(backend) {
        let server = behind_a_proxy(backend);
        let judged: usize = (0..30).map(|n| sprayed(&from(&server, &format!("2001:db8:1:2::{n:x}")), &format!("user{n}x"), 1)).sum();
        assert_eq!(judged, 20);
    }

    fn an_address_has_sixty_wrong_passwords_an_hour(backend) {
        let server = behind_a_proxy_with(backend, |config| config.throttle.free_guesses = 100);
        let thief = from(&server, "198.51.100.1");
        let (judged, refused) = guess_until_refused(&thief, "ada@example.com");
        assert_eq!((judged, refused.header("ratelimit-policy")), (60, "\"guesses-per-address\";q=60;w=3600"));
        server.clock.advance(MINUTE);
        assert_eq!(guess_until_refused(&thief, "ada@example.com").0, 1);
    }

    fn mistyped_passwords_of_people_at_one_address_are_given_back(backend) {
        let server = behind_a_proxy_with(backend, |config| config.throttle.registrations_per_address = signet::config::Quota::of(100, HOUR));
        let office = from(&server, "203.0.113.1");
        for number in 0..40 {
            from(&server, &format!("192.0.2.{number}")).register(&format!("user{number}@example.com"));
        }
        for number in 0..40 {
            let email = format!("user{number}@example.com");
            login(&office, &email, "not the password").expect(401);
            login(&office, &email, PASSWORD).expect(200);
        }
    }

    fn an_unknown_proxy_locks_nobody_out(backend) {
        // As it comes, and everybody has the proxy's address.
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        server.client().register("bob@example.com");
        let through_the_proxy = server.client().with("x-forwarded-for", "198.51.100.1");
        assert_eq!(sprayed(&through_the_proxy, "user", 150), 150, "nobody can say that it is one");
        assert_eq!(guess_until_refused(&through_the_proxy, "ada@example.com").0, 5);
        login(&server.client().with("x-forwarded-for", "192.0.2.1"), "bob@example.com", PASSWORD).expect(200);
        // The account itself is protected none the less, and its owner's device gets in.
        login(&through_the_proxy, "ada@example.com", PASSWORD).expect(429);
        assert_eq!(server.query_number("SELECT count(*) AS value FROM known_sources"), 0, "the proxy's address proves nothing");
        let device = server.client().post("/v1/auth/login", &json!({"email": "bob@example.com", "password": PASSWORD, "remember_device": true}));
        let device = device.expect(200).text_at("/device_token");
        assert_eq!(guess_until_refused(&through_the_proxy, "bob@example.com").0, 5);
        let body = json!({"email": "bob@example.com", "password": PASSWORD, "device_token": device});
        server.client().post("/v1/auth/login", &body).expect(200);
    }

    fn what_a_stranger_writes_into_headers_changes_no_bucket(backend) {
        let server = Server::start_with(backend, |config| config.throttle.private_sources = true);
        let judged: usize = (0..30)
            .map(|n| {
                let forged = format!("203.0.113.{n}");
                let client = server.client().with("x-forwarded-for", &forged).with("forwarded", &format!("for={forged}")).with("x-real-ip", &forged);
                sprayed(&client, &format!("user{n}x"), 1)
            })
            .sum();
        assert_eq!(judged, 20);
    }

    fn what_is_exempt_is_not_counted(backend) {
        let server = behind_a_proxy_with(backend, |config| config.throttle.exempt = vec!["198.51.100.0/24".parse().expect("a network")]);
        let tester = from(&server, "198.51.100.1");
        for _ in 0..50 {
            login(&tester, "ada@example.com", "not the password").expect(401);
        }
        assert_eq!(sprayed(&tester, "user", 50), 50);
        for number in 0..30 {
            tester.register(&format!("new{number}@example.com"));
        }
        assert_eq!(guess_until_refused(&from(&server, "198.51.101.1"), "ada@example.com").0, 5);
    }
}
