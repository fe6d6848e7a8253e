//! `signet check`, and what a stranger is told by `--help`.

use std::os::unix::fs::PermissionsExt;

use super::serve::execute;
use crate::support::postgres;
use crate::support::program::Place;
use crate::support::{Backend, on_both};

#[test]
fn a_service_that_can_start_is_ok() {
    let printed = Place::ready_on_sqlite().succeed(&["check"]);
    assert!(printed.ends_with("ok: serve can start\n"), "{printed}");
    assert!(printed.contains("warning: hashing: less than"), "these tests hash cheaply: {printed}");
}

#[test]
fn everything_wrong_is_found_at_once_one_line_each() {
    let place = Place::new()
        .with("SIGNET_ISSUER", "http://id.example")
        .with("SIGNET_TOKEN__ACCESS_TTL", "0s")
        .with("SIGNET_DATABASE__URL", "sqlite:nowhere/signet.db");
    let output = place.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    for finding in [
        "finding: issuer: must be https",
        "finding: token.access_ttl: must be at least 1s",
        "finding: keys: there is no such folder",
        "finding: cannot reach the database sqlite:nowhere/signet.db",
    ] {
        assert!(printed.lines().any(|line| line.starts_with(finding)), "{finding} in\n{printed}");
    }
    assert_eq!(String::from_utf8_lossy(&output.stderr), "signet: error: 4 finding(s)\n");
}

#[test]
fn help_names_every_command_and_says_what_it_does() {
    let help = Place::new().succeed(&["--help"]);
    for command in ["serve", "dev", "migrate", "check", "healthcheck", "keys", "users", "openapi"] {
        let line = help.lines().map(str::trim).find(|line| line.starts_with(command)).expect(command);
        assert!(line.len() > command.len() + 10, "{line}");
    }
    assert!(help.contains("signet dev"), "how to begin: {help}");
    for command in [["keys", "--help"], ["users", "--help"], ["dev", "--help"]] {
        assert!(!Place::new().succeed(&command).is_empty());
    }
}

#[test]
fn migrate_says_what_it_did() {
    let place = Place::new().with("SIGNET_DATABASE__URL", "sqlite:signet.db");
    assert!(place.succeed(&["migrate"]).starts_with("sqlite:signet.db: applied "));
    assert_eq!(place.succeed(&["migrate"]), "sqlite:signet.db: nothing to do\n");
}

/// What `check` finds, without what these tests are set up with.
fn findings(place: &Place) -> Vec<String> {
    let output = place.run(&["check"]);
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let lines =
        printed.lines().filter(|line| !line.starts_with("warning: hashing: less than") && !line.contains("fsync"));
    let found: Vec<String> = lines.map(str::to_owned).collect();
    let has_error = found.iter().any(|line| line.starts_with("finding: "));
    assert_eq!(output.status.success(), !has_error, "errors alone decide the exit code: {printed}");
    found
}

#[track_caller]
fn assert_finds(place: &Place, expected: &str) {
    let found = findings(place);
    assert!(found.iter().any(|line| line.starts_with(expected)), "{expected} in {found:?}");
}

#[test]
fn keys_that_cannot_be_used_are_found() {
    let place = Place::ready_on_sqlite();
    let keys = place.path().join("keys");
    let key = std::fs::read_dir(&keys).expect("keys").next().expect("a key").expect("readable").path();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("set");
    assert_finds(&place, "warning: keys/2");
    std::fs::rename(&key, keys.join("2999-01-01T00-00-00Z.pem")).expect("renamed");
    assert_finds(&place, "finding: keys: has no private key that may sign now");
    std::fs::remove_file(keys.join("2999-01-01T00-00-00Z.pem")).expect("removed");
    assert_finds(&place, "finding: keys: has no private key that may sign now");
    for (pem, reason) in [
        (include_str!("keys/rsa.pem"), "not a P-256 private key in PKCS#8"),
        (include_str!("keys/p384.pem"), "not a P-256 private key in SEC1"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA", "not a P-256 private key in PKCS#8"),
    ] {
        std::fs::write(keys.join("signing.pem"), pem).expect("written");
        assert_finds(&place, &format!("finding: signing.pem: {reason}"));
    }
    std::fs::remove_dir_all(&keys).expect("removed");
    assert_finds(&place, "finding: keys: there is no such folder");
}

#[test]
fn listeners_that_cannot_be_bound_are_found() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    for key in ["SIGNET_PUBLIC__LISTEN", "SIGNET_MANAGEMENT__LISTEN"] {
        assert_finds(&Place::ready_on_sqlite().with(key, &address), &format!("finding: cannot listen on {address}: "));
    }
    let foreign = Place::ready_on_sqlite().with("SIGNET_PUBLIC__LISTEN", "192.0.2.1:80");
    assert_finds(&foreign, "finding: cannot listen on 192.0.2.1:80: ");
}

