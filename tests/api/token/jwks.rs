//! `GET /.well-known/jwks.json`.

use std::time::Duration;

use signet::token::key_file;

use crate::support::{Answer, Backend, Server, on_both, wait};

const PATH: &str = "/.well-known/jwks.json";

on_both! {
    fn anybody_gets_the_public_keys(backend) {
        let server = Server::start(backend);
        let answer = server.client().with("accept", "text/html").get(&format!("{PATH}?kid=x")).expect(200);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "public, max-age=300, stale-if-error=3600");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let json = answer.json();
        let key = &json["keys"][0];
        assert_eq!(json["keys"].as_array().map(Vec::len), Some(1));
        for (name, value) in [("kty", "EC"), ("crv", "P-256"), ("use", "sig"), ("alg", "ES256")] {
            assert_eq!(key[name], value);
        }
        assert_eq!(key.get("d"), None);
        assert_eq!((key["x"].as_str().map(str::len), key["y"].as_str().map(str::len)), (Some(43), Some(43)));
        let head = server.client().send("HEAD", PATH, None, b"").expect(200);
        assert_eq!((head.text.as_str(), head.header("etag")), ("", answer.header("etag")));
    }

    fn a_client_that_has_it_gets_304(backend) {
        let server = Server::start(backend);
        let answer = server.client().get(PATH).expect(200);
        let etag = answer.header("etag");
        assert!(etag.starts_with('"') && etag.ends_with('"'), "a strong one: {etag}");
        for known in [etag, &format!("\"x\", {etag}"), &format!("W/{etag}"), "*"] {
            let unchanged = server.client().with("if-none-match", known).get(PATH).expect(304);
            assert_eq!((unchanged.text.as_str(), unchanged.header("etag")), ("", etag));
            assert_eq!(unchanged.header("cache-control"), answer.header("cache-control"));
        }
        server.client().with("if-none-match", "\"other\"").get(PATH).expect(200);
    }

    fn a_new_key_is_published_before_it_signs_and_no_cache_outlives_its_activation(backend) {
        let server = Server::start(backend);
        let first = server.client().get(PATH).expect(200);
        let old = first.json()["keys"][0]["kid"].clone();
        let key = key_file::create(&server.config.keys.dir, server.clock.now(), Duration::from_secs(1_000)).expect("a key");
        // The folder is read every few seconds; the clock that judges is the test's.
        let has_both = |answer: &Answer| answer.json()["keys"].as_array().map(Vec::len) == Some(2);
        let published = wait::until_some(|| Some(server.client().get(PATH).expect(200)).filter(has_both));
        let published = published.expect("the folder is read again");
        assert_ne!(published.header("etag"), first.header("etag"));
        let signer = |server: &Server| {
            let session = server.client().post("/v1/auth/login", &crate::support::json!({"email": "ada@example.com", "password": crate::support::PASSWORD})).expect(200);
            crate::support::token::decode(&session.access_token()).0["kid"].clone()
        };
        let before = server.client().register("ada@example.com");
        assert_eq!(signer(&server), old);
        server.clock.advance(Duration::from_secs(900));
        let late = server.client().get(PATH).expect(200);
        assert_eq!(late.header("cache-control"), "public, max-age=99, stale-if-error=3600");
        server.clock.advance(Duration::from_secs(100));
        assert_eq!(signer(&server), key.kid.as_str());
        let both = server.client().get(PATH).expect(200);
        assert_eq!(both.json()["keys"].as_array().map(Vec::len), Some(2), "the old one still verifies");
        assert_eq!(both.header("cache-control"), "public, max-age=300, stale-if-error=3600");
        server.client().refresh(&before.refresh_token()).expect(200);
    }

    fn a_broken_key_file_leaves_the_last_good_keys(backend) {
        let server = Server::start(backend);
        let before = server.client().get(PATH).expect(200);
        std::fs::write(server.config.keys.dir.join("broken.pem"), "-----BEGIN PRIVATE KEY-----\nAAAA").expect("written");
        wait::until("the folder is not read again", || server.metric("signet_key_reload_failures_total") != 0.0);
        assert_eq!(server.client().get(PATH).expect(200).text, before.text);
        server.client().register("ada@example.com");
    }
}
