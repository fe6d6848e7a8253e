//! O: the token endpoint.

use crate::support::{Backend, PASSWORD, Server, json};

const PATH: &str = "/oauth2/token";
const PASSWORD_GRANT: [(&str, &str); 3] =
    [("grant_type", "password"), ("username", "ada@example.com"), ("password", PASSWORD)];

fn with_user(password_grant: bool) -> Server {
    let server = Server::start_with(Backend::Sqlite, |config| config.oauth.password_grant = password_grant);
    server.client().register("ada@example.com");
    server
}

#[test]
fn o1_only_a_posted_form_is_read() {
    let server = with_user(true);
    let refused = server.client().get(PATH).expect_oauth(405, "invalid_request");
    assert_eq!(refused.header("allow"), "POST");
    server.client().post(PATH, &json!({"grant_type": "password"})).expect_oauth(415, "invalid_request");
    server.client().form(PATH, &PASSWORD_GRANT).expect(200);
}

#[test]
fn o2_errors_have_the_form_of_rfc_6749() {
    let server = with_user(true);
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", "junk")];
    server.client().form(PATH, &refresh).expect_oauth(400, "invalid_grant");
    let stranger = [&PASSWORD_GRANT[..], &[("client_id", "stranger")]].concat();
    let refused = server.client().form(PATH, &stranger).expect_oauth(401, "invalid_client");
    assert_eq!(refused.header("www-authenticate"), r#"Basic realm="signet""#);
}

#[test]
fn o3_no_answer_is_stored() {
    let server = with_user(true);
    assert_eq!(server.client().form(PATH, &PASSWORD_GRANT).expect(200).header("cache-control"), "no-store");
    assert_eq!(server.client().form(PATH, &[]).expect(400).header("cache-control"), "no-store");
}

#[test]
fn o4_a_parameter_that_comes_twice_is_an_invalid_request() {
    let server = with_user(true);
    for name in ["grant_type", "username", "password", "scope", "client_id", "unknown"] {
        let twice = [&PASSWORD_GRANT[..], &[(name, "x"), (name, "x")]].concat();
        server.client().form(PATH, &twice).expect_oauth(400, "invalid_request");
    }
    server.client().form(PATH, &[&PASSWORD_GRANT[..], &[("unknown", "x")]].concat()).expect(200);
}

#[test]
fn o5_the_password_grant_is_off_and_unlisted_by_default() {
    let server = with_user(false);
    server.client().form(PATH, &PASSWORD_GRANT).expect_oauth(400, "unsupported_grant_type");
    assert!(!server.client().get("/.well-known/openid-configuration").expect(200).text.contains("password"));
}

#[test]
fn o7_credentials_in_the_url_are_ignored() {
    let server = with_user(true);
    let query = "grant_type=password&username=ada@example.com&password=correct+horse+battery";
    server.client().form(&format!("{PATH}?{query}"), &[]).expect_oauth(400, "invalid_request");
    let token = server.client().login("ada@example.com").access_token();
    server.client().get(&format!("/v1/auth/me?access_token={token}")).expect_problem(401, "invalid_token");
    let body = [("access_token", token.as_str())];
    server.client().form("/v1/auth/change-password", &body).expect_problem(401, "invalid_token");
}
