//! What leaves by itself, what must not, and what it costs those who are still there.

mod api_keys;
mod costs;
mod leaders;
mod passes;
mod races;
mod second_factors;
mod soak;
mod throttles;

use std::time::Duration;

use diesel::connection::SimpleConnection;
use signet::cleanup::{self, Limits, Removed, Table};
use signet::clock::Timestamp;
use signet::config::Config;
use signet::db::{Conn, Db};
use signet::metrics::Metrics;

use crate::support::{Backend, Server, block_on};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A service that removes nothing by itself, and the hand that clears up after it.
struct World {
    backend: Backend,
    server: Server,
    db: Db,
    metrics: Metrics,
}

impl World {
    fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| {})
    }

    fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let server = Server::start_with(backend, |config| {
            // Leaves rows of its own, which only one test is about.
            config.throttle.enabled = false;
            change(config);
        });
        let metrics = Metrics::default();
        let url = server.config.database.url.0.parse().expect("our own URL");
        // What happens in a transaction happens on the service's clock.
        let db = Db::open(url, 1, Duration::from_secs(3), server.clock.clone(), metrics.clone());
        Self { backend, server, db, metrics }
    }

    /// Removes what may go at the service's time, however far a test has moved it.
    fn sweep(&self) -> Removed {
        self.sweep_at(self.server.clock.now())
    }

    fn sweep_at(&self, now: Timestamp) -> Removed {
        let limits = Limits::at(now, &self.server.config);
        block_on(async {
            let mut leader = self.db.lead(cleanup::LOCK).await.expect("reached").expect("nobody else is at it");
            cleanup::sweep(&mut leader, limits, &self.metrics).await.expect("sweeps")
        })
    }

    /// So many copies of the oldest session.
    fn copy_session(&self, count: usize) {
        copy_session(&mut self.server.database(), count);
    }
}

/// So many copies of the oldest session, with ids that no clock made.
fn copy_session(database: &mut Conn, count: usize) {
    const REST: &str = "user_id, access_version, secret_digest, parent_digest, nonce, generation, rotated_at, \
        created_at, idle_expires_at, expires_at, revoked_at, revoked_reason, client_id, scope, amr, auth_time, address, \
        user_agent, label, actor_id, actor_session_id FROM (SELECT * FROM sessions ORDER BY id LIMIT 1) AS oldest";
    execute_either(
        database,
        &format!(
            "INSERT INTO sessions SELECT gen_random_uuid(), sha256(uuid_send(gen_random_uuid())), {REST}, \
             generate_series(1, {count})"
        ),
        &format!(
            "INSERT INTO sessions WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             SELECT randomblob(16), randomblob(32), {REST}, n"
        ),
    );
}

/// So many copies of the oldest audit event, of the same millisecond.
fn copy_audit_event(database: &mut Conn, count: usize) {
    const REST: &str = "at, kind, subject, actor, session_id, address, user_agent, request_id, detail \
        FROM (SELECT * FROM audit_events ORDER BY id LIMIT 1) AS oldest";
    execute_either(
        database,
        &format!(
            "INSERT INTO audit_events SELECT (left(id::text, 13) || right(gen_random_uuid()::text, 23))::uuid, {REST}, \
             generate_series(1, {count})"
        ),
        &format!(
            "INSERT INTO audit_events WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             SELECT unhex(substr(hex(id), 1, 12) || hex(randomblob(10))), {REST}, n"
        ),
    );
}

/// Moves every session so far into the past that it ended `age` ago at least.
fn end_sessions(database: &mut Conn, age: Duration) {
    let seconds = age.as_secs() + 40 * 24 * 3600;
    execute_either(
        database,
        &format!(
            "UPDATE sessions SET expires_at = expires_at - interval '{seconds} s', \
             idle_expires_at = idle_expires_at - interval '{seconds} s'"
        ),
        &format!(
            "UPDATE sessions SET expires_at = expires_at - {seconds} * 1000000, \
             idle_expires_at = idle_expires_at - {seconds} * 1000000"
        ),
    );
}

fn execute_either(database: &mut Conn, postgres: &str, sqlite: &str) {
    match database {
        // A million rows take longer than any statement of a request.
        Conn::Pg(c) => c.batch_execute("SET statement_timeout = 0").and_then(|()| c.batch_execute(postgres)),
        Conn::Sqlite(c) => c.batch_execute(sqlite),
    }
    .unwrap_or_else(|error| panic!("{error}: {postgres} / {sqlite}"));
}
