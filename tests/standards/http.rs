//! E: HTTP and errors.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Backend, PASSWORD, Server, json};

const SECOND: Duration = Duration::from_secs(1);

/// How many answers there are in what a connection sent.
fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

/// Sends `head`, then `drop` each half second, for as long as the other side puts up with that; all that it says, and how
/// many half seconds it was silent. These are counted and not measured: while the machine stands still nobody counts.
fn outlast(server: &Server, head: &[u8], drop: &[u8]) -> (String, u32) {
    let address = server.url.strip_prefix("http://").expect("plain http");
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    // The other side may close before it has read all of it.
    let _ = stream.write_all(head);
    let (mut said, mut silences, mut buffer) = (Vec::new(), 0, [0; 4096]);
    while silences < NEVER {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => said.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => silences += 1,
            // A process that was stopped and goes on is told so.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        }
        if stream.write_all(drop).is_err() {
            break;
        }
    }
    (String::from_utf8_lossy(&said).into_owned(), silences)
}

/// Half seconds after which nobody waits any more.
const NEVER: u32 = 60;

#[test]
fn e1_every_error_is_a_problem_with_a_stable_code_and_the_requests_id() {
    let server = Server::start(Backend::Sqlite);
    server.client().register("ada@example.com");
    let client = server.client().with("x-request-id", "trace-7");
    let json = "application/json";
    for (answer, status, code) in [
        (client.send("POST", "/v1/auth/login", Some(json), b"{"), 400, "invalid_request"),
        (client.get("/v1/auth/me"), 401, "invalid_token"),
        (
            client.post("/v1/auth/login", &json!({"email": "ada@example.com", "password": "wrong one"})),
            401,
            "invalid_credentials",
        ),
        (client.refresh("junk"), 401, "invalid_grant"),
        (client.with("cookie", "signet_refresh=x").post_empty("/v1/auth/refresh"), 403, "forbidden"),
        (client.get("/nothing"), 404, "not_found"),
        (client.get("/v1/auth/login"), 405, "method_not_allowed"),
        (
            client.post("/v1/auth/register", &json!({"email": "ada@example.com", "password": PASSWORD})),
            409,
            "email_taken",
        ),
        (client.send("POST", "/v1/auth/login", Some(json), &[b' '; 20_000]), 413, "payload_too_large"),
        (client.send("POST", "/v1/auth/login", Some("text/plain"), b"{}"), 415, "unsupported_media_type"),
        (client.post("/v1/auth/login", &json!({})), 422, "invalid_field"),
    ] {
        assert_eq!(answer.expect_problem(status, code).json()["request_id"], "trace-7");
    }
}

