//! Browser mode: the refresh token in a cookie.

use crate::support::{Answer, Backend, Client, PASSWORD, Server, json, on_both};

fn login(server: &Server) -> Answer {
    server.client().register("ada@example.com");
    server
        .client()
        .post("/v1/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD, "cookie": true}))
        .expect(200)
}

/// The cookie's value, and the rest of `Set-Cookie`.
fn cookie(answer: &Answer) -> (String, String) {
    let header = answer.header("set-cookie");
    let (pair, attributes) = header.split_once("; ").unwrap_or_else(|| panic!("no cookie in {:?}", answer.headers));
    let (name, value) = pair.split_once('=').expect("a pair");
    assert_eq!(name, "signet_refresh");
    (value.to_owned(), attributes.to_owned())
}

/// A page of the service's own origin that holds the cookie.
fn page(server: &Server, value: &str) -> Client {
    server.client().with("cookie", &format!("signet_refresh={value}")).with("origin", &server.url)
}

on_both! {
    fn the_refresh_token_is_in_the_cookie_and_not_in_the_body(backend) {
        let server = Server::start(backend);
        let answer = login(&server);
        let (value, attributes) = cookie(&answer);
        assert!(value.starts_with("sgr_"));
        assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/; Max-Age=604800", "plain http carries all but Secure");
        assert_eq!(answer.json().get("refresh_token"), None);
        assert_eq!(answer.json()["refresh_expires_in"], 604_800);
        assert!(!answer.text.contains(&value));
    }

    fn over_https_the_cookie_is_bound_to_the_host(backend) {
        let server = Server::start_with(backend, |config| config.issuer = "https://id.example".to_owned());
        let answer = login(&server);
        let header = answer.header("set-cookie");
        assert!(header.starts_with("__Host-signet_refresh=sgr_"), "{header}");
        assert!(header.ends_with("; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=604800"), "{header}");
        assert!(!header.to_lowercase().contains("domain"));
        assert_eq!(answer.header("strict-transport-security"), "max-age=63072000");
        let value = header.split(['=', ';']).nth(1).expect("a value");
        let client = server.client().with("cookie", &format!("__Host-signet_refresh={value}"));
        client.with("origin", "https://id.example").post_empty("/v1/auth/refresh").expect(200);
    }

    fn a_refresh_reads_and_renews_the_cookie(backend) {
        let server = Server::start(backend);
        let (value, _) = cookie(&login(&server));
        let answer = page(&server, &value).post("/v1/auth/refresh", &json!({})).expect(200);
        let (next, _) = cookie(&answer);
        assert_ne!(next, value);
        assert_eq!(answer.json().get("refresh_token"), None);
        let again = page(&server, &next).post_empty("/v1/auth/refresh").expect(200);
        server.client().bearer(&again.access_token()).get("/v1/auth/me").expect(200);
    }

    fn a_custom_header_will_do_instead_of_an_origin(backend) {
        let server = Server::start(backend);
        let (value, _) = cookie(&login(&server));
        let client = server.client().with("cookie", &format!("signet_refresh={value}")).with("x-requested-with", "fetch");
        client.post_empty("/v1/auth/refresh").expect(200);
    }

    fn another_site_cannot_use_the_cookie(backend) {
        let server = Server::start(backend);
        let (value, _) = cookie(&login(&server));
        let with_cookie = server.client().with("cookie", &format!("signet_refresh={value}"));
        for headers in [
            &[][..],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "https://evil.example"), ("x-requested-with", "x")],
            &[("sec-fetch-site", "cross-site"), ("x-requested-with", "x")],
            &[("sec-fetch-site", "same-origin")],
        ] {
            let client = headers.iter().fold(with_cookie.clone(), |client, (name, value)| client.with(name, value));
            for path in ["/v1/auth/refresh", "/v1/auth/logout"] {
                let refused = client.post_empty(path).expect_problem(403, "forbidden");
                assert_eq!(refused.header("set-cookie"), "");
            }
        }
        assert_eq!(server.query_number("SELECT max(generation) AS value FROM sessions"), 0);
        page(&server, &value).post_empty("/v1/auth/refresh").expect(200);
    }

    fn logout_ends_the_session_and_clears_the_cookie(backend) {
        let server = Server::start(backend);
        let (value, _) = cookie(&login(&server));
        let answer = page(&server, &value).post_empty("/v1/auth/logout").expect(204);
        let (gone, attributes) = cookie(&answer);
        assert_eq!((gone.as_str(), attributes.as_str()), ("", "HttpOnly; SameSite=Strict; Path=/; Max-Age=0"));
        page(&server, &value).post_empty("/v1/auth/refresh").expect_problem(401, "invalid_grant");
        let again = page(&server, &value).post_empty("/v1/auth/logout").expect(204);
        assert_eq!(cookie(&again).0, "");
        assert_eq!(server.audited("authn_logout"), 1);
    }

    fn logout_everywhere_works_from_the_cookie(backend) {
        let server = Server::start(backend);
        let (value, _) = cookie(&login(&server));
        let other = server.client().login("ada@example.com");
        page(&server, &value).post("/v1/auth/logout", &json!({"all": true})).expect(204);
        server.client().refresh(&other.refresh_token()).expect_problem(401, "invalid_grant");
    }

    fn a_mangled_cookie_is_refused_and_its_family_lives_on(backend) {
        let server = Server::start(backend);
        let (value, _) = cookie(&login(&server));
        page(&server, &value[..60]).post_empty("/v1/auth/refresh").expect_problem(401, "invalid_grant");
        page(&server, &value).post_empty("/v1/auth/refresh").expect(200);
    }

    fn registration_knows_browser_mode_too(backend) {
        let server = Server::start(backend);
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "cookie": true});
        let answer = server.client().post("/v1/auth/register", &body).expect(201);
        assert_eq!(answer.json().get("refresh_token"), None);
        page(&server, &cookie(&answer).0).post_empty("/v1/auth/refresh").expect(200);
    }

    fn only_pages_of_listed_origins_may_read_answers(backend) {
        let server = Server::start_with(backend, |config| config.public.allowed_origins = vec!["https://app.example".to_owned()]);
        let listed = server.client().with("origin", "https://app.example");
        let answer = listed.post("/v1/auth/login", &json!({})).expect(422);
        assert_eq!(answer.header("access-control-allow-origin"), "https://app.example");
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        let preflight = listed
            .with("access-control-request-method", "POST")
            .with("access-control-request-headers", "content-type,x-requested-with")
            .send("OPTIONS", "/v1/auth/refresh", None, b"");
        assert_eq!(preflight.status / 100, 2, "{preflight:?}");
        assert_eq!(preflight.header("access-control-allow-origin"), "https://app.example");
        for origin in ["https://evil.example", "null", "https://app.example.evil.example"] {
            let answer = server.client().with("origin", origin).post("/v1/auth/login", &json!({})).expect(422);
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        }
    }
}
