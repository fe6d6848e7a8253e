//! `POST /v1/auth/register`.

use crate::support::{Backend, PASSWORD, Server, json, on_both, token};

on_both! {
    fn a_new_account_is_answered_with_the_user_and_tokens(backend) {
        let server = Server::start(backend);
        let body = json!({"email": " Ada@Example.com ", "password": PASSWORD, "name": " Ada "});
        let answer = server.client().post("/v1/auth/register", &body).expect(201);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("location"), "/v1/auth/me");
        let session = answer.json();
        assert_eq!(session["token_type"], "Bearer");
        assert_eq!(session["expires_in"], 900);
        assert_eq!(session["refresh_expires_in"], 604_800);
        assert_eq!(session["scope"], "account");
        let user = &session["user"];
        let mut members: Vec<&String> = user.as_object().expect("a user").keys().collect();
        members.sort();
        assert_eq!(members, ["created_at", "email", "id", "is_active", "is_verified", "last_login_at", "name", "roles"]);
        assert_eq!(user["email"], "Ada@Example.com");
        assert_eq!(user["name"], "Ada");
        assert_eq!(user["roles"], json!(["user"]));
        assert_eq!((&user["is_active"], &user["is_verified"]), (&json!(true), &json!(false)));
        assert_eq!(user["created_at"], "2026-11-21T10:00:00.123456Z");
        assert_eq!(user["last_login_at"], user["created_at"]);
        let (_, claims) = token::decode(&answer.access_token());
        assert_eq!(claims["sub"], user["id"]);
        assert_eq!(server.audit(), ["user_registered"]);
        assert_eq!(server.metric("signet_registrations_total{outcome=\"success\"}"), 1.0);
    }

    fn the_password_is_stored_as_an_argon2id_hash_only(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        let stored = server.query_text("SELECT password_hash AS value FROM users");
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        assert!(!stored.contains(PASSWORD));
    }

    fn an_address_in_any_spelling_has_one_account(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        for email in ["ada@example.com", "ADA@EXAMPLE.COM", " Ada@example.com"] {
            let body = json!({"email": email, "password": PASSWORD});
            server.client().post("/v1/auth/register", &body).expect_problem(409, "email_taken");
        }
        server.client().register("ada+tag@example.com");
        assert_eq!(server.count("users"), 2);
        assert_eq!(server.audited("user_registered"), 2);
        assert_eq!(server.count("sessions"), 2);
    }

    fn fifty_at_once_with_one_address_make_one_account(backend) {
        let server = Server::start(backend);
        let client = server.client();
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let body = json!({"email": "ada@example.com", "password": PASSWORD});
            let threads: Vec<_> = (0..50)
                .map(|_| { let (client, body) = (client.clone(), body.clone()); scope.spawn(move || client.post("/v1/auth/register", &body).status) })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        let count = |status| statuses.iter().filter(|own| **own == status).count();
        assert_eq!((count(201), count(409)), (1, 49), "{statuses:?}");
        assert_eq!(server.count("users"), 1);
    }

    fn each_bad_field_is_named_and_nothing_is_written(backend) {
        let server = Server::start(backend);
        let long = "x".repeat(5_000);
        for (body, errors) in [
            (json!({}), vec![("email", "missing"), ("password", "missing")]),
            (json!({"email": "ada@example.com"}), vec![("password", "missing")]),
            (json!({"email": null, "password": PASSWORD}), vec![("email", "wrong_type")]),
            (json!({"email": ["a@x"], "password": {"$ne": null}}), vec![("email", "wrong_type"), ("password", "wrong_type")]),
            (json!({"email": "no address", "password": "short"}), vec![("email", "malformed")]),
            (json!({"email": "ada@example.com", "password": "short77"}), vec![("password", "too_short")]),
            (json!({"email": "ada@example.com", "password": "password123"}), vec![("password", "too_common")]),
            (json!({"email": "ada@example.com", "password": "Ada@Example.com"}), vec![("password", "too_personal")]),
            (json!({"email": "ada@example.com", "password": "Lovelace1815!", "name": "Ada Lovelace"}), vec![("password", "too_personal")]),
            (json!({"email": format!("{long}@x"), "password": long}), vec![("email", "too_long"), ("password", "too_long")]),
            (json!({"email": "a\u{0}da@x", "password": "nul\u{0}inside"}), vec![("email", "malformed"), ("password", "control_character")]),
            (json!({"email": "ada@x", "password": PASSWORD, "name": "a\u{1b}[31m"}), vec![("name", "control_character")]),
            (json!({"email": "ada@x", "password": PASSWORD, "name": " "}), vec![("name", "too_short")]),
            (json!({"email": "ada@x", "password": PASSWORD, "name": long}), vec![("name", "too_long")]),
            (json!({"email": "ada@x", "password": PASSWORD, "roles": ["admin"]}), vec![("roles", "unknown")]),
            (json!({"email": "ada@x", "password": PASSWORD, "is_verified": true, "id": 1}), vec![("id", "unknown"), ("is_verified", "unknown")]),
        ] {
            let answer = server.client().post("/v1/auth/register", &body).expect_problem(422, "invalid_field");
            let expected: Vec<_> = errors.iter().map(|(field, code)| ((*field).to_owned(), (*code).to_owned())).collect();
            assert_eq!(answer.field_errors(), expected, "{body}");
        }
        assert_eq!(server.count("users"), 0);
        assert_eq!(server.audit(), Vec::<String>::new());
        assert_eq!(server.metric("signet_hash_duration_seconds_count"), 0.0, "no password was hashed");
    }

    fn the_minimum_length_is_configurable(backend) {
        let server = Server::start_with(backend, |config| config.password.min_length = 15);
        let register = |password| server.client().post("/v1/auth/register", &json!({"email": "ada@x", "password": password}));
        register("fourteen chars").expect_problem(422, "invalid_field");
        register("fifteen letters").expect(201);
    }
}
