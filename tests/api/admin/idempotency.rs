//! `Idempotency-Key` on what creates something.

use std::sync::Barrier;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use signet::db::Conn;

use super::{Admin, admin, admin_called, start};
use crate::support::{Answer, Backend, Client, Server, Value, json, on_both};

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

fn with_key(admin: &Admin, key: &str) -> Client {
    admin.client.with("idempotency-key", key)
}

fn create(client: &Client, email: &str) -> Answer {
    client.post("/v1/admin/users", &json!({"email": email}))
}

fn users(server: &Server) -> i64 {
    server.count("users WHERE email_key LIKE 'ada%'")
}

on_both! {
    fn the_same_request_is_answered_as_before(backend) {
        let server = start(backend);
        let root = admin(&server);
        let client = with_key(&root, KEY);
        let first = create(&client, "ada@example.com").expect(201);
        server.clock.advance(Duration::from_secs(300));
        let again = create(&client, "ada@example.com").expect(201);
        assert_eq!((again.json(), again.header("location")), (first.json(), first.header("location")));
        let quoted = create(&with_key(&root, &format!("\"{KEY}\"")), "ada@example.com").expect(201);
        assert_eq!(quoted.json(), first.json());
        assert_eq!((users(&server), server.audited("user_created")), (1, 1));
        create(&root.client, "ada@example.com").expect_problem(409, "email_taken");
    }

    fn a_secret_is_answered_again_and_lies_nowhere_in_clear(backend) {
        let server = start(backend);
        let root = admin(&server);
        let invite = |client: &Client| client.post("/v1/admin/invitations", &json!({"email": "ada@example.com"})).expect(200);
        let first = invite(&with_key(&root, KEY));
        assert_eq!(invite(&with_key(&root, KEY)).json(), first.json());
        assert_eq!(server.audited("user_invited"), 1);
        assert_ne!(invite(&root.client).text_at("/token"), first.text_at("/token"));
        let kept = match backend {
            Backend::Sqlite => "SELECT hex(id) || hex(request) || hex(answer) AS value FROM idempotency_keys",
            Backend::Postgres => "SELECT encode(id || request || answer, 'hex') AS value FROM idempotency_keys",
        };
        let kept = server.query_text(kept).to_lowercase();
        for clear in [first.text_at("/token"), KEY.to_owned(), "ada@example.com".to_owned(), "by_mail".to_owned()] {
            let hex: String = clear.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(!kept.contains(&hex), "{clear}");
        }
    }

    fn the_same_key_with_another_request_is_refused(backend) {
        let server = start(backend);
        let root = admin(&server);
        let client = with_key(&root, KEY);
        create(&client, "ada@example.com").expect(201);
        create(&client, "ada2@example.com").expect_problem(422, "idempotency_key_reused");
        let elsewhere = client.post("/v1/admin/invitations", &json!({"email": "ada@example.com"}));
        elsewhere.expect_problem(422, "idempotency_key_reused");
        assert_eq!((users(&server), server.audited("user_invited")), (1, 0));
        let other = admin_called(&server, "other@example.com");
        create(&with_key(&other, KEY), "ada2@example.com").expect(201);
    }

    fn a_request_that_was_refused_leaves_its_key_free(backend) {
        let server = start(backend);
        let root = admin(&server);
        let client = with_key(&root, KEY);
        let id = create(&root.client, "ada@example.com").expect(201).text_at("/id");
        create(&client, "ada@example.com").expect_problem(409, "email_taken");
        root.client.patch(&format!("/v1/admin/users/{id}"), &json!({"email": "gone@example.com"})).expect(200);
        create(&client, "ada@example.com").expect(201);
    }

    fn a_key_is_good_for_a_day(backend) {
        let server = start(backend);
        let root = admin(&server);
        create(&with_key(&root, KEY), "ada@example.com").expect(201);
        server.clock.advance(Duration::from_secs(24 * 3600));
        let root = crate::api::admin::signed_in_again(&server, root);
        create(&with_key(&root, KEY), "ada@example.com").expect_problem(409, "email_taken");
        create(&with_key(&root, KEY), "ada2@example.com").expect(201);
    }

    fn a_key_that_could_be_guessed_is_refused(backend) {
        let server = start(backend);
        let root = admin(&server);
        for key in ["1", "\"\"", "with spaces in between them", &"x".repeat(256)] {
            create(&with_key(&root, key), "ada@example.com").expect_problem(400, "invalid_request");
        }
        let twice = with_key(&root, KEY).with("idempotency-key", KEY);
        create(&twice, "ada@example.com").expect_problem(400, "invalid_request");
        assert_eq!(users(&server), 0);
    }

    fn of_sixteen_at_once_one_creates(backend) {
        let server = start(backend);
        let root = admin(&server);
        for round in 0..5 {
            let (email, key) = (format!("ada{round}@example.com"), format!("{KEY}-{round}"));
            let barrier = Barrier::new(16);
            let answers: Vec<Answer> = std::thread::scope(|scope| {
                let attempts: Vec<_> = (0..16).map(|_| {
                    let (client, email, barrier) = (with_key(&root, &key), &email, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        create(&client, email)
                    })
                }).collect();
                attempts.into_iter().map(|attempt| attempt.join().expect("answered")).collect()
            });
            let created: Vec<Value> = answers.iter().filter(|answer| answer.status == 201).map(Answer::json).collect();
            assert!(!created.is_empty() && created.iter().all(|user| *user == created[0]), "{answers:?}");
            // A machine that has too much to do says so.
            for answer in answers.iter().filter(|answer| ![201, 503].contains(&answer.status)) {
                assert_eq!(answer.status, 409, "{answer:?}");
                answer.clone().expect_problem(409, "idempotency_key_in_use");
            }
            assert_eq!(users(&server), round + 1);
        }
        assert_eq!(server.audited("user_created"), 5);
    }
}

/// On SQLite one comes after the other, and the second is told the answer.
#[test]
fn a_request_that_is_under_way_is_not_begun_again() {
    if !crate::support::postgres::is_available() {
        return;
    }
    let server = start(Backend::Postgres);
    let root = admin(&server);
    let client = with_key(&root, KEY);
    let Conn::Pg(mut blocker) = server.database() else { panic!("Postgres") };
    blocker.batch_execute("BEGIN; LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE").expect("locks");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| create(&client, "ada@example.com"));
        let waiting = "SELECT count(*) AS value FROM pg_locks WHERE locktype = 'relation' AND NOT granted";
        while server.query_number(waiting) == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        create(&client, "ada@example.com").expect_problem(409, "idempotency_key_in_use");
        blocker.batch_execute("COMMIT").expect("unlocks");
        let first = first.join().expect("answered").expect(201);
        assert_eq!(create(&client, "ada@example.com").expect(201).json(), first.json());
    });
}
