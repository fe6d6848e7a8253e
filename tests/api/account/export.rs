//! `GET /v1/auth/me/export`.

use crate::support::mailbox::{self, Mailbox};
use crate::support::personal::{self, Naming};
use crate::support::phone::{self, Phone};
use crate::support::{Backend, PASSWORD, Server, Value, json, on_both, token};

/// Where the rows of each table are in the document. A new table that names a user fails here until it has a place.
const PLACES: [(&str, &str, &str); 11] = [
    ("api_keys", "user_id", "/api_keys"),
    ("audit_events", "subject", "/events"),
    ("email_changes", "user_id", "/email_change"),
    ("known_sources", "user_id", "/known_sources"),
    ("one_time_tokens", "user_id", "/one_time_tokens"),
    ("outbox", "user_id", "/waiting_mails"),
    ("sessions", "user_id", "/sessions"),
    ("totp_factors", "user_id", "/second_factors"),
    ("mfa_challenges", "user_id", "/second_steps"),
    // Their number.
    ("recovery_codes", "user_id", ""),
    // What somebody did to others is about the others.
    ("audit_events", "actor", ""),
];

fn length(document: &Value, place: &str) -> usize {
    match document.pointer(place) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(_)) => 1,
        _ => 0,
    }
}

on_both! {
    fn every_table_that_names_a_user_is_in_the_document(backend) {
        let server = Server::start_with(backend, |config| {
            mailbox::into_folder(config);
            phone::switch_on(config);
        });
        let client = server.client().with("user-agent", "tester/1");
        let known = json!({"email": "Ada@example.com", "password": PASSWORD, "name": "Ada", "remember_device": true, "label": "laptop"});
        let session = client.post("/v1/auth/register", &known).expect(201);
        let eve = client.register("eve@example.com");
        let me = client.bearer(&session.access_token());
        me.post("/v1/auth/change-email", &json!({"new_email": "new@example.com", "password": PASSWORD})).expect(202);
        let key = me.post("/v1/auth/api-keys", &json!({"name": "backup", "scope": "account"})).expect(201).text_at("/key");
        client.with("x-api-key", &key).get("/v1/auth/me").expect(200);
        Phone::add(&server, &me);
        phone::first_step(&client, "ada@example.com");
        Mailbox::of(&server).mails();
        let far = if backend == Backend::Postgres { "created_at + interval '900 days'" } else { "created_at + 77760000000000" };
        server.execute(&format!(
            "INSERT INTO outbox (id, kind, user_id, email, created_at, due_at, attempts, asked_again) \
             SELECT id, 'password_changed', id, email, created_at, {far}, 0, FALSE FROM users WHERE email_key = 'ada@example.com'"
        ));

        let answer = me.get("/v1/auth/me/export").expect(200);
        assert_eq!(answer.header("content-disposition"), "attachment; filename=\"account.json\"");
        assert_eq!((answer.header("cache-control"), answer.header("content-type")), ("no-store", "application/json"));
        let document = answer.json();
        let user = token::decode(&session.access_token()).1["sub"].as_str().expect("a subject").to_owned();
        let mut named = personal::columns(&server, backend);
        let mut placed: Vec<Naming> = PLACES.iter().map(|(table, column, _)| Naming { table: (*table).to_owned(), column: (*column).to_owned() }).collect();
        named.sort();
        placed.sort();
        assert_eq!(named, placed, "where in the document is it?");
        for (table, column, place) in PLACES.iter().filter(|(_, _, place)| !place.is_empty()) {
            let naming = Naming { table: (*table).to_owned(), column: (*column).to_owned() };
            let kept = personal::count(&server, backend, &naming, &user);
            assert!(kept > 0, "{table} has nothing to be found");
            assert_eq!(i64::try_from(length(&document, place)), Ok(kept), "{table}");
        }
        assert_eq!(document["user"], me.get("/v1/auth/me").expect(200).json());
        assert_eq!(document["email_change"]["email"], "new@example.com");
        assert_eq!(document["recovery_codes"], 10);
        let own = &document["sessions"][0];
        assert_eq!((&own["address"], &own["user_agent"], &own["label"]), (&json!("127.0.0.1"), &json!("tester/1"), &json!("laptop")));
        let kinds: Vec<&str> = document["events"].as_array().expect("a list").iter().filter_map(|event| event["kind"].as_str()).collect();
        assert!(["user_registered", "user_email_change_requested", "user_data_exported"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
        assert_eq!((&document["api_keys"][0]["name"], length(&document, "/api_key_sources")), (&json!("backup"), 1));
        assert!(!answer.text.contains(&key) && !answer.text.contains("secret"), "{}", answer.text);
        let hash = server.query_text("SELECT password_hash AS value FROM users WHERE email_key = 'ada@example.com'");
        for foreign in [hash.as_str(), "argon2", "digest", "eve@example.com", &token::decode(&eve.access_token()).1["sub"].to_string()] {
            assert!(!answer.text.contains(foreign), "{foreign} is in {}", answer.text);
        }
    }

    fn however_much_there_is_it_is_one_document_with_nothing_twice(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        copy(&server, backend, "sessions", "id, handle_digest", 1_499);
        copy(&server, backend, "audit_events", "id", 1_000);
        let document = server.client().bearer(&session.access_token()).get("/v1/auth/me/export").expect(200).json();
        for (place, count) in [("sessions", 1_500), ("events", 1_002)] {
            let items = document[place].as_array().expect("a list");
            let ids: std::collections::BTreeSet<String> = items.iter().map(|item| item["id"].to_string()).collect();
            assert_eq!((items.len(), ids.len()), (count, count), "{place}");
        }
    }
}

/// So many more rows like the only one, with unique columns of their own.
fn copy(server: &Server, backend: Backend, table: &str, unique: &str, count: usize) {
    let columns = match backend {
        Backend::Postgres => format!(
            "SELECT string_agg(column_name, ', ' ORDER BY ordinal_position) AS value FROM information_schema.columns WHERE table_name = '{table}'"
        ),
        Backend::Sqlite => format!("SELECT group_concat(name, ', ') AS value FROM pragma_table_info('{table}')"),
    };
    let columns = server.query_text(&columns);
    let made = |column: &str| match (backend, column) {
        (_, column) if !unique.split(", ").any(|own| own == column) => column.to_owned(),
        (Backend::Postgres, "id") => "gen_random_uuid()".to_owned(),
        (Backend::Postgres, _) => "sha256(uuid_send(gen_random_uuid()))".to_owned(),
        (Backend::Sqlite, "id") => "randomblob(16)".to_owned(),
        (Backend::Sqlite, _) => "randomblob(32)".to_owned(),
    };
    let values: Vec<String> = columns.split(", ").map(made).collect();
    let numbers = match backend {
        Backend::Postgres => format!("generate_series(1, {count})"),
        Backend::Sqlite => {
            format!(
                "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n)"
            )
        }
    };
    server.execute(&format!(
        "INSERT INTO {table} ({columns}) SELECT {} FROM {table}, {numbers} AS numbers",
        values.join(", ")
    ));
}
