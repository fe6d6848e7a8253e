//! A database with data in it, written by each schema that there ever was, becomes one that this release serves.
//!
//! `tests/store/schemas/` holds that data: what a service wrote when the schema was the newest. After a migration was
//! added, `SIGNET_TEST_RECORD_SCHEMA=1 cargo test --test all store::upgrade` records it once more, for the migrations to come.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sqlite::Sqlite;
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use signet::db::{Conn, Url, migrations};

use crate::api::api_key::{eventually, make_key, with_key};
use crate::support::mailbox::{self, Mailbox};
use crate::support::phone::{self, Phone};
use crate::support::{Backend, Client, PASSWORD, Server, Value, json, on_both, postgres};

/// What a schema's tables are filled from, oldest reference first.
const TABLES: [&str; 19] = [
    "users",
    "sessions",
    "audit_events",
    "throttles",
    "known_sources",
    "outbox",
    "one_time_tokens",
    "email_changes",
    "invitations",
    "api_keys",
    "api_key_sources",
    "audit_seals",
    "audit_anchors",
    "webhook_endpoints",
    "webhook_deliveries",
    "totp_factors",
    "recovery_codes",
    "mfa_challenges",
    "idempotency_keys",
];

on_both! {
    fn data_of_every_schema_is_served_after_the_migrations_since(backend) {
        let versions = versions(backend);
        let newest = versions.last().expect("there is a schema");
        if std::env::var_os("SIGNET_TEST_RECORD_SCHEMA").is_some() {
            record(backend, newest);
        }
        for version in &versions {
            let dir = tempfile::tempdir().expect("a folder");
            let url = database_of(backend, dir.path(), version);
            let applied = migrations::migrate(&parsed(&url)).expect("migrates");
            assert_eq!(applied.is_empty(), version == newest, "{version}");
            serves_what_was_recorded(backend, version, &url);
        }
    }
}

/// A database as that schema's own release left it.
fn database_of(backend: Backend, dir: &Path, version: &str) -> String {
    let url = match backend {
        Backend::Postgres => postgres::empty_database(),
        Backend::Sqlite => format!("sqlite:{}", dir.join("old.db").display()),
    };
    let missing = "run SIGNET_TEST_RECORD_SCHEMA=1 cargo test --test all store::upgrade";
    let data = std::fs::read_to_string(data_path(backend, version)).unwrap_or_else(|_| panic!("{version}: {missing}"));
    match &mut parsed(&url).connect().expect("connects") {
        Conn::Pg(c) => {
            migrate_to::<Pg, _>(c, backend, version);
            c.batch_execute(&data)
        }
        Conn::Sqlite(c) => {
            migrate_to::<Sqlite, _>(c, backend, version);
            c.batch_execute(&data)
        }
    }
    .expect("the data fits its schema");
    url
}

fn parsed(url: &str) -> Url {
    url.parse().expect("our own URL")
}

fn migrate_to<DB: diesel::backend::Backend, C: MigrationHarness<DB>>(conn: &mut C, backend: Backend, last: &str) {
    let mut migrations: Vec<Box<dyn Migration<DB>>> = source(backend).migrations().expect("readable");
    migrations.sort_by_key(|migration| migration.name().version().to_string());
    conn.applied_migrations().expect("makes the table of what was applied");
    for migration in migrations.iter().filter(|migration| migration.name().version().to_string().as_str() <= last) {
        conn.run_migration(&**migration).expect("applies");
    }
}

fn versions(backend: Backend) -> Vec<String> {
    let migrations = MigrationSource::<Pg>::migrations(&source(backend)).expect("readable");
    let mut versions: Vec<String> = migrations.iter().map(|migration| migration.name().version().to_string()).collect();
    versions.sort();
    versions
}

fn source(backend: Backend) -> FileBasedMigrations {
    FileBasedMigrations::from_path(Path::new("migrations").join(name(backend))).expect("the folder is there")
}

fn name(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "sqlite",
        Backend::Postgres => "postgres",
    }
}

fn folder(version: &str) -> PathBuf {
    Path::new("tests/store/schemas").join(version)
}

