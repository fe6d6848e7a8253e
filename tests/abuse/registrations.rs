//! Accounts opened in bulk, and addresses tried for whether they have one.

use super::*;
use crate::support::on_both;

fn register(client: &Client, email: &str) -> Answer {
    client.with("x-request-id", "same").post("/v1/auth/register", &json!({"email": email, "password": PASSWORD}))
}

on_both! {
    fn one_address_opens_twenty_accounts_an_hour(backend) {
        let server = behind_a_proxy(backend);
        let bot = from(&server, "198.51.100.1");
        for number in 0..20 {
            register(&bot, &format!("bot{number}@example.com")).expect(201);
        }
        let before = hashes(&server);
        let refused = register(&bot, "bot20@example.com").expect_problem(429, "too_many_requests");
        assert_eq!((refused.header("retry-after"), refused.header("ratelimit-policy")), ("180", "\"registrations-per-address\";q=20;w=3600"));
        // An address that has an account and one that has none look the same now.
        assert_eq!(visible(&register(&bot, "bot1@example.com")), visible(&refused));
        assert_eq!(hashes(&server), before);
        register(&from(&server, "198.51.101.1"), "ada@example.com").expect(201);
        server.clock.advance(3 * MINUTE);
        register(&bot, "bot20@example.com").expect(201);
        register(&bot, "bot21@example.com").expect(429);
        assert_eq!(throttled(&server, "registrations_per_address"), 3.0);
        assert_eq!(server.metric("signet_registrations_total{outcome=\"too_many_requests\"}"), 3.0);
        assert_eq!(server.audited("excess_rate_limit_exceeded"), 1, "told once in an hour");
    }

    fn asking_whether_an_address_has_an_account_counts(backend) {
        let server = behind_a_proxy(backend);
        from(&server, "192.0.2.1").register("ada@example.com");
        let bot = from(&server, "198.51.100.1");
        for _ in 0..20 {
            register(&bot, "ada@example.com").expect(409);
        }
        register(&bot, "ada@example.com").expect(429);
        register(&bot, "bob@example.com").expect(429);
    }

    fn a_prefix_and_everybody_together_have_limits_too(backend) {
        let server = behind_a_proxy_with(backend, |config| {
            config.throttle.registrations_per_prefix = signet::config::Quota::of(3, HOUR);
            config.throttle.registrations = signet::config::Quota::of(5, HOUR);
        });
        let statuses = |addresses: &[&str]| -> Vec<u16> {
            addresses.iter().map(|address| register(&from(&server, address), &format!("user{}@example.com", server.query_number("SELECT count(*) AS value FROM users"))).status).collect()
        };
        assert_eq!(statuses(&["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"]), [201, 201, 201, 429]);
        assert_eq!(statuses(&["203.0.113.1", "192.0.2.1", "192.0.3.1"]), [201, 201, 429]);
        assert_eq!((throttled(&server, "registrations_per_prefix"), throttled(&server, "registrations")), (1.0, 1.0));
        // Who has an account logs in all the same.
        login(&from(&server, "198.51.100.1"), "user0@example.com", PASSWORD).expect(200);
    }
}
