//! `POST /oauth2/token`.

use crate::support::{Answer, Backend, Client, PASSWORD, Server, json, on_both, token};

const FORM: &str = "application/x-www-form-urlencoded";

fn with_password_grant(backend: Backend) -> Server {
    Server::start_with(backend, |config| {
        config.oauth.password_grant = true;
        config.oauth.public_clients = vec!["web".to_owned()];
        config.oauth.scope = "account read write".parse().expect("a scope");
    })
}

fn refresh(client: &Client, token: &str, more: &[(&str, &str)]) -> Answer {
    let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    fields.extend_from_slice(more);
    client.form("/oauth2/token", &fields)
}

fn password(client: &Client, more: &[(&str, &str)]) -> Answer {
    let mut fields = vec![("grant_type", "password"), ("username", "ada@example.com"), ("password", PASSWORD)];
    fields.extend_from_slice(more);
    client.form("/oauth2/token", &fields)
}

on_both! {
    fn a_refresh_token_is_rotated_as_on_the_rest_route(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let answer = refresh(&server.client(), &session.refresh_token(), &[]).expect(200);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "no-store");
        let body = answer.json();
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 900);
        assert_eq!(body["scope"], "account");
        assert_eq!(body.get("user"), None);
        let again = server.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(again.refresh_token(), answer.refresh_token());
    }

    fn a_token_that_does_not_work_is_an_invalid_grant(backend) {
        let server = Server::start(backend);
        let first = server.client().register("ada@example.com");
        let second = server.client().refresh(&first.refresh_token()).expect(200);
        let third = server.client().refresh(&second.refresh_token()).expect(200);
        for token in ["junk", &first.refresh_token(), &third.refresh_token(), &third.access_token()] {
            refresh(&server.client(), token, &[]).expect_oauth(400, "invalid_grant");
        }
        assert_eq!(server.audited("authn_token_reuse"), 1);
    }

    fn the_password_grant_is_off_by_default(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        password(&server.client(), &[]).expect_oauth(400, "unsupported_grant_type");
        assert_eq!(server.audit(), ["user_registered"]);
    }

    fn the_password_grant_opens_a_session(backend) {
        let server = with_password_grant(backend);
        server.client().register("ada@example.com");
        let answer = password(&server.client(), &[("scope", "")]).expect(200);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.json()["scope"], "account read write");
        assert_eq!(answer.json().get("user"), None);
        server.client().bearer(&answer.access_token()).get("/v1/auth/me").expect(200);
        refresh(&server.client(), &answer.refresh_token(), &[]).expect(200);
        assert_eq!(server.audited("authn_login_success"), 1);
    }

    fn wrong_credentials_are_an_invalid_grant_whatever_is_wrong(backend) {
        let server = with_password_grant(backend);
        server.client().register("ada@example.com");
        let login = |username: &str, password: &str| {
            let fields = [("grant_type", "password"), ("username", username), ("password", password)];
            server.client().form("/oauth2/token", &fields).expect_oauth(400, "invalid_grant").text
        };
        let wrong = login("ada@example.com", "something else entirely");
        assert_eq!(login("nobody@example.com", PASSWORD), wrong);
        assert_eq!(login("no address", PASSWORD), wrong);
        assert_eq!(login("ada@example.com", &"x".repeat(5_000)), wrong);
    }

    fn a_form_that_is_not_as_it_should_be_is_an_invalid_request(backend) {
        let server = with_password_grant(backend);
        let client = server.client();
        let send = |body: &[u8]| client.send("POST", "/oauth2/token", Some(FORM), body);
        for body in [
            &b"x=1"[..],
            b"grant_type=",
            b"grant_type=refresh_token",
            b"grant_type=refresh_token&grant_type=refresh_token&refresh_token=x",
            b"grant_type=password&username=a%40x",
            b"grant_type=password&username=a%40x&password=x&password=y",
            b"grant_type=refresh_token&refresh_token=%FF",
        ] {
            send(body).expect_oauth(400, "invalid_request");
        }
        send(b"grant_type=authorization_code&code=x").expect_oauth(400, "unsupported_grant_type");
        send(b"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer").expect_oauth(400, "unsupported_grant_type");
        client.post("/oauth2/token", &json!({"grant_type": "refresh_token"})).expect_oauth(415, "invalid_request");
        client.send("POST", "/oauth2/token", Some("text/plain"), b"grant_type=refresh_token").expect_oauth(415, "invalid_request");
        let wrong_method = client.get("/oauth2/token").expect_oauth(405, "invalid_request");
        assert_eq!(wrong_method.header("allow"), "POST");
        client.get("/oauth2/nothing").expect_oauth(404, "invalid_request");
        let body = vec![b'x'; 1 << 20];
        send(&body).expect_oauth(413, "invalid_request");
    }

    fn credentials_in_the_url_are_ignored(backend) {
        let server = with_password_grant(backend);
        server.client().register("ada@example.com");
        let path = "/oauth2/token?grant_type=password&username=ada@example.com&password=correct+horse+battery";
        server.client().form(path, &[]).expect_oauth(400, "invalid_request");
    }

    fn a_scope_can_only_shrink(backend) {
        let server = with_password_grant(backend);
        server.client().register("ada@example.com");
        password(&server.client(), &[("scope", "read unknown")]).expect_oauth(400, "invalid_scope");
        password(&server.client(), &[("scope", "re\"ad")]).expect_oauth(400, "invalid_scope");
        let narrow = password(&server.client(), &[("scope", "write read")]).expect(200);
        assert_eq!(narrow.json()["scope"], "read write");
        assert_eq!(token::decode(&narrow.access_token()).1["scope"], "read write");
        let refused = server.client().bearer(&narrow.access_token()).get("/v1/auth/me").expect_problem(403, "forbidden");
        assert_eq!(refused.header("www-authenticate"), r#"Bearer realm="signet", error="insufficient_scope", scope="account""#);
        refresh(&server.client(), &narrow.refresh_token(), &[("scope", "read admin")]).expect_oauth(400, "invalid_scope");
        let one = refresh(&server.client(), &narrow.refresh_token(), &[("scope", "read")]).expect(200);
        assert_eq!(one.json()["scope"], "read");
    }

    fn a_refused_scope_does_not_use_up_the_token(backend) {
        let server = with_password_grant(backend);
        server.client().register("ada@example.com");
        let session = password(&server.client(), &[("scope", "read")]).expect(200);
        // `write` is a scope that a session here may have, but not this one.
        refresh(&server.client(), &session.refresh_token(), &[("scope", "write")]).expect_oauth(400, "invalid_scope");
        assert_eq!(server.query_number("SELECT max(generation) AS value FROM sessions"), 0);
        refresh(&server.client(), &session.refresh_token(), &[]).expect(200);
    }

    fn a_session_is_bound_to_its_client(backend) {
        let server = with_password_grant(backend);
        server.client().register("ada@example.com");
        let session = password(&server.client(), &[("client_id", "web")]).expect(200);
        assert_eq!(token::decode(&session.access_token()).1["client_id"], "web");
        refresh(&server.client(), &session.refresh_token(), &[("client_id", "signet")]).expect_oauth(400, "invalid_grant");
        refresh(&server.client(), &session.refresh_token(), &[("client_id", "other")]).expect_oauth(400, "invalid_grant");
        assert_eq!(server.metric("signet_refreshes_total{outcome=\"other_client\"}"), 2.0);
        let next = refresh(&server.client(), &session.refresh_token(), &[("client_id", "web")]).expect(200);
        assert_eq!(token::decode(&next.access_token()).1["client_id"], "web");
        let last = server.client().with("authorization", "Basic d2ViOg==");
        refresh(&last, &next.refresh_token(), &[]).expect(200);
    }

    fn a_client_that_is_unknown_or_brings_a_secret_is_refused(backend) {
        let server = with_password_grant(backend);
        server.client().register("ada@example.com");
        for more in [&[("client_id", "other")][..], &[("client_id", "web"), ("client_secret", "x")], &[("client_secret", "x")]] {
            let refused = password(&server.client(), more).expect_oauth(401, "invalid_client");
            assert_eq!(refused.header("www-authenticate"), r#"Basic realm="signet""#);
        }
        for header in ["Basic d2ViOng=", "Basic !", "Basic d2Vi", "Bearer x"] {
            password(&server.client().with("authorization", header), &[]).expect_oauth(401, "invalid_client");
        }
        password(&server.client().with("authorization", "Basic d2ViOg=="), &[("client_id", "signet")]).expect_oauth(401, "invalid_client");
        // What Swagger's dialog sends when its client fields are left empty.
        let swagger = password(&server.client().with("authorization", "Basic Og=="), &[]).expect(200);
        assert_eq!(token::decode(&swagger.access_token()).1["client_id"], "signet");
    }
}
