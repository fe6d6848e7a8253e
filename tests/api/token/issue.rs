//! What is in an access token.

use std::time::Duration;

use signet::config::{ExtraClaim, Period};

use crate::support::{Backend, PASSWORD, Server, json, on_both, token};

on_both! {
    fn a_token_says_what_rfc_9068_demands(backend) {
        let server = Server::start_with(backend, |config| config.audience = "https://api.example".to_owned());
        let session = server.client().register("ada@example.com");
        let (header, claims) = token::decode(&session.access_token());
        let jwks = server.client().get("/.well-known/jwks.json").json();
        assert_eq!(header, json!({"alg": "ES256", "typ": "at+jwt", "kid": jwks["keys"][0]["kid"]}));
        let mut names: Vec<&String> = claims.as_object().expect("claims").keys().collect();
        names.sort();
        assert_eq!(names, ["amr", "aud", "auth_time", "client_id", "exp", "iat", "iss", "jti", "roles", "scope", "sid", "sub"]);
        assert_eq!(claims["iss"], server.url);
        assert_eq!(claims["aud"], "https://api.example");
        assert_eq!(claims["sub"], session.json()["user"]["id"]);
        assert_eq!(claims["iat"], 1_795_255_200);
        assert_eq!(claims["exp"], 1_795_255_200 + 900);
        assert_eq!(claims["auth_time"], 1_795_255_200);
        assert_eq!(claims["client_id"], "signet");
        assert_eq!(claims["scope"], "account");
        assert_eq!(claims["roles"], json!(["user"]));
        assert_eq!(claims["amr"], json!(["pwd"]));
        assert_eq!(claims["jti"].as_str().map(str::len), Some(22), "128 bits");
        assert!(session.access_token().len() < 1_024);
    }

    fn its_life_is_configurable_up_to_thirty_days(backend) {
        let month = Duration::from_secs(30 * 86_400);
        let server = Server::start_with(backend, |config| config.token.access_ttl = Period(month));
        let session = server.client().register("ada@example.com");
        assert_eq!(session.json()["expires_in"], 2_592_000);
        let (_, claims) = token::decode(&session.access_token());
        assert_eq!(claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat), Some(2_592_000));
    }

    fn configuration_adds_claims_about_the_user(backend) {
        let server = Server::start_with(backend, |config| {
            config.token.claims = vec![ExtraClaim::Email, ExtraClaim::EmailVerified, ExtraClaim::Name];
        });
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada"});
        let session = server.client().post("/v1/auth/register", &body).expect(201);
        let refreshed = server.client().refresh(&session.refresh_token()).expect(200);
        for answer in [session, refreshed] {
            let (_, claims) = token::decode(&answer.access_token());
            assert_eq!((&claims["email"], &claims["email_verified"], &claims["name"]), (&json!("ada@example.com"), &json!(false), &json!("Ada")));
        }
    }

    fn the_issuer_does_not_depend_on_the_request(backend) {
        let server = Server::start(backend);
        let client = server.client().with("host", "evil.example").with("x-forwarded-host", "evil.example");
        let (_, claims) = token::decode(&client.register("ada@example.com").access_token());
        assert_eq!(claims["iss"], server.url);
    }
}