fn data_path(backend: Backend, version: &str) -> PathBuf {
    folder(version).join(format!("{}.sql", name(backend)))
}

fn clients_path(backend: Backend, version: &str) -> PathBuf {
    folder(version).join(format!("{}.clients.json", name(backend)))
}

/// Lives a little on the newest schema, and writes down the tables and what the clients hold.
fn record(backend: Backend, version: &str) {
    let server = Server::start_with(backend, |config| {
        mailbox::into_folder(config);
        phone::switch_on(config);
    });
    let client = server.client();
    let ada = client.register("ada@example.com");
    let left = client.login("ada@example.com");
    client.bearer(&left.access_token()).post("/v1/auth/logout", &json!({})).expect(204);
    let bob = client.register("bob@example.com");
    server.execute("UPDATE users SET is_active = false WHERE email = 'bob@example.com'");
    let root = client.register("root@example.com");
    server.execute(
        "UPDATE users SET roles = 'admin user', access_version = access_version + 1 WHERE email = 'root@example.com'",
    );
    let known = json!({"email": "ada@example.com", "password": PASSWORD, "remember_device": true});
    let device = client.post("/v1/auth/login", &known).expect(200).text_at("/device_token");
    for _ in 0..3 {
        client.post("/v1/auth/login", &wrong_guess()).expect(401);
    }
    let key = used_and_rotated_key(&server, &client.bearer(&client.login("ada@example.com").access_token()));
    let phone = Phone::add(&server, &client.bearer(&client.register("mia@example.com").access_token()));
    // The last steps, so that the grace window is open when the recording ends.
    server.clock.advance(Duration::from_secs(100));
    let kept = client.login("ada@example.com");
    let second = client.refresh(&kept.refresh_token()).expect(200);
    let third = client.refresh(&second.refresh_token()).expect(200);
    let me = client.bearer(&third.access_token()).get("/v1/auth/me").expect(200);

    let challenge = phone::first_step(&client, "mia@example.com");
    let clients = json!({
        "at_micros": server.clock.now().as_micros(),
        "never_refreshed": ada.refresh_token(),
        "logged_out": left.refresh_token(),
        "disabled": bob.refresh_token(),
        "made_admin": root.refresh_token(),
        "superseded": kept.refresh_token(),
        "parent": second.refresh_token(),
        "current": third.refresh_token(),
        "device": device,
        "api_key": key,
        "ada": me.json(),
        "verify_token": Mailbox::of(&server).newest("root@example.com", "verify_email").token(),
        "otpauth_uri": phone.uri(),
        "recovery_code": phone.recovery_codes[0],
        "mfa_token": challenge,
        "sessions": server.count("sessions"),
        "events": server.count("audit_events"),
    });
    std::fs::create_dir_all(folder(version)).expect("our own folder");
    std::fs::write(data_path(backend, version), dump(&server, backend)).expect("writable");
    let text = serde_json::to_string_pretty(&clients).expect("JSON") + "\n";
    std::fs::write(clients_path(backend, version), text).expect("writable");
}

/// The secret from before the rotation of a key, which still works.
fn used_and_rotated_key(server: &Server, client: &Client) -> String {
    let made = make_key(client, "account");
    let key = made.text_at("/key");
    with_key(server, &key).get("/v1/auth/me").expect(200);
    eventually(|| server.count("api_key_sources") == 1);
    client.post_empty(&format!("/v1/auth/api-keys/{}/rotate", made.text_at("/id"))).expect(200);
    key
}

