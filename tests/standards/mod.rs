//! The security bar, one black-box test for each requirement, named by its id; one file for each section.
//!
//! [`BAR`] lists every id, and for each that has no test here the reason, or the file that has it.

mod audit;
mod authorization;
mod cookies;
mod discovery;
mod documents;
mod http;
mod keys;
mod login;
mod logs;
mod mail;
mod oauth;
mod passwords;
mod refresh;
mod tokens;

use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use signet::config::Period;
use signet::db::Conn;

use crate::support::{Backend, Server};

/// Whether a requirement has a test here.
enum Bar {
    Covered,
    /// By the tests of a feature, in this file under `tests/`.
    Elsewhere(&'static str),
    Later(&'static str),
}
use Bar::{Covered, Elsewhere, Later};

const NO_REVOCATION: &str = "revocation and introspection are not built yet";

const BAR: &[(&str, Bar)] = &[
    ("T1", Covered),
    ("T2", Covered),
    ("T3", Covered),
    ("T4", Covered),
    ("T5", Covered), // of a deleted account in `api/account/deletion.rs`
    ("T6", Covered),
    ("T7", Covered),
    ("T8", Covered),
    ("T9", Covered),
    ("T10", Covered),
    ("T11", Covered),
    ("T12", Covered),
    ("T13", Covered),
    ("T14", Covered),
    ("T15", Covered),
    ("K1", Covered),
    ("K2", Covered),
    ("K3", Covered),
    ("K4", Covered),
    ("K5", Covered),
    ("K6", Covered),
    ("K7", Covered),
    ("K8", Covered),
    ("K9", Covered),
    ("K10", Covered),
    ("K11", Covered), // a key that others can read is a warning
    ("K12", Covered),
    ("K13", Covered),
    ("K14", Covered),
    ("D1", Covered),
    ("D2", Covered),
    ("D3", Covered),
    ("D4", Later("the second well-known form of an issuer with a path is not built yet")),
    ("D5", Later("resource metadata is not built yet")),
    ("P1", Covered),
    ("P2", Covered),
    ("P3", Covered),
    ("P4", Covered),
    ("P5", Elsewhere("api/account/breached.rs")),
    ("P6", Covered),
    ("P7", Covered),
    ("P8", Covered),
    ("P9", Covered),
    ("P10", Covered),
    ("P11", Covered),
    ("P12", Elsewhere("api/admin/reset_password.rs")),
    ("P13", Covered),
    ("L1", Covered),
    ("L2", Covered),
    ("L3", Covered),
    ("L4", Covered),
    ("L5", Covered),
    ("L6", Covered),
    ("L7", Covered),
    ("L8", Covered),
    ("L9", Covered),
    ("L10", Covered),
    ("L11", Covered),
    ("L12", Covered), // of the two, TOTP
    ("L13", Covered), // of credentials; of a log-in from somewhere new in `mail/notices.rs`
    ("R1", Covered),
    ("R2", Covered),
    ("R3", Covered),
    ("R4", Covered),
    ("R5", Covered),
    ("R6", Covered),
    ("R7", Covered),
    ("R8", Covered),
    ("R9", Covered),
    ("R10", Covered),
    ("R11", Elsewhere("api/admin/sessions.rs")),
    ("R12", Covered),
    ("R13", Covered),
    ("R14", Covered),
    ("R15", Covered),
    ("V1", Later(NO_REVOCATION)),
    ("V2", Later(NO_REVOCATION)),
    ("V3", Later(NO_REVOCATION)),
    ("V4", Later(NO_REVOCATION)),
    ("V5", Later(NO_REVOCATION)),
    ("O1", Covered),
    ("O2", Covered),
    ("O3", Covered),
    ("O4", Covered),
    ("O5", Covered),
    ("O6", Later("client credentials are not built yet")),
    ("O7", Covered),
    ("O8", Later("resource indicators are not built yet")),
    ("O9", Later("DPoP and the authorization code are not built yet")),
    ("E1", Covered),
    ("E2", Covered),
    ("E3", Covered),
    ("E4", Covered),
    ("E5", Covered),
    ("E6", Covered),
    ("E7", Covered),
    ("E8", Covered),
    ("E9", Covered),
    ("E10", Covered),
    ("E11", Later("a schema-driven client tests the API description elsewhere")),
    ("C1", Covered),
    ("C2", Covered),
    ("C3", Covered),
    ("C4", Covered),
    ("G1", Covered), // but for the refresh that succeeds, which is counted only, and a change of keys, which is logged
    ("G2", Covered),
    ("G3", Covered),
    ("G4", Covered),
    ("G5", Covered),
    ("G6", Covered),
    ("Z1", Covered),
    ("Z2", Covered),
    ("Z3", Covered),
    ("Z4", Elsewhere("api/admin/last_admin.rs")),
    ("Z5", Covered),
    ("Z6", Covered), // but for a panic, which no request can cause
    ("Z7", Later("no image is built where the tests run")),
    ("Z8", Later("the inventory of secrets is not written yet")),
];

#[test]
fn every_id_that_is_covered_has_a_test_and_no_other_has() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files = std::fs::read_dir(tests.join("standards")).expect("this folder");
    let sources: String =
        files.map(|file| std::fs::read_to_string(file.expect("an entry").path()).expect("a source file")).collect();
    let wrong: Vec<String> = BAR
        .iter()
        .filter_map(|(id, bar)| {
            let has_test = sources.contains(&format!("fn {}_", id.to_lowercase()));
            match bar {
                Elsewhere(file) => (has_test || !tests.join(file).exists()).then(|| format!("{id} is not in {file}")),
                Covered => (!has_test).then(|| format!("{id} has no test")),
                Later(reason) => has_test.then(|| format!("{id} has a test now, and is listed as: {reason}")),
            }
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A service that does not wait long for a database.
fn impatient(backend: Backend) -> Server {
    Server::start_with(backend, |config| config.database.max_wait = Period(Duration::from_secs(1)))
}

/// A database that does not serve: Postgres lets nobody in, SQLite nobody write. Serves again when this is dropped.
struct Outage {
    database: Conn,
    end: String,
}

impl Outage {
    fn of(server: &Server) -> Self {
        let url = &server.config.database.url.0;
        let Some((address, query)) = url.split_once('?') else {
            let mut database = server.database();
            let Conn::Sqlite(connection) = &mut database else { panic!("only SQLite's URL has no query") };
            connection.batch_execute("BEGIN EXCLUSIVE").expect("the write lock");
            return Self { database, end: "ROLLBACK".to_owned() };
        };
        let (host, name) = address.rsplit_once('/').expect("the URL names a database");
        let url: signet::db::Url = format!("{host}/postgres?{query}").parse().expect("our own URL");
        let mut database = url.connect().expect("the server is there");
        let end = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true");
        execute(&mut database, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
        execute(
            &mut database,
            &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
        );
        Self { database, end }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        execute(&mut self.database, &self.end);
    }
}

fn execute(database: &mut Conn, sql: &str) {
    match database {
        Conn::Pg(c) => c.batch_execute(sql),
        Conn::Sqlite(c) => c.batch_execute(sql),
    }
    .expect("an administrator's statement");
}

/// Runs `work` in `count` threads at once; what each returned.
fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (work, gate) = (&work, &std::sync::Barrier::new(count));
    std::thread::scope(|scope| {
        let start = |number| {
            scope.spawn(move || {
                gate.wait();
                work(number)
            })
        };
        let threads: Vec<_> = (0..count).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
    })
}
