//! Bodies that are not what they should be: one shape of answer, nothing changed, nothing leaked.

use std::time::Duration;

use crate::support::{Backend, PASSWORD, Server, json, on_both};

const JSON: &str = "application/json";

on_both! {
    fn what_is_no_json_object_is_malformed(backend) {
        let server = Server::start(backend);
        let nested = format!("{{\"email\":{}", "[".repeat(15_000));
        let bodies: &[&[u8]] = &[
            b"x", b"{", b"[]", b"null", b"\"text\"", b"7", b"{\"email\":\"a@x\",}", b"{'email':'a@x'}", b"\xef\xbb\xbf{}", b"{\"email\":\"\xff\"}",
            b"{\"email\":\"\\ud800\"}", b"\xff\xfe{\x00}\x00", b"{} {}", b"{\"email\":\"a@x\",\"email\":\"b@x\"}", nested.as_bytes(),
            b"{\"email\":\"a@x\",\"password\":{\"a\":1,\"a\":2}}",
        ];
        for body in bodies {
            let answer = server.client().send("POST", "/v1/auth/login", Some(JSON), body).expect_problem(400, "invalid_request");
            for leak in ["line", "column", "expected", "serde", "EOF"] {
                assert!(!answer.text.contains(leak), "{leak} in {}", answer.text);
            }
        }
        server.client().send("POST", "/v1/auth/login", Some(JSON), b"").expect_problem(400, "invalid_request");
        assert_eq!(server.audit(), Vec::<String>::new());
    }

    fn another_media_type_is_refused(backend) {
        let server = Server::start(backend);
        let body = json!({"email": "ada@example.com", "password": PASSWORD}).to_string();
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", "text/json", "json", "application/json; charset=utf-16", ""] {
            server.client().send("POST", "/v1/auth/register", Some(content_type), body.as_bytes()).expect_problem(415, "unsupported_media_type");
        }
        server.client().send("POST", "/v1/auth/register", None, body.as_bytes()).expect_problem(415, "unsupported_media_type");
        let gzip = server.client().with("content-encoding", "gzip");
        gzip.send("POST", "/v1/auth/register", Some(JSON), body.as_bytes()).expect_problem(415, "unsupported_media_type");
        server.client().send("POST", "/v1/auth/register", Some("Application/JSON; Charset=UTF-8"), body.as_bytes()).expect(201);
    }

    fn a_large_body_is_refused_whether_announced_or_not(backend) {
        let server = Server::start(backend);
        let large = json!({"email": "ada@example.com", "password": "x".repeat(1 << 20)}).to_string();
        let answer = server.client().raw(
            format!("POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{large}", large.len()).as_bytes(),
            Duration::from_secs(5),
        );
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("payload_too_large"), "{answer}");
        let announced = server.client().raw(
            b"POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{",
            Duration::from_secs(5),
        );
        assert!(announced.starts_with("HTTP/1.1 413 ") && announced.to_lowercase().contains("connection: close"), "{announced}");
        let mut chunked = b"POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..20 {
            chunked.extend_from_slice(format!("400\r\n{}\r\n", "x".repeat(0x400)).as_bytes());
        }
        chunked.extend_from_slice(b"0\r\n\r\n");
        let answer = server.client().raw(&chunked, Duration::from_secs(5));
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        // The largest body that is taken is 16 KiB.
        let fits = json!({"email": "a@x", "password": "x".repeat(16 * 1024 - 32)}).to_string();
        assert!(fits.len() <= 16 * 1024);
        server.client().send("POST", "/v1/auth/login", Some(JSON), fits.as_bytes()).expect_problem(422, "invalid_field");
    }

    fn a_body_that_does_not_come_is_not_waited_for(backend) {
        let server = Server::start(backend);
        let head = b"POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"email\":";
        let answer = server.client().raw(head, Duration::from_secs(60));
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}
