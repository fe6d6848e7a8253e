//! Many days of log-ins on a clock that a test moves: what is stored stays as much as it was.
//!
//! `SIGNET_TEST_SOAK=year` for a whole year with the default lifetimes; some ten minutes on each database.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use signet::clock::Timestamp;
use signet::config::Period;
use signet::db::Conn;

use super::{DAY, Table, World};
use crate::support::{Backend, json, on_both, say};

/// How a population lives.
struct Life {
    days: u32,
    log_ins_a_day: usize,
    idle_days: u32,
    max_days: u32,
    audit_days: u32,
}

const WEEKS: Life = Life { days: 30, log_ins_a_day: 16, idle_days: 2, max_days: 5, audit_days: 6 };
const YEAR: Life = Life { days: 365, log_ins_a_day: 60, idle_days: 7, max_days: 30, audit_days: 60 };

const SESSION_RETENTION_DAYS: u32 = 1;

fn is_long() -> bool {
    std::env::var_os("SIGNET_TEST_SOAK").is_some_and(|length| length == "year")
}

impl Life {
    /// From this day on as much leaves as comes.
    fn settled_after(&self) -> u32 {
        self.audit_days.max(self.max_days + SESSION_RETENTION_DAYS) + 1
    }
}

on_both! {
    fn what_is_stored_stays_as_much_as_it_was(backend) {
        let life = if is_long() { YEAR } else { WEEKS };
        let world = World::start_with(backend, |config| {
            config.session.idle_ttl = Period(life.idle_days * DAY);
            config.session.max_ttl = Period(life.max_days * DAY);
            config.cleanup.session_retention = Period(SESSION_RETENTION_DAYS * DAY);
            config.cleanup.audit_retention = Period(life.audit_days * DAY);
        });
        for user in 0..10 {
            world.server.client().register(&email(user));
        }
        let mut kept = Vec::new();
        let (mut settling, mut settled, mut removed) = (Stored::default(), Stored::default(), 0);
        for day in 0..life.days {
            live(&world, &life, day, &mut kept);
            world.server.clock.advance(DAY);
            let gone = world.sweep();
            removed += gone.of(Table::Sessions) + gone.of(Table::AuditEvents);
            assert_nothing_overdue(&world, &life);
            let now = Stored::of(&world);
            let peak = if day < life.settled_after() { &mut settling } else { &mut settled };
            *peak = peak.max(&now);
        }
        let summary = format!("{backend:?}: {} days; {removed} rows left; until settled {settling}; from then on {settled}", life.days);
        if is_long() {
            say(&summary);
        }
        // A page here and there is where chance put a row; a database that keeps what has ended has more than doubled.
        assert!(settled.bytes <= settling.bytes + settling.bytes / 5, "{summary}");
        assert!(settled.rows <= settling.rows + settling.rows / 10, "{summary}");
    }
}

fn email(user: usize) -> String {
    format!("user{user}@example.com")
}

/// One day: some log in and never come back, some log out, some stay until they must log in again.
fn live(world: &World, life: &Life, day: u32, kept: &mut Vec<(u32, String)>) {
    let client = world.server.client();
    for number in 0..life.log_ins_a_day {
        let session = client.login(&email(number % 10));
        match number % 4 {
            0 => kept.push((day, session.refresh_token())),
            1 => drop(client.post("/v1/auth/logout", &json!({"refresh_token": session.refresh_token()})).expect(204)),
            _ => {}
        }
    }
    kept.retain_mut(|(since, token)| {
        let is_due = (day - *since).is_multiple_of((life.idle_days - 1).max(1));
        if day > *since && is_due {
            let answer = client.refresh(token);
            if day - *since >= life.max_days {
                answer.expect_problem(401, "invalid_grant");
                return false;
            }
            *token = answer.expect(200).refresh_token();
        }
        true
    });
}

/// A year of log-ins leaves no more rows than live sessions and the audit retention.
fn assert_nothing_overdue(world: &World, life: &Life) {
    let now = world.server.clock.now();
    let sessions = micros(world, now - SESSION_RETENTION_DAYS * DAY);
    let overdue =
        format!("sessions WHERE expires_at <= {sessions} OR idle_expires_at <= {sessions} OR revoked_at <= {sessions}");
    assert_eq!(world.server.count(&overdue), 0);
    let events = micros(world, now - life.audit_days * DAY - Duration::from_millis(1));
    assert_eq!(world.server.count(&format!("audit_events WHERE at < {events}")), 0);
}

fn micros(world: &World, time: Timestamp) -> String {
    match world.backend {
        Backend::Postgres => format!("timestamptz '{time}'"),
        Backend::Sqlite => time.as_micros().to_string(),
    }
}

/// What a database holds.
#[derive(Debug, Clone, Copy, Default)]
struct Stored {
    rows: i64,
    bytes: i64,
}

impl Stored {
    /// After what a server does by itself at intervals.
    fn of(world: &World) -> Self {
        let bytes = match &mut world.server.database() {
            Conn::Pg(c) => {
                c.batch_execute("VACUUM sessions")
                    .and_then(|()| c.batch_execute("VACUUM audit_events"))
                    .expect("vacuums");
                "SELECT pg_total_relation_size('sessions') + pg_total_relation_size('audit_events') AS value"
            }
            Conn::Sqlite(_) => "SELECT page_count * page_size AS value FROM pragma_page_count(), pragma_page_size()",
        };
        Self {
            rows: world.server.count("sessions") + world.server.count("audit_events"),
            bytes: world.server.query_number(bytes),
        }
    }

    fn max(&self, other: &Self) -> Self {
        Self { rows: self.rows.max(other.rows), bytes: self.bytes.max(other.bytes) }
    }
}

impl std::fmt::Display for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows in {} KiB", self.rows, self.bytes / 1024)
    }
}
