//! `signet users`, where it does what administrators do over HTTP.

use crate::support::program::Place;
use crate::support::{Backend, PASSWORD, Server, Value, json, on_both};

on_both! {
    fn an_operator_finds_and_shows_users(backend) {
        let server = Server::start_on_system_clock(backend, |_| {});
        let place = Place::on(&server.config.database.url.0);
        for email in ["ada@example.com", "adam@example.com", "eve@example.com"] {
            server.client().register(email);
        }
        place.succeed(&["users", "set-role", "eve@example.com", "admin"]);
        let listed = |arguments: &[&str]| -> Vec<String> {
            let output = place.succeed(&[&["users", "list", "--json"], arguments].concat());
            let email = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["email"].as_str().map(str::to_owned);
            output.lines().filter_map(email).collect()
        };
        assert_eq!(listed(&["--email", "ADA"]), ["ada@example.com", "adam@example.com"]);
        assert_eq!(listed(&["--email", "ada", "--limit", "1"]), ["ada@example.com"]);
        assert_eq!(listed(&["--role", "admin"]), ["eve@example.com"]);
        assert_eq!(listed(&[]), ["eve@example.com", "adam@example.com", "ada@example.com"]);
        assert_eq!(listed(&["--disabled"]), Vec::<String>::new());
        let shown: Value = serde_json::from_str(&place.succeed(&["users", "show", "EVE@example.com"])).expect("JSON");
        assert_eq!((&shown["roles"], &shown["disabled_until"]), (&json!(["admin"]), &Value::Null));
        let id = shown["id"].as_str().expect("an id");
        assert_eq!(serde_json::from_str::<Value>(&place.succeed(&["users", "show", id])).expect("JSON"), shown);
        assert!(place.succeed(&["users", "list"]).contains(&format!("{id}  active    admin")));
        assert_eq!(place.fail(&["users", "show", "nobody@example.com"]), "there is no such user: `signet users list` shows who there is");
    }

    fn an_operator_disables_for_a_time_forces_a_reset_and_ends_sessions(backend) {
        let server = Server::start_on_system_clock(backend, |_| {});
        let place = Place::on(&server.config.database.url.0);
        let session = server.client().register("ada@example.com");
        assert_eq!(place.succeed(&["users", "end-sessions", "ada@example.com"]), "1 session(s) ended\n");
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        assert!(place.succeed(&["users", "disable", "ada@example.com", "--until", "1h"]).contains("disabled until 20"));
        assert_eq!(place.fail(&["users", "disable", "ada@example.com", "--until", "2020-01-01T00:00:00Z"]), "this time is over");
        let log_in = |password: &str| {
            server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": password}))
        };
        log_in(PASSWORD).expect_problem(401, "invalid_credentials");
        assert_eq!(place.fail(&["users", "force-reset", "ada@example.com"]), "the user is disabled: `signet users enable` lets them in again");
        place.succeed(&["users", "enable", "ada@example.com"]);
        let token = place.succeed(&["users", "force-reset", "ada@example.com"]);
        crate::support::secrets::note(token.trim());
        log_in(PASSWORD).expect_problem(401, "invalid_credentials");
        let body = json!({"token": token.trim(), "new_password": "another battery staple"});
        server.client().post("/v1/auth/reset-password", &body).expect(204);
        log_in("another battery staple").expect(200);
        assert_eq!(server.audited("user_password_reset_forced"), 1);
    }

    fn an_operator_may_shut_out_the_last_administrator(backend) {
        let server = Server::start_on_system_clock(backend, |_| {});
        let place = Place::on(&server.config.database.url.0);
        server.client().register("root@example.com");
        place.succeed(&["users", "set-role", "root@example.com", "admin"]);
        place.succeed(&["users", "disable", "root@example.com"]);
        place.succeed(&["users", "set-role", "root@example.com", "user"]);
    }

    fn an_operator_names_a_user_vouches_for_them_and_sees_their_sessions(backend) {
        let server = Server::start_on_system_clock(backend, |_| {});
        let place = Place::on(&server.config.database.url.0);
        let session = server.client().register("ada@example.com");
        let shown = || -> Value { serde_json::from_str(&place.succeed(&["users", "show", "ada@example.com"])).expect("JSON") };
        place.succeed(&["users", "set-name", "ada@example.com", " Ada "]);
        place.succeed(&["users", "set-verified", "ada@example.com", "true"]);
        assert_eq!((&shown()["name"], &shown()["is_verified"]), (&json!("Ada"), &json!(true)));
        place.succeed(&["users", "set-name", "ada@example.com"]);
        place.succeed(&["users", "set-verified", "ada@example.com", "false"]);
        assert_eq!((&shown()["name"], &shown()["is_verified"]), (&Value::Null, &json!(false)));
        assert_eq!(server.audited("user_updated"), 4);
        assert_eq!(place.fail(&["users", "set-name", "ada@example.com", " "]), "this field must not be blank");
        assert_eq!(place.fail(&["users", "set-name", "eve@example.com", "Eve"]), "there is no such user: `signet users list` shows who there is");

        let id = session.text_at("/user/id");
        let listed: Value = serde_json::from_str(&place.succeed(&["sessions", "list", &id, "--json"])).expect("one line of JSON");
        let sid = crate::support::token::decode(&session.access_token()).1["sid"].clone();
        assert_eq!((&listed["id"], &listed["address"]), (&sid, &json!("127.0.0.1")));
        assert!(place.succeed(&["sessions", "list", "ada@example.com"]).contains("  signet  127.0.0.1  used 20"));
        assert_eq!(place.succeed(&["sessions", "end", &id]), "1 session(s) ended\n");
        assert_eq!(place.succeed(&["sessions", "list", &id]), "");
        assert_eq!(place.fail(&["sessions", "list", "nobody@example.com"]), "there is no such user: `signet users list` shows who there is");
    }

    fn an_operator_sees_the_roles_and_the_statistics_that_administrators_see(backend) {
        let server = Server::start_on_system_clock(backend, |_| {});
        let place = Place::on(&server.config.database.url.0).with("SIGNET_ROLES__EDITOR", "read write");
        server.client().register("ada@example.com");
        let json = |arguments: &[&str]| -> Value { serde_json::from_str(&place.succeed(arguments)).expect("JSON") };
        let counted = json(&["statistics"]);
        assert_eq!((&counted["users"]["count"], &counted["sessions"]["live"]), (&json!(1), &json!(1)));
        let roles = json(&["roles", "--json"]);
        assert_eq!((&roles["of_everybody"], &roles["roles"][1]), (&json!("account"), &json!({"role": "editor", "scope": "read write"})));
        let lines = place.succeed(&["roles"]);
        let words: Vec<Vec<&str>> = lines.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words, [vec!["ROLE", "SCOPE"], vec!["(everybody)", "account"], vec!["admin", "admin"], vec!["editor", "read", "write"], vec!["user", "-"]]);
    }
}