/// Every row as a statement that inserts it.
fn dump(server: &Server, backend: Backend) -> String {
    let (tables, columns, quoted) = match backend {
        Backend::Sqlite => (
            "SELECT group_concat(name) AS value FROM (SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name)",
            "SELECT group_concat(name) AS value FROM pragma_table_info('{}')",
            "quote({})",
        ),
        Backend::Postgres => (
            "SELECT string_agg(table_name, ',' ORDER BY table_name) AS value
             FROM information_schema.tables WHERE table_schema = 'public'",
            "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) AS value
             FROM information_schema.columns WHERE table_name = '{}'",
            "quote_nullable({}::text)",
        ),
    };
    let all = server.query_text(tables);
    let mut known = TABLES.to_vec();
    known.push("__diesel_schema_migrations");
    known.sort_unstable();
    assert_eq!(all, known.join(","), "every table is recorded");
    let mut sql = String::new();
    for table in TABLES {
        let columns = server.query_text(&columns.replace("{}", table));
        let values: Vec<String> = columns.split(',').map(|column| quoted.replace("{}", column)).collect();
        let row = format!("'INSERT INTO {table} ({columns}) VALUES (' || {} || ');'", values.join(" || ', ' || "));
        let first = columns.split(',').next().expect("a column");
        sql += &server.query_texts(&format!("SELECT {row} AS value FROM {table} ORDER BY {first}")).join("\n");
        sql += "\n";
    }
    sql
}

fn serves_what_was_recorded(backend: Backend, version: &str, url: &str) {
    let clients = std::fs::read_to_string(clients_path(backend, version)).expect("recorded with the data");
    let clients: Value = serde_json::from_str(&clients).expect("JSON");
    let token = |name: &str| clients[name].as_str().expect("a token").to_owned();
    let recorded_at = clients["at_micros"].as_i64().expect("a time");
    let server = Server::start_then(backend, recorded_at, Duration::from_secs(10), |config| {
        config.database.url.0 = url.to_owned();
        phone::switch_on(config);
    });
    let client = server.client();

    assert_eq!(server.count("sessions"), clients["sessions"].as_i64().expect("a number"), "{version}");
    assert_eq!(server.count("audit_events"), clients["events"].as_i64().expect("a number"), "{version}");

    // Within the grace window the parent has the successor that it had.
    let again = client.refresh(&token("parent")).expect(200);
    assert_eq!(again.refresh_token(), token("current"), "{version}");
    let next = client.refresh(&token("current")).expect(200);
    let me = client.bearer(&next.access_token()).get("/v1/auth/me").expect(200).json();
    for (field, value) in clients["ada"].as_object().expect("a user") {
        assert_eq!(&me[field], value, "{version}: {field}");
    }
    client.refresh(&token("superseded")).expect_problem(401, "invalid_grant");
    client.refresh(&next.refresh_token()).expect_problem(401, "invalid_grant");

    client.refresh(&token("never_refreshed")).expect(200);
    client.refresh(&token("logged_out")).expect_problem(401, "invalid_grant");
    client.refresh(&token("disabled")).expect_problem(401, "invalid_grant");
    let admin = client.refresh(&token("made_admin")).expect(200);
    let roles = client.bearer(&admin.access_token()).get("/v1/auth/me").expect(200).json()["roles"].clone();
    assert_eq!(roles, json!(["admin", "user"]), "{version}");

    // Since there is mail.
    if let Some(token) = clients["verify_token"].as_str() {
        client.post("/v1/auth/verify-email", &json!({"token": token})).expect(204);
    }

    // Since there are second factors.
    if let Some(uri) = clients["otpauth_uri"].as_str() {
        let code = Phone::of_uri(uri).code(&server);
        phone::second_step(&client, &token("mfa_token"), &code).expect(200);
        let challenge = phone::first_step(&client, "mia@example.com");
        phone::second_step(&client, &challenge, &token("recovery_code")).expect(200);
    }

    // Since there are API keys.
    if let Some(key) = clients["api_key"].as_str() {
        with_key(&server, key).get("/v1/auth/me").expect(200);
    }

    client.login("ada@example.com");
    let credentials = json!({"email": "bob@example.com", "password": PASSWORD});
    client.post("/v1/auth/login", &credentials).expect_problem(401, "invalid_credentials");

    // Three guesses were counted before, and two are left for strangers.
    if let Some(device) = clients["device"].as_str() {
        let guess = || client.post("/v1/auth/login", &wrong_guess()).status;
        assert_eq!([guess(), guess(), guess()], [401, 401, 429], "{version}");
        let known = json!({"email": "ada@example.com", "password": PASSWORD, "device_token": device});
        client.post("/v1/auth/login", &known).expect(200);
    }
}

fn wrong_guess() -> Value {
    json!({"email": "ada@example.com", "password": "not the password"})
}
