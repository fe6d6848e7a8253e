//! Sources that an account knows: what strangers do elsewhere does not hold them up.

use super::*;
use crate::support::on_both;

/// Strangers have used up what the account has for them.
fn besieged(backend: Backend) -> Server {
    let server = behind_a_proxy(backend);
    from(&server, "192.0.2.1").register("ada@example.com");
    siege(&server);
    server
}

fn siege(server: &Server) {
    for number in 0..40 {
        login(&from(server, &format!("198.51.{number}.1")), "ada@example.com", "not the password");
    }
    login(&from(server, "203.0.113.99"), "ada@example.com", PASSWORD).expect(429);
}

on_both! {
    fn the_owner_gets_in_from_an_address_that_succeeded_before(backend) {
        let server = besieged(backend);
        from(&server, "192.0.2.1").login("ada@example.com");
        // And has typos of their own, but not without end either.
        let (judged, refused) = guess_until_refused(&from(&server, "192.0.2.1"), "ada@example.com");
        assert_eq!((judged, refused.header("retry-after")), (5, "60"));
        assert_eq!(throttled(&server, "known_source"), 1.0);
    }

    fn a_device_is_known_wherever_it_is(backend) {
        let server = behind_a_proxy(backend);
        let body = |extra: crate::support::Value| {
            let mut body = json!({"email": "ada@example.com", "password": PASSWORD});
            body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            body
        };
        let registered = from(&server, "192.0.2.1").post("/v1/auth/register", &body(json!({"remember_device": true}))).expect(201);
        let device = registered.text_at("/device_token");
        assert!(device.starts_with("sgd_"));
        siege(&server);
        let away = |address: &str, extra| from(&server, address).post("/v1/auth/login", &body(extra));
        away("203.0.113.1", json!({})).expect(429);
        let answer = away("203.0.113.2", json!({"device_token": device})).expect(200);
        assert!(answer.json().get("device_token").is_none(), "not asked for");
        let again = away("203.0.113.3", json!({"device_token": device, "remember_device": true})).expect(200);
        assert_eq!(again.text_at("/device_token"), device, "it is known already");
        // What is none helps nobody, and is no error.
        for junk in ["", "junk", "sgd_AAAA", &format!("sgd_{}", "A".repeat(43))] {
            away("203.0.114.4", json!({"device_token": junk})).expect_problem(429, "too_many_requests");
        }
        // Another account does not know it.
        from(&server, "192.0.2.9").register("eve@example.com");
        let eve = |extra| {
            let mut body = json!({"email": "eve@example.com", "password": "not the password"});
            body.as_object_mut().expect("an object").insert("device_token".to_owned(), extra);
            from(&server, "203.0.115.1").post("/v1/auth/login", &body).status
        };
        let statuses: Vec<u16> = (0..6).map(|_| eve(json!(device))).collect();
        assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
        assert_eq!(server.query_number("SELECT count(*) AS value FROM known_sources WHERE kind = 'device'"), 1);
    }

    fn a_browser_is_known_by_a_cookie(backend) {
        let server = behind_a_proxy_with(backend, |config| config.issuer = "https://id.example".to_owned());
        let credentials = json!({"email": "ada@example.com", "password": PASSWORD, "cookie": true});
        let answer = from(&server, "192.0.2.1").post("/v1/auth/register", &credentials).expect(201);
        assert!(answer.json().get("device_token").is_none(), "it stays out of the body");
        let cookies: Vec<&str> = answer.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()).collect();
        let cookie = cookies.iter().find(|cookie| cookie.starts_with("__Host-signet_device=sgd_")).expect("a device cookie");
        for attribute in ["Path=/", "HttpOnly", "Secure", "SameSite=Strict", "Max-Age=7776000"] {
            assert!(cookie.split("; ").any(|own| own == attribute), "{attribute} in {cookie}");
        }
        siege(&server);
        let pair = cookie.split(';').next().expect("name and value");
        let away = from(&server, "203.0.113.1").with("cookie", pair).post("/v1/auth/login", &credentials).expect(200);
        let renewed = away.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()).any(|cookie| cookie.starts_with(pair));
        assert!(renewed, "the same token for another ninety days");
        from(&server, "203.0.113.2").post("/v1/auth/login", &credentials).expect(429);
    }

    fn only_the_last_twenty_of_each_kind_are_known_and_none_for_ever(backend) {
        let server = behind_a_proxy(backend);
        let device = from(&server, "192.0.2.1")
            .post("/v1/auth/register", &json!({"email": "ada@example.com", "password": PASSWORD, "remember_device": true}))
            .expect(201)
            .text_at("/device_token");
        for number in 0..30 {
            server.clock.advance(Duration::from_secs(1));
            from(&server, &format!("203.0.113.{number}")).login("ada@example.com");
        }
        let known = |kind: &str| server.query_number(&format!("SELECT count(*) AS value FROM known_sources WHERE kind = '{kind}'"));
        assert_eq!((known("address"), known("device")), (20, 1), "addresses do not push devices out");
        siege(&server);
        login(&from(&server, "203.0.113.5"), "ada@example.com", PASSWORD).expect(429);
        login(&from(&server, "203.0.113.29"), "ada@example.com", PASSWORD).expect(200);
        let with_device = |address: &str| {
            let body = json!({"email": "ada@example.com", "password": PASSWORD, "device_token": device});
            from(&server, address).post("/v1/auth/login", &body).status
        };
        assert_eq!(with_device("198.18.0.1"), 200);
        login(&from(&server, "198.18.0.1"), "ada@example.com", PASSWORD).expect(429);
        login(&from(&server, "203.0.113.10"), "ada@example.com", PASSWORD).expect(200);
        // Each use counts ninety days anew.
        server.clock.advance(80 * 24 * HOUR);
        siege(&server);
        assert_eq!(with_device("198.18.1.1"), 200);
        server.clock.advance(80 * 24 * HOUR);
        siege(&server);
        assert_eq!(with_device("198.18.2.1"), 200);
        server.clock.advance(91 * 24 * HOUR);
        siege(&server);
        assert_eq!(with_device("198.18.3.1"), 429);
    }
}
