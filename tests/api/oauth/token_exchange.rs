//! `POST /oauth2/token` with an API key (RFC 8693).

use std::time::Duration;

use crate::api::api_key::{EMAIL, HOUR, exchange, make_key, world};
use crate::support::{Backend, json, on_both, token};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

on_both! {
    fn a_key_is_exchanged_for_a_token_that_names_it_and_no_session(backend) {
        let (server, client) = world(backend);
        let me = client.get("/v1/auth/me").expect(200).json();
        let made = make_key(&client, "account read");
        let answer = exchange(&server, &made.text_at("/key"), &[("requested_token_type", ACCESS_TOKEN)]).expect(200);
        assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("application/json", "no-store"));
        let (body, access_token) = (answer.json(), answer.access_token());
        assert_eq!(body, json!({
            "access_token": access_token,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": 900,
            "scope": "account read",
        }));
        let (header, claims) = token::decode(&access_token);
        assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("at+jwt")));
        let (iat, jti) = (claims["iat"].as_i64().expect("a number"), claims["jti"].clone());
        assert_eq!(claims, json!({
            "iss": server.url, "sub": me["id"], "aud": server.url, "iat": iat, "exp": iat + 900, "jti": jti,
            "client_id": "signet", "scope": "account read", "roles": ["editor"], "key_id": made.text_at("/id"),
        }));
        assert_eq!(server.client().bearer(&access_token).get("/v1/auth/me").expect(200).json(), me);
        assert_eq!(server.count("sessions"), 2, "no session begins");
    }

    fn an_exchange_may_ask_for_less_and_never_gets_more(backend) {
        let (server, client) = world(backend);
        let key = make_key(&client, "account read").text_at("/key");
        let ask = |scope: &str| exchange(&server, &key, &[("scope", scope)]);
        let narrow = ask("read").expect(200);
        assert_eq!(token::decode(&narrow.access_token()).1["scope"], "read");
        let refused = server.client().bearer(&narrow.access_token()).get("/v1/auth/me").expect_problem(403, "forbidden");
        assert!(refused.header("www-authenticate").contains("insufficient_scope"));
        for scope in ["write", "read write", "admin", "re\"ad"] {
            ask(scope).expect_oauth(400, "invalid_scope");
        }
        assert_eq!(ask("").expect(200).json()["scope"], "account read");
        // A key whose words its user has lost is good for nothing, and no token says otherwise.
        let writes = make_key(&client, "write").text_at("/key");
        server.set_roles(EMAIL, "user");
        exchange(&server, &writes, &[]).expect_oauth(400, "invalid_scope");
    }

    fn a_token_never_outlives_the_key(backend) {
        let (server, client) = world(backend);
        let body = json!({"name": "short", "scope": "account", "expires_in": 100});
        let key = client.post("/v1/auth/api-keys", &body).expect(201).text_at("/key");
        let answer = exchange(&server, &key, &[]).expect(200);
        assert_eq!(answer.json()["expires_in"], 100);
        let claims = token::decode(&answer.access_token()).1;
        assert_eq!(claims["exp"].as_i64(), claims["iat"].as_i64().map(|iat| iat + 100));
        server.clock.advance(Duration::from_millis(99_900));
        let last = exchange(&server, &key, &[]).expect(200);
        assert_eq!(last.json()["expires_in"], 1, "no token ends in the second in which it begins");
        server.clock.advance(HOUR);
        exchange(&server, &key, &[]).expect_oauth(400, "invalid_request");
    }

    fn what_is_no_exchange_of_a_key_is_refused(backend) {
        let (server, client) = world(backend);
        let key = make_key(&client, "account").text_at("/key");
        let session = server.client().login(EMAIL);
        for token in ["sgk_junk", "", &session.access_token(), &session.refresh_token()] {
            exchange(&server, token, &[]).expect_oauth(400, "invalid_request");
        }
        for (name, value) in [
            ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("actor_token", &key),
            ("actor_token_type", ACCESS_TOKEN),
        ] {
            exchange(&server, &key, &[(name, value)]).expect_oauth(400, "invalid_request");
        }
        for (name, value) in [("audience", "https://other.example"), ("resource", "https://other.example")] {
            exchange(&server, &key, &[(name, value)]).expect_oauth(400, "invalid_target");
        }
        exchange(&server, &key, &[("client_id", "nobody")]).expect_oauth(401, "invalid_client");
        let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("subject_token", &*key)];
        server.client().form("/oauth2/token", &fields).expect_oauth(400, "invalid_request");
        let of_access_token = [&fields[..], &[("subject_token_type", ACCESS_TOKEN)]].concat();
        server.client().form("/oauth2/token", &of_access_token).expect_oauth(400, "invalid_request");
        exchange(&server, &key, &[("audience", &server.url)]).expect(200);
    }
}
