//! Guesses at one account's password.

use super::*;
use crate::support::on_both;
use crate::support::program::Place;

on_both! {
    fn five_are_free_and_each_further_one_waits_longer(backend) {
        let server = behind_a_proxy(backend);
        from(&server, "192.0.2.1").register("ada@example.com");
        let thief = from(&server, "198.51.100.1");
        let (judged, refused) = guess_until_refused(&thief, "ada@example.com");
        assert_eq!(judged, 5);
        let refused = refused.expect_problem(429, "too_many_requests");
        assert_eq!(refused.header("retry-after"), "60");
        assert_eq!(refused.header("ratelimit"), "\"guesses\";r=0;t=60");
        assert_eq!(refused.header("ratelimit-policy"), "\"guesses\";q=33;w=86400");
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            server.clock.advance(minutes * MINUTE - Duration::from_secs(1));
            let before = hashes(&server);
            assert_eq!(login(&thief, "ada@example.com", PASSWORD).expect(429).header("retry-after"), "1");
            assert_eq!(hashes(&server), before, "nothing is looked at before its time");
            server.clock.advance(Duration::from_secs(1));
            login(&thief, "ada@example.com", "not the password").expect(401);
        }
        server.clock.advance(HOUR);
        // No hard lock: whoever waited may try, and gets in.
        login(&thief, "ada@example.com", PASSWORD).expect(200);
        assert_eq!(throttled(&server, "account"), 10.0);
        assert_eq!(server.metric("signet_logins_total{outcome=\"too_many_requests\"}"), 10.0);
    }

    fn with_and_without_an_account_it_looks_the_same(backend) {
        let server = behind_a_proxy(backend);
        from(&server, "192.0.2.1").register("ada@example.com");
        from(&server, "192.0.2.2").register("off@example.com");
        server.execute("UPDATE users SET is_active = false WHERE email = 'off@example.com'");
        let course = |address: &str, email: &str, password: &str| -> Vec<_> {
            let client = from(&server, address);
            (0..8).map(|_| visible(&login(&client, email, password))).collect()
        };
        let wrong = course("198.51.100.1", "ada@example.com", "not the password");
        assert_eq!(course("198.51.101.1", "nobody@example.com", "not the password"), wrong);
        assert_eq!(course("198.51.102.1", "off@example.com", PASSWORD), wrong);
        let statuses: Vec<u16> = wrong.iter().map(|(status, ..)| *status).collect();
        assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
        let rows = "SELECT count(*) AS value FROM throttles";
        let before = server.query_number(rows);
        course("198.51.100.1", "ada@example.com", "not the password");
        assert_eq!(server.query_number(rows), before, "a refusal leaves nothing behind");
    }

    fn all_spellings_of_an_address_share_a_bucket(backend) {
        let server = behind_a_proxy(backend);
        let thief = from(&server, "198.51.100.1");
        let spellings = ["ada@b\u{fc}cher.example", "ADA@B\u{dc}CHER.example", " ada@bu\u{308}cher.example", "ada@xn--bcher-kva.example", "Ada@XN--BCHER-KVA.EXAMPLE"];
        for spelling in spellings {
            login(&thief, spelling, "not the password").expect(401);
        }
        for spelling in spellings {
            login(&thief, spelling, "not the password").expect(429);
        }
        login(&thief, "ada+tag@xn--bcher-kva.example", "not the password").expect(401);
    }

    fn a_right_password_takes_back_the_typos_of_its_own_source_and_no_others(backend) {
        let server = behind_a_proxy(backend);
        from(&server, "192.0.2.1").register("ada@example.com");
        let (thief, elsewhere) = (from(&server, "198.51.100.1"), from(&server, "203.0.113.1"));
        let wrong = |client: &Client| login(client, "ada@example.com", "not the password").status;
        assert_eq!([wrong(&thief), wrong(&thief)], [401, 401]);
        assert_eq!([wrong(&elsewhere), wrong(&elsewhere)], [401, 401]);
        login(&elsewhere, "ada@example.com", PASSWORD).expect(200);
        // The thief's two are remembered still: three are left for strangers, not five.
        assert_eq!([wrong(&thief), wrong(&thief), wrong(&thief), wrong(&thief)], [401, 401, 401, 429]);
        // What was a stranger is known now, and has five of its own.
        assert_eq!(guess_until_refused(&elsewhere, "ada@example.com").0, 5);
    }

    fn a_quiet_account_costs_a_right_password_no_write(backend) {
        let server = behind_a_proxy(backend);
        let ada = from(&server, "192.0.2.1");
        let session = ada.register("ada@example.com");
        let rows = |table: &str| server.query_number(&format!("SELECT count(*) AS value FROM {table}"));
        let (buckets, known) = (rows("throttles"), rows("known_sources"));
        assert_eq!(known, 1, "where it was opened from");
        server.clock.advance(HOUR);
        let units = || server.metric("signet_database_wait_seconds_count");
        let before = units();
        ada.login("ada@example.com");
        assert_eq!(units() - before, 2.0, "one look, one transaction: as without limits");
        ada.refresh(&session.refresh_token()).expect(200);
        assert_eq!((rows("throttles"), rows("known_sources")), (buckets, known));
        let seen = |than: &str| {
            let seen_at = if backend == Backend::Postgres { "extract(epoch from seen_at) * 1000000" } else { "seen_at" };
            let start = crate::support::server::START.as_micros();
            server.query_number(&format!("SELECT count(*) AS value FROM known_sources WHERE {seen_at} {than} {start}"))
        };
        assert_eq!((seen("="), seen(">")), (1, 0), "it was seen within a day");
        server.clock.advance(24 * HOUR);
        ada.login("ada@example.com");
        assert_eq!((seen("="), seen(">")), (0, 1));
    }

    fn an_operator_who_sets_the_password_opens_the_account_again(backend) {
        let server = behind_a_proxy(backend);
        from(&server, "192.0.2.1").register("ada@example.com");
        let stranger = from(&server, "198.51.100.1");
        guess_until_refused(&stranger, "ada@example.com");
        let place = Place::on(&server.config.database.url.0);
        let set = place.run_with_input(&["users", "set-password", "ada@example.com"], "a wholly other phrase");
        assert!(set.status.success(), "{set:?}");
        assert_eq!(server.query_number("SELECT count(*) AS value FROM known_sources"), 0);
        login(&from(&server, "203.0.113.7"), "ada@example.com", "a wholly other phrase").expect(200);
    }

    fn each_step_is_in_the_trail_once_and_no_refusal_is(backend) {
        let server = behind_a_proxy(backend);
        let user = from(&server, "192.0.2.1").register("ada@example.com").text_at("/user/id");
        let thief = from(&server, "198.51.100.1");
        guess_until_refused(&thief, "ada@example.com");
        for _ in 0..20 {
            login(&thief, "ada@example.com", "not the password").expect(429);
        }
        assert_eq!((server.audited("authn_login_fail"), server.audited("excess_rate_limit_exceeded")), (5, 1));
        server.clock.advance(MINUTE);
        login(&thief, "ada@example.com", "not the password").expect(401);
        assert_eq!((server.audited("authn_login_fail"), server.audited("excess_rate_limit_exceeded")), (6, 2));
        let text = |column: &str| {
            let (detail, subject) = if backend == Backend::Postgres { ("detail::text", "subject::text") } else { ("detail", "lower(hex(subject))") };
            let column = if column == "detail" { detail } else { subject };
            server.query_texts(&format!("SELECT {column} AS value FROM audit_events WHERE kind = 'excess_rate_limit_exceeded' ORDER BY id"))
        };
        let details: Vec<String> = text("detail").iter().map(|detail| detail.replace(": ", ":").replace(", ", ",")).collect();
        assert_eq!(details, ["{\"limit\":\"account\",\"wait_seconds\":60}", "{\"limit\":\"account\",\"wait_seconds\":120}"]);
        assert!(text("subject").iter().all(|subject| subject.replace('-', "") == user.replace('-', "")));
    }

    fn a_wrong_current_password_is_a_guess_too(backend) {
        let server = behind_a_proxy(backend);
        let client = from(&server, "192.0.2.1");
        let stolen = client.bearer(&client.register("ada@example.com").access_token());
        let change = |client: &Client, current: &str| {
            client.post("/v1/auth/change-password", &json!({"current_password": current, "new_password": "a wholly other phrase"}))
        };
        for _ in 0..5 {
            change(&stolen, "not the password").expect_problem(401, "invalid_credentials");
        }
        let before = hashes(&server);
        change(&stolen, PASSWORD).expect_problem(429, "too_many_requests");
        assert_eq!(hashes(&server), before);
        assert_eq!(server.audited("authn_password_change_fail"), 5);
        // Nobody else is held up: neither a log-in nor another session of the same user.
        let other = client.bearer(&client.login("ada@example.com").access_token());
        change(&other, PASSWORD).expect(204);
    }

    fn the_password_grant_guesses_in_the_same_buckets(backend) {
        let server = behind_a_proxy_with(backend, |config| config.oauth.password_grant = true);
        let thief = from(&server, "198.51.100.1");
        let grant = || thief.form("/oauth2/token", &[("grant_type", "password"), ("username", "ada@example.com"), ("password", "not the password")]);
        for _ in 0..3 {
            grant().expect_oauth(400, "invalid_grant");
        }
        assert_eq!(guess_until_refused(&thief, "ada@example.com").0, 2);
        let refused = grant().expect_oauth(429, "temporarily_unavailable");
        assert_eq!(refused.header("retry-after"), "60");
    }

    fn refreshes_are_never_throttled(backend) {
        let server = behind_a_proxy(backend);
        let ada = from(&server, "192.0.2.1");
        let mut token = ada.register("ada@example.com").refresh_token();
        guess_until_refused(&ada, "ada@example.com");
        for round in 0..100 {
            ada.refresh(&format!("junk {round}")).expect(401);
            token = ada.refresh(&token).expect(200).refresh_token();
        }
    }

    fn switched_off_nothing_is_counted(backend) {
        let server = behind_a_proxy_with(backend, |config| config.throttle.enabled = false);
        let ada = from(&server, "192.0.2.1");
        ada.register("ada@example.com");
        for _ in 0..30 {
            login(&ada, "ada@example.com", "not the password").expect(401);
        }
        let rows = ["throttles", "known_sources"].map(|table| server.query_number(&format!("SELECT count(*) AS value FROM {table}")));
        assert_eq!(rows, [0, 0]);
    }
}
