//! A key at work, by itself: `X-API-Key`, or a Bearer token.

use signet::access::scope::Scope;

use super::*;
use crate::support::on_both;

fn uses(server: &Server, outcome: &str) -> f64 {
    server.metric(&format!("signet_api_key_uses_total{{outcome=\"{outcome}\"}}"))
}

/// When each key was last used, in microseconds; 0 if never.
fn last_used(server: &Server, backend: Backend) -> i64 {
    server.query_number(match backend {
        Backend::Postgres => {
            "SELECT coalesce((extract(epoch FROM max(last_used_at)) * 1000000)::bigint, 0) AS value FROM api_keys"
        }
        Backend::Sqlite => "SELECT coalesce(max(last_used_at), 0) AS value FROM api_keys",
    })
}

on_both! {
    fn a_key_reads_in_either_header(backend) {
        let (server, client) = world(backend);
        let made = make_key(&client, "account");
        let key = made.text_at("/key");
        let me = client.get("/v1/auth/me").expect(200).text;
        assert_eq!(with_key(&server, &key).get("/v1/auth/me").expect(200).text, me);
        assert_eq!(server.client().bearer(&key).get("/v1/auth/me").expect(200).text, me);
        // Never out of a URL, and never out of two hands.
        server.client().get(&format!("/v1/auth/me?api_key={key}")).expect_problem(401, "invalid_token");
        let both = server.client().with("x-api-key", &key).bearer(&key);
        both.get("/v1/auth/me").expect_problem(400, "invalid_request");
        with_key(&server, &key).with("x-api-key", &key).get("/v1/auth/me").expect_problem(400, "invalid_request");
        // A gateway's own key of that name is not ours, and in nobody's way.
        client.with("x-api-key", "gateway-7").get("/v1/auth/me").expect(200);
        with_key(&server, "gateway-7").get("/v1/auth/me").expect_problem(401, "invalid_token");
    }

    fn a_key_manages_nothing(backend) {
        let (server, client) = world(backend);
        let made = make_key(&client, "account read write");
        let (key, id) = (made.text_at("/key"), made.text_at("/id"));
        let token = exchange(&server, &key, &[]).expect(200).access_token();
        let sid = client.get("/v1/auth/sessions").expect(200).text_at("/sessions/0/id");
        for client in [with_key(&server, &key), server.client().bearer(&key), server.client().bearer(&token)] {
            let body = json!({"name": "a child", "scope": "read"});
            client.post("/v1/auth/api-keys", &body).expect_problem(403, "forbidden");
            client.get("/v1/auth/api-keys").expect_problem(403, "forbidden");
            client.delete("/v1/auth/api-keys").expect_problem(403, "forbidden");
            client.delete(&format!("/v1/auth/api-keys/{id}")).expect_problem(403, "forbidden");
            client.post_empty(&format!("/v1/auth/api-keys/{id}/rotate")).expect_problem(403, "forbidden");
            client.patch("/v1/auth/me", &json!({"name": "Eve"})).expect_problem(403, "forbidden");
            client.get("/v1/auth/sessions").expect_problem(403, "forbidden");
            client.delete(&format!("/v1/auth/sessions/{sid}")).expect_problem(403, "forbidden");
        }
        server.client().bearer(&key).post("/v1/auth/logout", &json!({"all": true})).expect_problem(403, "forbidden");
        client.get("/v1/auth/sessions").expect(200);
        assert_eq!(server.count("api_keys WHERE revoked_at IS NULL"), 1);
    }

    fn what_is_no_key_costs_no_query(backend) {
        let (server, client) = world(backend);
        let key = make_key(&client, "account").text_at("/key");
        let asked = "signet_database_transaction_duration_seconds_count{name=\"api_key.find\"}";
        let mut typo = key.clone().into_bytes();
        typo[40] = if typo[40] == b'A' { b'B' } else { b'A' };
        let typo = String::from_utf8(typo).expect("ASCII");
        let long = format!("{key}A");
        let junk = ["sgk_", "sgk_x", &key[..73], &long, &typo];
        for text in junk {
            with_key(&server, text).get("/v1/auth/me").expect_problem(401, "invalid_token");
        }
        assert_eq!((server.metric(asked), uses(&server, "mangled")), (0.0, 5.0));
        with_key(&server, &key).get("/v1/auth/me").expect(200);
        assert_eq!((server.metric(asked), uses(&server, "success")), (1.0, 1.0));
    }

    fn a_key_that_does_not_work_is_answered_as_one_that_never_was(backend) {
        let (server, client) = world(backend);
        let body = json!({"name": "short", "scope": "account", "expires_in": 600});
        let expired = client.post("/v1/auth/api-keys", &body).expect(201).text_at("/key");
        let revoked = make_key(&client, "account");
        client.delete(&format!("/v1/auth/api-keys/{}", revoked.text_at("/id"))).expect(204);
        let wrong = make_key(&client, "account").text_at("/key");
        let bob = server.client().register("bob@example.com");
        let disabled = make_key(&server.client().bearer(&bob.access_token()), "account").text_at("/key");
        server.execute("UPDATE users SET is_active = false WHERE email = 'bob@example.com'");
        server.clock.advance(Duration::from_secs(600));
        // As well-formed as any, and nobody's.
        let unknown = {
            let mut bytes = wrong.clone().into_bytes();
            bytes[5] = if bytes[5] == b'A' { b'B' } else { b'A' };
            with_another_secret(&String::from_utf8(bytes).expect("ASCII"))
        };
        let cases = [
            (expired, "expired"),
            (revoked.text_at("/key"), "revoked"),
            (with_another_secret(&wrong), "wrong_secret"),
            (disabled, "owner_disabled"),
            (unknown, "unknown"),
            ("sgk_junk".to_owned(), "mangled"),
        ];
        let mut answers = std::collections::BTreeSet::new();
        for (key, outcome) in &cases {
            let answer = with_key(&server, key).with("x-request-id", "same").get("/v1/auth/me");
            answers.insert((answer.status, answer.text.clone(), answer.header("www-authenticate").to_owned()));
            assert_eq!(uses(&server, outcome), 1.0, "{outcome}");
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
        // Refusals of keys that exist are in the trail, each once a minute.
        eventually(|| server.audited("authn_api_key_fail") == 4);
        for (key, _) in &cases {
            with_key(&server, key).get("/v1/auth/me").expect(401);
        }
        server.clock.advance(LATER);
        for (key, _) in &cases {
            with_key(&server, key).get("/v1/auth/me").expect(401);
        }
        eventually(|| server.audited("authn_api_key_fail") == 8);
    }

    fn disabling_its_user_stops_a_key_at_once_and_enabling_them_brings_it_back(backend) {
        let (server, client) = world(backend);
        let key = make_key(&client, "account").text_at("/key");
        let token = server.client().bearer(&exchange(&server, &key, &[]).expect(200).access_token());
        server.execute("UPDATE users SET is_active = false");
        with_key(&server, &key).get("/v1/auth/me").expect_problem(401, "invalid_token");
        token.get("/v1/auth/me").expect_problem(401, "invalid_token");
        exchange(&server, &key, &[]).expect_oauth(400, "invalid_request");
        server.execute("UPDATE users SET is_active = true");
        with_key(&server, &key).get("/v1/auth/me").expect(200);
    }

    fn a_key_loses_what_its_users_roles_lose(backend) {
        let server = Server::start_with(backend, |config| {
            config.oauth.scope = "read".parse().expect("a scope");
            config.roles.0.insert("member".to_owned(), Scope::account());
        });
        server.client().register(EMAIL);
        server.set_roles(EMAIL, "member");
        let client = server.client().bearer(&server.client().login(EMAIL).access_token());
        let key = make_key(&client, "account read").text_at("/key");
        with_key(&server, &key).get("/v1/auth/me").expect(200);
        let token = exchange(&server, &key, &[]).expect(200);
        assert_eq!(token.json()["scope"], "account read");
        server.set_roles(EMAIL, "user");
        let refused = with_key(&server, &key).get("/v1/auth/me").expect_problem(403, "forbidden");
        assert!(refused.header("www-authenticate").contains("insufficient_scope"));
        server.client().bearer(&token.access_token()).get("/v1/auth/me").expect_problem(403, "forbidden");
        assert_eq!(exchange(&server, &key, &[]).expect(200).json()["scope"], "read");
    }

    fn the_last_use_is_noted_once_a_minute(backend) {
        let (server, client) = world(backend);
        let key = make_key(&client, "account").text_at("/key");
        let written = "signet_database_transaction_duration_seconds_count{name=\"api_key.note_use\"}";
        let begin = server.clock.now().as_micros();
        with_key(&server, &key).get("/v1/auth/me").expect(200);
        eventually(|| last_used(&server, backend) == begin && server.metric(written) == 1.0);
        for _ in 0..5 {
            server.clock.advance(Duration::from_secs(11));
            with_key(&server, &key).get("/v1/auth/me").expect(200);
            exchange(&server, &key, &[]).expect(200);
        }
        assert_eq!((last_used(&server, backend), server.metric(written)), (begin, 1.0), "55 s later");
        server.clock.advance(Duration::from_secs(5));
        let at_once: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..10).map(|_| scope.spawn(|| with_key(&server, &key).get("/v1/auth/me").status)).collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        assert_eq!(at_once, [200; 10]);
        eventually(|| last_used(&server, backend) == begin + 60_000_000);
        assert!(server.metric(written) <= 11.0);
        assert_eq!(client.get("/v1/auth/api-keys").expect(200).json()["api_keys"][0]["last_used_at"], "2026-11-21T10:01:00.123456Z");
    }

    fn the_first_use_from_each_place_is_in_the_trail(backend) {
        let (server, client) = {
            let server = Server::start_with(backend, |config| {
                config.public.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
            });
            let session = server.client().register(EMAIL);
            let client = server.client().bearer(&session.access_token());
            (server, client)
        };
        let key = make_key(&client, "account").text_at("/key");
        let at = |address: &str| with_key(&server, &key).with("x-forwarded-for", address).get("/v1/auth/me").expect(200);
        let moved = || server.audited("authn_api_key_new_source");
        at("192.0.2.1");
        eventually(|| moved() == 1);
        at("192.0.2.1");
        at("2001:db8::1");
        eventually(|| moved() == 2);
        // One household's addresses are one place.
        at("2001:db8::2");
        at("198.51.100.7");
        eventually(|| moved() == 3);
        let places = server.query_texts("SELECT source AS value FROM api_key_sources ORDER BY source");
        assert_eq!(places, ["192.0.2.1/32", "198.51.100.7/32", "2001:db8::/64"]);
        let addresses = "SELECT address AS value FROM audit_events WHERE kind = 'authn_api_key_new_source' ORDER BY address";
        assert_eq!(server.query_texts(addresses), ["192.0.2.1", "198.51.100.7", "2001:db8::1"]);
    }
}
