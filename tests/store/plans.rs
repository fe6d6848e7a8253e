//! What each request and command asks of the database, and the plan of each statement, kept in `plans/`: a lost index
//! fails here and not in production.
//!
//! No statement is copied: Diesel's instrumentation hears what a running service sends. After a wanted change
//! `SIGNET_TEST_UPDATE_PLANS=1 cargo test --test all store::plans` writes the files anew.

mod fill;
mod hearing;
mod ledger;

use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use signet::db::Conn;

use self::ledger::Ledger;
use crate::support::{Backend, Server, on_both};

/// Not heard here: the looks of the job that delivers webhooks, which come at its own time. And a table of one row is read without
/// its index.
const NOT_HEARD: [&str; 2] = ["webhook_deliveries_due_at", "audit_anchors_pkey"];

/// Not heard here, so their indexes are not judged: the statements of the job that sends mail, which come at its own time and
/// would be noted with whatever is done meanwhile, and those that need a token out of a mail.
const TABLES_OF_MAIL: [&str; 4] = ["outbox", "one_time_tokens", "email_changes", "invitations"];

on_both! {
    fn each_statement_has_the_plan_that_is_on_record(backend) {
        let ledger = Ledger::of_everything(backend);
        let plans = ledger.plans();
        let path = snapshot(backend);
        if std::env::var_os("SIGNET_TEST_UPDATE_PLANS").is_some() {
            std::fs::write(&path, &plans).expect("the repository can be written");
        }
        let on_record = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some(difference) = first_difference(&on_record, &plans) {
            panic!("{}: {difference}\nIf it is wanted: SIGNET_TEST_UPDATE_PLANS=1", path.display());
        }
        assert_every_index_serves(&ledger.server, &plans);
        for drop in lost_indexes(backend) {
            ledger.server.execute(drop);
            assert!(first_difference(&on_record, &ledger.plans()).is_some(), "{drop} is noticed");
        }
    }
}

fn snapshot(backend: Backend) -> PathBuf {
    let name = match backend {
        Backend::Postgres => "postgres.txt",
        Backend::Sqlite => "sqlite.txt",
    };
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/plans").join(name)
}

fn first_difference(on_record: &str, now: &str) -> Option<String> {
    if on_record == now {
        return None;
    }
    let (mut before, mut after) = (on_record.split("\n\n"), now.split("\n\n"));
    loop {
        let (was, is) = (before.next(), after.next());
        if was != is {
            return Some(format!("on record:\n{}\nnow:\n{}", was.unwrap_or("nothing"), is.unwrap_or("nothing")));
        }
        assert!(was.is_some() || is.is_some(), "texts that differ differ somewhere");
    }
}

/// An index that no statement uses costs every write and helps nobody.
fn assert_every_index_serves(server: &Server, plans: &str) {
    let names = match &server.database() {
        Conn::Pg(_) => "SELECT indexname::text AS value FROM pg_indexes WHERE schemaname = 'public'",
        Conn::Sqlite(_) => "SELECT name AS value FROM sqlite_master WHERE type = 'index'",
    };
    for name in server.query_texts(names) {
        let is_of_mail = TABLES_OF_MAIL.iter().any(|table| name.contains(table));
        let is_exempt = is_of_mail || NOT_HEARD.contains(&name.as_str()) || name.contains("__diesel_schema_migrations");
        assert!(is_exempt || plans.contains(&name), "{name} serves no statement");
    }
}

/// The snapshot is worth something if it fails without each of these. (SQLite cannot drop the index of a constraint.)
fn lost_indexes(backend: Backend) -> &'static [&'static str] {
    match backend {
        Backend::Postgres => &[
            "DROP INDEX sessions_user_id",
            "ALTER TABLE sessions DROP CONSTRAINT sessions_handle_digest",
            "ALTER TABLE users DROP CONSTRAINT users_email_key",
            "DROP INDEX users_email_order",
            "DROP INDEX users_name_order",
            "DROP INDEX users_admins",
        ],
        Backend::Sqlite => &["DROP INDEX sessions_user_id", "DROP INDEX users_name_order", "DROP INDEX users_admins"],
    }
}

/// `VERB table` and, indented, the plan.
fn plan(database: &mut Conn, statement: &str) -> String {
    let lines = match database {
        Conn::Pg(c) => plan_on_postgres(c, statement),
        Conn::Sqlite(c) => plan_on_sqlite(c, statement),
    };
    let plan: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("{}\n{plan}", summary(statement))
}

fn summary(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().collect();
    let verb = words.first().copied().unwrap_or_default();
    let at =
        words.iter().position(|word| ["FROM", "INTO", "UPDATE", "(UPDATE"].contains(word)).map_or(0, |place| place + 1);
    let table = words.get(at).copied().unwrap_or_default().trim_matches(['(', '"', '`']);
    format!("{verb} {table}")
}

/// The plan for whatever values, which a prepared statement has from some time on; so none has to be made up here.
fn plan_on_postgres(connection: &mut PgConnection, statement: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
        plan: String,
    }
    let is_parameter = |number: &u32| statement.contains(&format!("${number}"));
    let values = (1..).take_while(is_parameter).map(|_| "NULL").collect::<Vec<_>>().join(", ");
    let values = if values.is_empty() { values } else { format!("({values})") };
    let prepare = format!("SET plan_cache_mode = force_generic_plan; PREPARE it AS {statement}");
    if let Err(error) = connection.batch_execute(&prepare) {
        return vec![error.to_string()];
    }
    let explained: QueryResult<Vec<Line>> =
        diesel::sql_query(format!("EXPLAIN (COSTS OFF) EXECUTE it{values}")).load(connection);
    connection.batch_execute("DEALLOCATE it").expect("was prepared");
    match explained {
        Ok(lines) => lines.into_iter().map(|line| line.plan).collect(),
        Err(error) => vec![error.to_string()],
    }
}

fn plan_on_sqlite(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Step {
        #[diesel(sql_type = Text)]
        detail: String,
    }
    let steps: Vec<Step> =
        diesel::sql_query(format!("EXPLAIN QUERY PLAN {statement}")).load(connection).expect(statement);
    steps.into_iter().map(|step| step.detail).collect()
}