#[test]
fn e2_a_401_challenges_and_names_an_error_only_if_a_token_was_sent() {
    let server = Server::start_with(Backend::Sqlite, |config| {
        config.oauth.password_grant = true;
        config.oauth.scope = "account read".parse().expect("a scope");
    });
    server.client().register("ada@example.com");
    let challenge = |token: Option<&str>| {
        let client = token.map_or(server.client(), |token| server.client().bearer(token));
        client.get("/v1/auth/me").header("www-authenticate").to_owned()
    };
    assert_eq!(challenge(None), r#"Bearer realm="signet""#);
    assert_eq!(challenge(Some("junk")), r#"Bearer realm="signet", error="invalid_token""#);
    let form = [("grant_type", "password"), ("username", "ada@example.com"), ("password", PASSWORD), ("scope", "read")];
    let narrow = server.client().form("/oauth2/token", &form).expect(200).access_token();
    server.client().bearer(&narrow).get("/v1/auth/me").expect_problem(403, "forbidden");
    assert!(challenge(Some(&narrow)).contains(r#"error="insufficient_scope""#));
}

#[test]
fn e3_no_answer_shows_what_the_service_is_made_of() {
    let server = Server::start(Backend::Sqlite);
    let bodies: [&[u8]; 6] = [
        b"{",
        b"[]",
        b"{\"email\":\"\\ud800\"}",
        b"{\"email\":\"\xff\"}",
        b"{\"email\":{\"$ne\":null}}",
        b"\xff\xfe{\x00}\x00",
    ];
    let mut texts: Vec<String> = bodies
        .iter()
        .map(|body| server.client().send("POST", "/v1/auth/login", Some("application/json"), body).text)
        .collect();
    server.execute("ALTER TABLE users RENAME TO gone");
    let broken = server.client().post("/v1/auth/login", &json!({"email": "a@x", "password": PASSWORD}));
    texts.push(broken.expect_problem(503, "unavailable").text);
    for text in texts {
        for leak in
            ["serde", "expected", "line 1", "column", "sql", "SELECT", "users", "gone", "diesel", "panic", ".rs"]
        {
            assert!(!text.contains(leak), "{leak} in {text}");
        }
    }
}

#[test]
fn e4_what_is_temporary_says_when_to_come_back() {
    let server = Server::start(Backend::Sqlite);
    let _outage = super::Outage::of(&server);
    let answer = server.client().post("/v1/auth/login", &json!({"email": "a@x", "password": PASSWORD}));
    assert!(answer.expect(503).header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
}

#[test]
fn e5_a_large_body_is_refused_and_the_connection_ends_there() {
    let server = Server::start(Backend::Sqlite);
    let next = "GET /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n\r\n";
    for length in [20_000, 1 << 20] {
        let body = " ".repeat(length);
        let request = format!(
            "POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}{next}"
        );
        let (text, silences) = outlast(&server, request.as_bytes(), b"");
        assert!(text.starts_with("HTTP/1.1 413 ") && text.contains("payload_too_large"), "{text}");
        assert!(text.to_lowercase().contains("connection: close"), "{text}");
        assert_eq!(answers(&text), 1, "nothing is served on a connection that was said to be closed");
        assert!(silences < 6, "it is closed at once, not when it is idle: {silences}");
    }
}

#[test]
fn e5_a_large_head_is_refused() {
    let server = Server::start(Backend::Sqlite);
    let get = |target: &str, headers: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let text = server.client().raw(request.as_bytes(), 3 * SECOND);
        assert_eq!(answers(&text), 1, "{text}");
        (text[9..12].to_owned(), text.to_lowercase().contains("connection: close"))
    };
    let long = |length| "a".repeat(length);
    let many: String = (0..300).map(|number| format!("x-{number}: y\r\n")).collect();
    let few: String = (0..60).map(|number| format!("x-{number}: {}\r\n", long(400))).collect();
    let closed = |status: &str| (status.to_owned(), true);
    assert_eq!(get("/.well-known/jwks.json", &format!("x: {}\r\n", long(65_536))), closed("431"));
    assert_eq!(get("/.well-known/jwks.json", &format!("x: {}\r\n", long(20_000))), closed("431"));
    assert_eq!(get("/.well-known/jwks.json", &few), closed("431"));
    assert_eq!(get("/.well-known/jwks.json", &many), closed("431"));
    assert_eq!(get(&format!("/{}", long(20_000)), ""), closed("414"));
    assert_eq!(get(&format!("/.well-known/jwks.json?{}", long(20_000)), ""), closed("414"));
    assert_eq!(get(&format!("/{}", long(70_000)), "").0.as_bytes()[0], b'4');
    let fits = get("/.well-known/jwks.json", &format!("x: {}\r\nconnection: close\r\n", long(12_000)));
    assert_eq!(fits, closed("200"));
}

#[test]
fn e5_a_slow_head_body_or_silence_ends_in_time_and_keeps_nobody_else_waiting() {
    let server = Server::start(Backend::Sqlite);
    let login =
        b"POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n";
    let unread = b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 9000\r\n\r\n";
    let again = b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n\r\nGET /";
    // The last of each is on a connection kept alive.
    let slow = [&b""[..], b"GET / HTTP/1.1\r\nx: ", login, unread, again].map(|head| (head, &b"x"[..]));
    let silent = [&b""[..], &again[..again.len() - 5], again].map(|head| (head, &b""[..]));
    std::thread::scope(|scope| {
        let connections: Vec<_> = slow
            .into_iter()
            .chain(silent)
            .map(|(head, drop)| {
                let server = &server;
                scope.spawn(move || outlast(server, head, drop).1)
            })
            .collect();
        for _ in 0..20 {
            server.client().get("/.well-known/jwks.json").expect(200);
        }
        assert!(!connections[0].is_finished(), "nobody waited for it");
        for (number, connection) in connections.into_iter().enumerate() {
            let half_seconds = connection.join().expect("counted");
            assert!(half_seconds < 30, "connection {number}: {half_seconds}");
        }
    });
}

#[test]
fn e5_a_request_hidden_in_the_body_of_another_is_never_answered() {
    let server = Server::start(Backend::Sqlite);
    let hidden = "GET /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n\r\n";
    for start in [
        "POST /nothing",
        "PUT /v1/auth/me",
        "GET /v1/auth/me",
        "POST /v1/auth/login",
        "POST /v1/auth/change-password",
        "DELETE /.well-known/jwks.json",
    ] {
        let request = format!("{start} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{hidden}", hidden.len());
        let text = server.client().raw(request.as_bytes(), 2 * SECOND);
        assert_eq!(answers(&text), 1, "{start}: {text}");
    }
    let ambiguous = [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: +5",
        "content-length: 5, 5",
        "content-length : 5",
        "transfer-encoding: xchunked",
        "transfer-encoding: identity",
        "transfer-encoding: \x0bchunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "x: a\r\n folded",
        "x: a\rb",
        "x: a\0b",
        "host: twice",
    ];
    for header in ambiguous {
        let request = format!("POST /v1/auth/login HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n0\r\n\r\n{hidden}");
        let text = server.client().raw(request.as_bytes(), 2 * SECOND);
        assert!(
            text.starts_with("HTTP/1.1 400 ") && text.to_lowercase().contains("connection: close"),
            "{header}: {text}"
        );
        assert_eq!(answers(&text), 1, "{header}: {text}");
    }
    let text = server.client().raw(b"GET / HTTP/1.1\r\n\r\n", 2 * SECOND);
    assert!(text.starts_with("HTTP/1.1 400 "), "no Host: {text}");
}

#[test]
fn e6_every_answer_carries_the_safe_headers() {
    let server = Server::start_with(Backend::Sqlite, |config| config.issuer = "https://id.example".to_owned());
    for path in ["/v1/auth/me", "/nothing", "/.well-known/jwks.json", "/oauth2/token"] {
        let answer = server.client().get(path);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
            ("strict-transport-security", "max-age=63072000"),
            ("server", ""),
        ] {
            assert_eq!(answer.header(name), value, "{name} of {path}");
        }
    }
    assert_eq!(server.client().get("/v1/auth/me").header("cache-control"), "no-store");
}

#[test]
fn e7_only_listed_origins_may_read_and_none_is_a_star_with_credentials() {
    let server = Server::start_with(Backend::Sqlite, |config| {
        config.public.allowed_origins = vec!["https://app.example".to_owned()];
    });
    let preflight = |origin: &str| {
        let client = server.client().with("origin", origin).with("access-control-request-method", "POST");
        client.send("OPTIONS", "/v1/auth/login", None, b"")
    };
    let listed = preflight("https://app.example");
    assert_eq!(listed.header("access-control-allow-origin"), "https://app.example");
    assert_eq!(listed.header("access-control-allow-credentials"), "true");
    for origin in ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example"] {
        let post = server.client().with("origin", origin).post("/v1/auth/login", &json!({}));
        for answer in [preflight(origin), post] {
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        }
    }
    let public = server.client().with("origin", "https://app.example").get("/.well-known/jwks.json").expect(200);
    assert_eq!(public.header("access-control-allow-origin"), "*");
    assert_eq!(public.header("access-control-allow-credentials"), "");
}

/// The address that a log-in with these headers is remembered with.
fn seen_from(server: &Server, headers: &[(&str, &str)]) -> String {
    let client = headers.iter().fold(server.client(), |client, (name, value)| client.with(name, value));
    let session = client.login("ada@example.com");
    let sessions = server.client().bearer(&session.access_token()).get("/v1/auth/sessions").expect(200).json();
    let current = sessions["sessions"].as_array().expect("a list").iter().find(|session| session["current"] == true);
    current.expect("the one that asks")["address"].as_str().expect("an address").to_owned()
}

#[test]
fn e8_a_clients_own_word_for_its_address_is_not_believed() {
    let server = Server::start(Backend::Sqlite);
    server.client().register("ada@example.com");
    for name in ["x-forwarded-for", "x-real-ip", "true-client-ip", "cf-connecting-ip"] {
        assert_eq!(seen_from(&server, &[(name, "203.0.113.1")]), "127.0.0.1", "{name}");
    }
    assert_eq!(seen_from(&server, &[("forwarded", "for=203.0.113.1")]), "127.0.0.1");
}

#[test]
fn e8_behind_a_proxy_only_the_header_that_the_proxy_writes_is_believed() {
    let server = Server::start_with(Backend::Sqlite, |config| {
        config.public.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    });
    server.client().register("ada@example.com");
    assert_eq!(seen_from(&server, &[("x-forwarded-for", "198.51.100.7, 203.0.113.1")]), "203.0.113.1");
    // The proxy appends to X-Forwarded-For and passes on what else the client made up.
    let spoofed = [("forwarded", "for=198.51.100.7"), ("x-forwarded-for", "203.0.113.1")];
    assert_eq!(seen_from(&server, &spoofed), "203.0.113.1");
    assert_eq!(seen_from(&server, &[("forwarded", "for=198.51.100.7")]), "127.0.0.1");
}

#[test]
fn e9_what_is_not_served_is_a_problem() {
    let server = Server::start(Backend::Sqlite);
    for path in ["/", "/nothing", "/v1/auth/login/", "//v1/auth/login", "/v1/auth/me%00", "/%00", "/%zz", "/%ff"] {
        server.client().get(path).expect_problem(404, "not_found");
    }
    for (method, path, allowed) in [
        ("GET", "/v1/auth/login", "POST"),
        ("TRACE", "/v1/auth/me", "GET, PATCH, DELETE, HEAD"),
        ("PUT", "/.well-known/jwks.json", "GET, HEAD"),
    ] {
        assert_eq!(
            server.client().send(method, path, None, b"").expect_problem(405, "method_not_allowed").header("allow"),
            allowed
        );
    }
    for (path, status) in
        [("/v1/auth/login", 405), ("/v1/auth/me", 401), ("/nothing", 404), ("/.well-known/jwks.json", 200)]
    {
        assert_eq!(server.client().send("HEAD", path, None, b"").expect(status).text, "", "HEAD {path}");
    }
    server
        .client()
        .send("POST", "/v1/auth/login", Some("text/plain"), b"{}")
        .expect_problem(415, "unsupported_media_type");
    for line in ["OPTIONS *", "CONNECT x:80", "GET x:80", "GET http://evil.example"] {
        let text = server
            .client()
            .raw(format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes(), 3 * SECOND);
        assert!(text.starts_with("HTTP/1.1 404 "), "{line}: {text}");
    }
}

#[test]
fn e10_operations_have_a_listener_of_their_own() {
    let server = Server::start(Backend::Sqlite);
    for path in ["/metrics", "/health/live", "/health/ready"] {
        server.client().get(path).expect_problem(404, "not_found");
        server.operator().get(path).expect(200);
    }
    server.operator().get("/v1/auth/me").expect_problem(404, "not_found");
}
