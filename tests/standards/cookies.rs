//! C: browser mode.

use crate::support::{Answer, Backend, PASSWORD, Server, json};

/// A service over https, and the answer to a log-in in browser mode.
fn login() -> (Server, Answer) {
    let server = Server::start_with(Backend::Sqlite, |config| config.issuer = "https://id.example".to_owned());
    server.client().register("ada@example.com");
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "cookie": true});
    let answer = server.client().post("/v1/auth/login", &body).expect(200);
    (server, answer)
}

fn pair(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().expect("a pair").to_owned()
}

#[test]
fn c1_the_cookie_is_bound_to_the_host_and_out_of_reach_of_scripts() {
    let (_server, answer) = login();
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-"), "{cookie}");
    for attribute in ["; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(attribute), "{attribute} is not in {cookie}");
    }
    assert!(!cookie.to_lowercase().contains("domain"), "{cookie}");
}

#[test]
fn c2_the_refresh_token_is_in_the_cookie_only() {
    let (server, answer) = login();
    let cookie = pair(&answer);
    let (_, value) = cookie.split_once('=').expect("a pair");
    assert!(value.starts_with("sgr_") && !answer.text.contains("sgr_"));
    let page = server.client().with("cookie", &cookie).with("origin", "https://id.example");
    let next = page.post_empty("/v1/auth/refresh").expect(200);
    assert!(!next.text.contains("sgr_"));
}

#[test]
fn c3_another_sites_page_cannot_use_the_cookie() {
    let (server, answer) = login();
    let browser = server.client().with("cookie", &pair(&answer));
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        for path in ["/v1/auth/refresh", "/v1/auth/logout"] {
            browser.with(name, value).post_empty(path).expect_problem(403, "forbidden");
        }
    }
    browser
        .with("origin", "https://evil.example")
        .send("POST", "/v1/auth/refresh", Some("text/plain"), b"{}")
        .expect(415);
    browser
        .with("sec-fetch-site", "same-origin")
        .with("x-requested-with", "x")
        .post_empty("/v1/auth/refresh")
        .expect(200);
}

#[test]
fn c4_logout_clears_the_cookie() {
    let (server, answer) = login();
    let page = server.client().with("cookie", &pair(&answer)).with("origin", "https://id.example");
    let gone = page.post_empty("/v1/auth/logout").expect(204).header("set-cookie").to_owned();
    assert!(gone.starts_with("__Host-signet_refresh=;") && gone.contains("Max-Age=0"), "{gone}");
    page.post_empty("/v1/auth/refresh").expect_problem(401, "invalid_grant");
}
