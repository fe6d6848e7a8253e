//! Z: authorisation and operation.

use super::Outage;
use crate::support::program::Place;
use crate::support::{Backend, PASSWORD, Server, json, on_both, postgres, token};

#[test]
fn z2_nobody_registers_with_rights_of_their_own_choice() {
    let server = Server::start(Backend::Sqlite);
    for (name, value) in [
        ("role", json!("admin")),
        ("roles", json!(["admin"])),
        ("is_admin", json!(true)),
        ("is_verified", json!(true)),
        ("is_active", json!(true)),
        ("id", json!("00000000-0000-0000-0000-000000000000")),
        ("created_at", json!("2020-01-01T00:00:00Z")),
    ] {
        let mut body = json!({"email": "ada@example.com", "password": PASSWORD});
        body[name] = value;
        let answer = server.client().post("/v1/auth/register", &body).expect_problem(422, "invalid_field");
        assert_eq!(answer.field_errors(), [(name.to_owned(), "unknown".to_owned())]);
    }
    assert_eq!(server.client().register("ada@example.com").json()["user"]["roles"], json!(["user"]));
}

#[test]
fn z3_a_strangers_session_is_not_found() {
    let server = Server::start(Backend::Sqlite);
    let ada = server.client().register("ada@example.com");
    let eve = server.client().register("eve@example.com");
    let sid = token::decode(&ada.access_token()).1["sid"].as_str().expect("a session").to_owned();
    for id in [sid.as_str(), "00000000-0000-0000-0000-000000000000", "x", "%00", "..%2f.."] {
        let path = format!("/v1/auth/sessions/{id}");
        server.client().bearer(&eve.access_token()).delete(&path).expect_problem(404, "not_found");
    }
    let page = server.client().bearer(&eve.access_token()).get(&format!("/v1/auth/sessions?after={sid}")).expect(200);
    assert!(!page.text.contains(&sid));
    server.client().refresh(&ada.refresh_token()).expect(200);
}

on_both! {
    fn z6_without_its_database_the_service_denies(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let client = server.client().bearer(&session.access_token());
        let outage = Outage::of(&server);
        // SQLite still reads while somebody else holds its write lock.
        if backend == Backend::Postgres {
            client.get("/v1/auth/me").expect_problem(503, "unavailable");
            client.get("/v1/auth/sessions").expect_problem(503, "unavailable");
            // For two seconds after the last success it may only be busy.
            let begun = std::time::Instant::now();
            while server.operator().get("/health/ready").status != 503 {
                assert!(begun.elapsed() < std::time::Duration::from_secs(10));
            }
            assert_eq!(server.operator().get("/health/ready").expect(503).json()["database"], "unavailable");
        }
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        for answer in [server.client().post("/v1/auth/login", &body), client.patch("/v1/auth/me", &json!({"name": "x"})), client.post_empty("/v1/auth/logout")] {
            assert!(!answer.expect_problem(503, "unavailable").header("retry-after").is_empty());
        }
        server.operator().get("/health/live").expect(200);
        drop(outage);
        let back = std::time::Instant::now();
        while client.get("/v1/auth/me").status != 200 {
            assert!(back.elapsed() < std::time::Duration::from_secs(10));
        }
    }
}

#[test]
fn z6_a_database_without_its_schema_is_not_served_from() {
    if !postgres::is_available() {
        return;
    }
    assert!(Place::on(&postgres::empty_database()).fail(&["serve"]).contains("run `signet migrate`"));
}