#[test]
fn hashing_that_the_machine_has_no_memory_for_is_found() {
    let place = Place::ready_on_sqlite()
        .with("SIGNET_HASHING__THREADS", "1024")
        .with("SIGNET_HASHING__MEMORY_KIB", "1073741824");
    assert_finds(&place, "finding: hashing: 1024 threads with 1073741824 KiB each need");
    assert!(place.fail(&["serve"]).starts_with("hashing: 1024 threads"), "serve asks the same questions");
}

#[test]
fn a_database_that_is_still_to_be_made_is_not_made_by_looking() {
    let place = Place::on("sqlite:signet.db");
    assert_finds(&place, "finding: the database sqlite:signet.db lacks");
    place.fail(&["serve"]);
    assert!(!place.path().join("signet.db").exists());
}

#[test]
fn a_file_that_is_no_database_is_found() {
    let place = Place::ready_on_sqlite();
    std::fs::remove_file(place.path().join("signet.db")).expect("removed");
    std::fs::write(place.path().join("signet.db"), "no database\n".repeat(100)).expect("written");
    assert_finds(&place, "finding: cannot reach the database sqlite:signet.db: ");
}

on_both! {
    fn a_schema_that_is_behind_or_newer_is_found(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let url = backend.database(dir.path());
        let place = Place::ready(&url);
        assert_eq!(findings(&place), ["ok: serve can start"]);
        execute(&url, "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')");
        assert_finds(&place, "finding: the database has schema 29991231000000");
        execute(&url, "DELETE FROM __diesel_schema_migrations");
        assert_finds(&place, "finding: the database ");
        assert!(findings(&place)[0].contains("run `signet migrate`"));
    }
}

/// A role and a database of its own, and what is then done to them.
fn on_postgres(sql: &str) -> Option<Place> {
    if !postgres::is_available() || std::env::var_os("SIGNET_TEST_POSTGRES_URL").is_some() {
        return None;
    }
    let url = Backend::Postgres.database(std::path::Path::new(""));
    let name = url.rsplit('/').next().and_then(|rest| rest.split('?').next()).expect("a name").to_owned();
    let as_role = url.replace("postgres://signet@", &format!("postgres://{name}@"));
    execute(&url, &format!("CREATE ROLE {name} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}"));
    let place = Place::on(&as_role);
    place.succeed(&["keys", "new"]);
    assert_eq!(findings(&place), ["ok: serve can start"]);
    execute(&url, &sql.replace("{}", &name));
    Some(place)
}

#[test]
fn a_postgres_that_cannot_be_worked_with_is_found() {
    for (sql, expected) in [
        (
            "ALTER DATABASE {} SET default_transaction_read_only = on",
            "finding: the database is read-only for this role",
        ),
        ("REVOKE INSERT ON users, sessions FROM {}", "finding: the database's role may not write to: sessions, users"),
        (
            "ALTER ROLE {} CONNECTION LIMIT 7",
            "finding: database.pool_size: 16 is more than the 7 connections allowed us",
        ),
        ("ALTER DATABASE {} CONNECTION LIMIT 5", "finding: database.pool_size: 16 is more than the 5 connections"),
        ("ALTER ROLE {} NOLOGIN", "finding: cannot reach the database "),
        ("ALTER DATABASE {} SET idle_session_timeout = '1h'", "warning: the database ends idle connections"),
    ] {
        let Some(place) = on_postgres(sql) else { return };
        assert_finds(&place, expected);
        if let Some(line) = expected.strip_prefix("finding: ") {
            let refused = place.fail(&["serve"]);
            assert!(refused.starts_with(line), "serve asks the same questions: {refused}");
        }
    }
}
