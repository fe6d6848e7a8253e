//! `POST /v1/auth/login`.

use crate::support::{Answer, Backend, PASSWORD, Server, json, on_both, token};

on_both! {
    fn the_right_password_opens_a_session_of_its_own(backend) {
        let server = Server::start(backend);
        let registered = server.client().register("ada@example.com");
        server.clock.advance(std::time::Duration::from_secs(60));
        let body = json!({"email": "ADA@example.com ", "password": PASSWORD, "label": "laptop"});
        let answer = server.client().post("/v1/auth/login", &body).expect(200);
        assert_eq!(answer.header("cache-control"), "no-store");
        let (header, claims) = token::decode(&answer.access_token());
        assert_eq!(header["alg"], "ES256");
        let (_, first) = token::decode(&registered.access_token());
        assert_eq!(claims["sub"], first["sub"]);
        assert_ne!(claims["sid"], first["sid"]);
        assert_eq!(answer.json()["user"]["last_login_at"], "2026-11-21T10:01:00.123456Z");
        assert_eq!(server.audit(), ["user_registered", "authn_login_success"]);
        server.client().refresh(&registered.refresh_token()).expect(200);
    }

    fn unknown_wrong_and_disabled_get_one_and_the_same_answer(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        server.client().register("off@example.com");
        server.execute("UPDATE users SET is_active = false WHERE email = 'off@example.com'");
        let hashed = || server.metric("signet_hash_duration_seconds_count");
        let login = |email: &str, password: &str| {
            let before = hashed();
            let answer = server.client().with("x-request-id", "same").post("/v1/auth/login", &json!({"email": email, "password": password}));
            assert_eq!(hashed() - before, 1.0, "exactly one hash, whatever is wrong");
            answer.expect_problem(401, "invalid_credentials")
        };
        let visible = |answer: Answer| {
            let mut headers: Vec<String> = answer.headers.iter().filter(|(name, _)| *name != "date").map(|header| format!("{header:?}")).collect();
            headers.sort();
            (headers, answer.text)
        };
        let unknown = visible(login("nobody@example.com", PASSWORD));
        let wrong = visible(login("ada@example.com", "something else entirely"));
        let disabled = visible(login("off@example.com", PASSWORD));
        assert_eq!(unknown, wrong);
        assert_eq!(unknown, disabled);
        assert_eq!(server.audited("authn_login_fail"), 3);
        for reason in ["unknown_user", "wrong_password", "disabled"] {
            assert_eq!(server.metric(&format!("signet_logins_total{{outcome=\"{reason}\"}}")), 1.0, "{reason}");
        }
        assert_eq!(server.count("sessions"), 2, "none was opened");
    }

    fn a_failed_login_is_audited_with_who_when_and_from_where(backend) {
        let server = Server::start(backend);
        let user = server.client().register("ada@example.com").text_at("/user/id");
        let client = server.client().with("user-agent", "tester/1").with("x-request-id", "req-1");
        client.post("/v1/auth/login", &json!({"email": "ada@example.com", "password": "something else"})).expect(401);
        let column = |column: &str| {
            let cast = if backend == Backend::Postgres { format!("{column}::text") } else { column.to_owned() };
            server.query_text(&format!("SELECT {cast} AS value FROM audit_events WHERE kind = 'authn_login_fail'"))
        };
        assert_eq!(column("address"), "127.0.0.1");
        assert_eq!(column("user_agent"), "tester/1");
        assert_eq!(column("request_id"), "req-1");
        assert!(column("detail").contains("wrong_password"));
        let subject = if backend == Backend::Postgres { "subject::text" } else { "lower(hex(subject))" };
        let subject = server.query_text(&format!("SELECT {subject} AS value FROM audit_events WHERE kind = 'authn_login_fail'"));
        assert_eq!(subject.replace('-', ""), user.replace('-', ""));
    }

    fn a_password_with_other_parameters_is_rehashed(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        let stronger = Server::start_beside(&server, server.clock.clone(), |config| config.hashing.iterations = 2);
        stronger.client().login("ada@example.com");
        let stored = server.query_text("SELECT password_hash AS value FROM users");
        assert!(stored.contains("m=64,t=2,p=1"), "{stored}");
        stronger.client().login("ada@example.com");
        assert_eq!(server.query_text("SELECT password_hash AS value FROM users"), stored, "once is enough");
    }

    fn both_spellings_of_an_accent_open_the_account(backend) {
        let server = Server::start(backend);
        let body = |password: &str| json!({"email": "ada@example.com", "password": password});
        server.client().post("/v1/auth/register", &body("caf\u{e9} au lait")).expect(201);
        server.client().post("/v1/auth/login", &body("cafe\u{301} au lait")).expect(200);
        server.client().post("/v1/auth/login", &body("cafe au lait")).expect(401);
    }

    fn each_bad_field_is_named_and_no_password_is_hashed(backend) {
        let server = Server::start(backend);
        let long = "x".repeat(5_000);
        for (body, field, code) in [
            (json!({"email": "a@x"}), "password", "missing"),
            (json!({"email": "a@x", "password": long}), "password", "too_long"),
            (json!({"email": long, "password": PASSWORD}), "email", "too_long"),
            (json!({"email": "a\u{0}@x", "password": PASSWORD}), "email", "malformed"),
            (json!({"email": "a@x", "password": "a\u{0}b"}), "password", "control_character"),
            (json!({"email": "a@x", "password": PASSWORD, "cookie": "yes"}), "cookie", "wrong_type"),
            (json!({"email": "a@x", "password": PASSWORD, "remember": true}), "remember", "unknown"),
        ] {
            let answer = server.client().post("/v1/auth/login", &body).expect_problem(422, "invalid_field");
            assert_eq!(answer.field_errors(), [(field.to_owned(), code.to_owned())]);
        }
        assert_eq!(server.metric("signet_hash_duration_seconds_count"), 0.0);
        assert_eq!(server.audit(), Vec::<String>::new());
    }

    fn with_nothing_to_decide_the_same_is_written(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        // What log-in `name` wrote, but for what is another each time.
        let written = |name: &str, remember_device: bool| {
            let client = server.client().with("user-agent", "tester/1").with("x-request-id", name);
            let body = json!({"email": "ada@example.com", "password": PASSWORD, "label": name, "remember_device": remember_device});
            client.post("/v1/auth/login", &body).expect(200);
            [("sessions", "label"), ("audit_events", "request_id")].map(|(table, names_it)| {
                let (columns, as_text) = match backend {
                    Backend::Postgres => (format!("SELECT column_name::text AS value FROM information_schema.columns WHERE table_name = '{table}'"), "quote_nullable"),
                    Backend::Sqlite => (format!("SELECT name AS value FROM pragma_table_info('{table}')"), "quote"),
                };
                let mut columns = server.query_texts(&columns);
                columns.retain(|column| ![names_it, "id", "session_id", "handle_digest", "secret_digest"].contains(&column.as_str()));
                let value = |column: &str| server.query_text(&format!("SELECT {as_text}({column}) AS value FROM {table} WHERE {names_it} = '{name}'"));
                columns.into_iter().map(|column| (value(&column), column)).collect::<Vec<_>>()
            })
        };
        // A device to be remembered is something to write besides.
        let by_a_transaction = written("by-a-transaction", true);
        let at_once = written("at-once", false);
        assert_eq!(by_a_transaction, at_once);
        assert_eq!(at_once.map(|columns| columns.len()), [19, 7]);
    }
}
