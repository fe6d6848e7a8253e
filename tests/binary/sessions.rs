//! `signet sessions` and the commands on users that end sessions: for the day something has happened.

use crate::support::program::Place;
use crate::support::{Backend, PASSWORD, Server, json, on_both};

const NEW_PASSWORD: &str = "a wholly other phrase";

on_both! {
    fn an_operator_ends_the_sessions_of_one_user_and_of_nobody_else(backend) {
        let server = Server::start_on_system_clock(backend, |_| {});
        let place = Place::on(&server.config.database.url.0);
        let client = server.client();
        let (first, second) = (client.register("ada@example.com"), client.login("ada@example.com"));
        let other = client.register("eve@example.com");
        assert_eq!(place.succeed(&["sessions", "end", "ADA@example.com"]), "2 session(s) ended\n");
        assert_eq!(place.succeed(&["sessions", "end", "ada@example.com"]), "0 session(s) ended\n");
        for session in [&first, &second] {
            client.refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
            client.bearer(&session.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        }
        client.refresh(&other.refresh_token()).expect(200);
        client.login("ada@example.com");
        assert_eq!(server.audited("user_sessions_ended"), 1);
        let count = "SELECT CAST(detail AS text) AS value FROM audit_events WHERE kind = 'user_sessions_ended'";
        let detail: serde_json::Value = serde_json::from_str(&server.query_text(count)).expect("JSON");
        assert_eq!(detail["count"], 2);
        let trail = "SELECT revoked_reason AS value FROM sessions WHERE revoked_at IS NOT NULL LIMIT 1";
        assert_eq!(server.query_text(trail), "ended_by_operator");
    }

    // More users than one transaction takes.
    fn an_operator_ends_everybodys_sessions(backend) {
        let server = Server::start_on_system_clock(backend, |_| {});
        let place = Place::on(&server.config.database.url.0);
        let ada = server.client().register("ada@example.com");
        server.client().login("ada@example.com");
        copy_the_user(&server, 1_200);
        assert_eq!(place.succeed(&["sessions", "end", "--all"]), "1202 session(s) ended\n");
        assert_eq!(server.count("sessions WHERE revoked_at IS NULL"), 0);
        assert_eq!(server.audited("user_sessions_ended"), 1_201, "one event for each user");
        server.client().refresh(&ada.refresh_token()).expect_problem(401, "invalid_grant");
        let later = server.client().login("ada@example.com");
        server.client().refresh(&later.refresh_token()).expect(200);
        assert_eq!(place.succeed(&["sessions", "end", "--all"]), "1 session(s) ended\n");
    }

    fn a_taken_account_is_given_back(backend) {
        let server = Server::start_on_system_clock(backend, |_| {});
        let place = Place::on(&server.config.database.url.0);
        let client = server.client();
        let taken = client.register("ada@example.com");
        place.succeed(&["users", "disable", "ada@example.com"]);
        let set = place.run_with_input(&["users", "set-password", "ada@example.com"], &format!("{NEW_PASSWORD}\n"));
        assert!(set.status.success(), "{set:?}");
        let login = |password: &str| client.post("/v1/auth/login", &json!({"email": "ada@example.com", "password": password}));
        login(NEW_PASSWORD).expect_problem(401, "invalid_credentials");
        place.succeed(&["users", "enable", "ada@example.com"]);
        place.succeed(&["users", "enable", "ada@example.com"]);
        login(PASSWORD).expect_problem(401, "invalid_credentials");
        login(NEW_PASSWORD).expect(200);
        client.refresh(&taken.refresh_token()).expect_problem(401, "invalid_grant");
        let counts = ["user_disabled", "user_password_set", "user_enabled"].map(|kind| server.audited(kind));
        assert_eq!(counts, [1, 1, 1], "{:?}", server.audit());
    }

    fn a_set_password_ends_the_sessions_of_an_active_user(backend) {
        let server = Server::start_on_system_clock(backend, |_| {});
        let place = Place::on(&server.config.database.url.0);
        let session = server.client().register("ada@example.com");
        let other = server.client().register("eve@example.com");
        place.run_with_input(&["users", "set-password", "ada@example.com"], &format!("{NEW_PASSWORD}\n"));
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        server.client().refresh(&other.refresh_token()).expect(200);
        server.client().login("eve@example.com");
    }
}

/// Users like the only one, each with a session like the first.
fn copy_the_user(server: &Server, count: usize) {
    let (random_id, as_bytes) = match server.config.database.url.0.starts_with("sqlite:") {
        true => ("randomblob(16)", "users.id"),
        false => ("gen_random_uuid()", "uuid_send(users.id)"),
    };
    server.execute(&format!(
        "INSERT INTO users (id, email, email_key, name, password_hash, roles, is_active, is_verified, access_version, \
         created_at, last_login_at) WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) \
         SELECT {random_id}, 'u' || n, 'u' || n, name, password_hash, roles, is_active, is_verified, access_version, \
         created_at, last_login_at FROM users CROSS JOIN numbers"
    ));
    server.execute(&format!(
        "INSERT INTO sessions SELECT users.id, {as_bytes}, users.id, users.access_version, secret_digest, parent_digest, nonce, \
         generation, rotated_at, sessions.created_at, idle_expires_at, expires_at, revoked_at, revoked_reason, client_id, \
         scope, amr, auth_time, address, user_agent, label, actor_id, actor_session_id FROM users CROSS JOIN sessions \
         WHERE email <> 'ada@example.com' AND sessions.id = (SELECT id FROM sessions ORDER BY id LIMIT 1)"
    ));
}

#[test]
fn sessions_end_wants_to_know_whose() {
    let place = Place::ready_on_sqlite();
    assert_eq!(
        place.fail(&["sessions", "end", "nobody@example.com"]),
        "there is no such user: `signet users list` shows who there is"
    );
    assert_eq!(
        place.fail(&["users", "enable", "nobody@example.com"]),
        "there is no such user: `signet users list` shows who there is"
    );
    for arguments in [&["sessions", "end"][..], &["sessions", "end", "ada@example.com", "--all"]] {
        assert_eq!(place.run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
