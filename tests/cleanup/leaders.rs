//! Several instances on one Postgres: one at a time removes, and whoever is left goes on.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use signet::cleanup;
use signet::db::{Conn, Url};

use super::{DAY, copy_session, end_sessions};
use crate::support::postgres::{self, Cluster};
use crate::support::program::{Place, Service};
use crate::support::{Backend, Server, wait};

fn connect(url: &str) -> PgConnection {
    let Conn::Pg(connection) = url.parse::<Url>().expect("our own URL").connect().expect("there") else {
        panic!("a Postgres")
    };
    connection
}

fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(&format!("({sql})")))
        .get_result(connection)
        .expect(sql)
}

fn metric(service: &Service, name: &str) -> f64 {
    let text = service.operator().get("/metrics").text;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is there from the start")).parse().expect("a number")
}

const PURGED: &str = "signet_purged_rows_total{table=\"sessions\"}";
const FAILED: &str = "signet_purge_failures_total{reason=\"database\"}";

/// A database with so many sessions that ended long ago.
fn full_database(sessions: usize) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let url = Backend::Postgres.database(dir.path());
    let place = Place::ready(&url);
    place.serve().client().register("ada@example.com");
    let mut database = url.parse::<Url>().expect("our own URL").connect().expect("there");
    end_sessions(&mut database, DAY);
    copy_session(&mut database, sessions - 1);
    url
}

#[test]
fn nobody_removes_anything_while_another_one_leads_and_then_each_row_leaves_once() {
    if !postgres::is_available() {
        return;
    }
    let url = full_database(700);
    let mut other = connect(&url);
    other.batch_execute(&format!("SELECT pg_advisory_lock({})", cleanup::LOCK)).expect("the lead");
    let place = Place::ready(&url).with("SIGNET_CLEANUP__INTERVAL", "300ms");
    let services = [place.serve(), place.serve()];
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(number(&mut other, "SELECT count(*) FROM sessions"), 700);
    assert!(services.iter().all(|service| metric(service, FAILED) == 0.0), "it is no failure either");
    assert_eq!(place.succeed(&["cleanup"]), "nothing done: another instance is at it\n");
    drop(other);
    let mut looker = connect(&url);
    wait::until("the sessions leave", || number(&mut looker, "SELECT count(*) FROM sessions") == 0);
    wait::until("each is counted once", || {
        services.iter().map(|service| metric(service, PURGED)).sum::<f64>() == 700.0
    });
}

#[test]
fn when_the_leader_is_killed_another_instance_goes_on() {
    if !postgres::is_available() {
        return;
    }
    let url = full_database(20_000);
    let place = Place::ready(&url).with("SIGNET_CLEANUP__INTERVAL", "300ms");
    let [first, second] = [place.serve(), place.serve()];
    let mut looker = connect(&url);
    wait::until("one of them begins", || metric(&first, PURGED) + metric(&second, PURGED) > 0.0);
    let (leader, other) = if metric(&first, PURGED) > 0.0 { (first, second) } else { (second, first) };
    // Whoever seals the audit trail holds another one.
    let leaders = &format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND (classid::bigint << 32 | objid::bigint) = {} \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        cleanup::LOCK
    );
    for _ in 0..20 {
        assert!(number(&mut looker, leaders) <= 1);
        assert_eq!(metric(&other, PURGED), 0.0, "one at a time");
        std::thread::sleep(Duration::from_millis(10));
    }
    leader.signal("KILL");
    assert!(number(&mut looker, "SELECT count(*) FROM sessions") > 0, "it was killed in the middle");
    wait::until("the other one takes the lead", || metric(&other, PURGED) > 0.0);
    // All of them would take longer than a test should.
    looker.batch_execute("DELETE FROM sessions WHERE id IN (SELECT id FROM sessions OFFSET 1000)").expect("deleted");
    wait::until("nothing is left", || number(&mut looker, "SELECT count(*) FROM sessions") == 0);
}

#[test]
fn a_database_that_is_away_costs_one_line_and_cleaning_up_goes_on_when_it_is_back() {
    if !postgres::is_available() || std::env::var_os("SIGNET_TEST_POSTGRES_URL").is_some() {
        return;
    }
    let mut cluster = Cluster::start_on_tcp();
    let url = format!("postgres://signet@{}/{}", cluster.address(), cluster.database());
    let place = Place::ready(&url).with("SIGNET_CLEANUP__INTERVAL", "200ms").with("SIGNET_DATABASE__MAX_WAIT", "1s");
    let service = place.serve();
    service.client().register("ada@example.com");
    cluster.crash();
    wait::until("passes fail", || metric(&service, FAILED) >= 5.0);
    let lines = service.log().iter().filter(|line| line.contains("could not be removed")).count();
    assert_eq!(lines, 1, "{}", service.log().join("\n"));
    cluster.start();
    let mut database = url.parse::<Url>().expect("our own URL").connect().expect("there again");
    end_sessions(&mut database, DAY);
    wait::until("it goes on", || metric(&service, PURGED) == 1.0);
}

#[test]
fn a_service_whose_cleaning_up_is_off_removes_nothing() {
    let server = Server::start_on_system_clock(Backend::Sqlite, |config| {
        config.cleanup.interval = signet::config::Period(Duration::from_millis(100));
    });
    server.client().register("ada@example.com");
    end_sessions(&mut server.database(), DAY);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(server.count("sessions"), 1);
    let beside = Server::start_beside(&server, signet::clock::Clock::system(), |config| config.cleanup.enabled = true);
    wait::until("one that is on does", || beside.count("sessions") == 0);
}
