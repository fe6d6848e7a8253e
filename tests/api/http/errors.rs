//! The one shape of errors, and the headers on every answer.

use std::time::Duration;

use crate::support::{Backend, Server, json, on_both};

on_both! {
    fn unknown_routes_and_methods_are_problems(backend) {
        let server = Server::start(backend);
        for path in ["/", "/nothing", "/v1/auth", "/v1/auth/login/", "/v1/auth/../auth/login", "//v1/auth/login", "/metrics", "/health/ready", "/v1/auth/me%00"] {
            server.client().get(path).expect_problem(404, "not_found");
        }
        for (method, path, allowed) in [
            ("GET", "/v1/auth/login", "POST"),
            ("PUT", "/v1/auth/me", "GET, PATCH, DELETE, HEAD"),
            ("DELETE", "/.well-known/jwks.json", "GET, HEAD"),
            ("OPTIONS", "/v1/auth/login", "POST"),
            ("TRACE", "/v1/auth/me", "GET, PATCH, DELETE, HEAD"),
            ("POST", "/v1/auth/sessions/x", "DELETE"),
        ] {
            let answer = server.client().send(method, path, None, b"").expect_problem(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), allowed);
        }
        let answer = server.client().raw(b"BREW /v1/auth/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", Duration::from_secs(5));
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }

    fn every_answer_carries_the_same_safe_headers(backend) {
        let server = Server::start(backend);
        for path in ["/v1/auth/me", "/nothing", "/.well-known/jwks.json", "/oauth2/token"] {
            let answer = server.client().get(path);
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
            assert_eq!(answer.header("referrer-policy"), "no-referrer");
            assert_eq!(answer.header("server"), "");
            assert_eq!(answer.header("strict-transport-security"), "", "not over plain http");
            assert!(!answer.header("x-request-id").is_empty());
        }
        assert_eq!(server.client().get("/nothing").header("cache-control"), "no-store");
        assert_eq!(server.client().get("/nothing").header("access-control-allow-origin"), "");
    }

    fn a_request_id_is_the_callers_own_if_it_is_plain(backend) {
        let server = Server::start(backend);
        let id = |sent: &str| server.client().with("x-request-id", sent).get("/nothing").header("x-request-id").to_owned();
        assert_eq!(id("trace-7"), "trace-7");
        let long = "x".repeat(65);
        for bad in ["two words", "a;b", long.as_str()] {
            assert_ne!(id(bad), bad);
        }
        assert_ne!(server.client().get("/nothing").header("x-request-id"), server.client().get("/nothing").header("x-request-id"));
    }

    fn without_its_database_the_service_says_so_and_never_blames_the_client(backend) {
        let server = Server::start_with(backend, |config| config.database.max_wait = signet::config::Period(Duration::from_millis(500)));
        let session = server.client().register("ada@example.com");
        let tables = ["ALTER TABLE sessions RENAME TO gone", "ALTER TABLE gone RENAME TO sessions"];
        server.execute(tables[0]);
        let refresh = server.client().refresh(&session.refresh_token());
        assert_eq!(refresh.status / 100, 5, "{}", refresh.text);
        for leak in ["sessions", "relation", "table", "SELECT", "UPDATE"] {
            assert!(!refresh.text.contains(leak), "{leak} in {}", refresh.text);
        }
        server.client().get("/.well-known/jwks.json").expect(200);
        server.execute(tables[1]);
        server.client().refresh(&session.refresh_token()).expect(200);
    }

    fn smuggled_and_malformed_requests_are_refused(backend) {
        let server = Server::start(backend);
        for request in [
            &b"POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nX"[..],
            b"POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
            b"POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length : 5\r\n\r\nhello",
            b"GET / HTTP/1.1\r\nhost: x\r\nx: a\rb\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01",
        ] {
            let answer = server.client().raw(request, Duration::from_secs(3));
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
        let headers: String = (0..300).map(|n| format!("x-{n}: y\r\n")).collect();
        let answer = server.client().raw(format!("GET / HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes(), Duration::from_secs(3));
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        server.client().post("/v1/auth/login", &json!({})).expect(422);
    }
}
