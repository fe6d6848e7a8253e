//! The audit trail: the chain over it, what retention leaves of it, who may read it and how.

mod chain;
mod feed;
mod list;
mod retention;

use std::time::Duration;

use diesel::connection::SimpleConnection;
use signet::audit::seal::{self, Head};
use signet::audit::verify::{self, Broken, Noted, Whole};
use signet::config::Config;
use signet::db::{Conn, Db};
use signet::metrics::Metrics;

use crate::support::{Backend, Client, Server, block_on, wait};

/// A service that seals nothing by itself, and a hand that does.
struct World {
    backend: Backend,
    server: Server,
    db: Db,
}

impl World {
    fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| {})
    }

    fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let server = Server::start_with(backend, |config| {
            config.throttle.enabled = false;
            change(config);
        });
        let url = server.config.database.url.0.parse().expect("our own URL");
        let db = Db::open(url, 2, Duration::from_secs(10), server.clock.clone(), Metrics::default());
        Self { backend, server, db }
    }

    /// Seals what there is; the head.
    fn seal(&self) -> Head {
        let led = block_on(seal::once(&self.db, &Metrics::default())).expect("sealed");
        led.expect("nobody else leads").expect("there is something")
    }

    /// Waits for a service that seals by itself.
    fn wait_until_sealed(&self, position: i64) {
        wait::until(&format!("event {position} is not sealed"), || {
            self.server.metric("signet_audit_sealed_position") >= position as f64
        });
    }

    fn verify(&self) -> Result<Whole, Broken> {
        self.verify_with(&[])
    }

    fn verify_with(&self, noted: &[Head]) -> Result<Whole, Broken> {
        let noted: Vec<Noted> =
            noted.iter().map(|head| Noted { position: head.position, digest: head.digest }).collect();
        block_on(verify::verify(&self.db, &noted))
    }

    #[track_caller]
    fn broken(&self) -> String {
        self.verify().expect_err("it is broken").to_string()
    }

    /// An administrator.
    fn admin(&self) -> Client {
        let client = self.server.client();
        client.register("root@example.com");
        // Events of one millisecond have no order.
        self.server.clock.advance(Duration::from_secs(1));
        self.server.execute("UPDATE users SET roles = 'admin user' WHERE email = 'root@example.com'");
        client.bearer(&client.login("root@example.com").access_token())
    }

    /// What somebody does who owns the tables.
    fn without_triggers(&self, sql: &str) {
        let drops = match self.backend {
            Backend::Postgres => ["events_update", "events_delete", "seals_update", "seals_delete"].map(|name| {
                format!("DROP TRIGGER IF EXISTS audit_{name} ON audit_{}", name.split('_').next().expect("a word"))
            }),
            Backend::Sqlite => ["events_update", "events_delete", "seals_update", "seals_delete"]
                .map(|name| format!("DROP TRIGGER IF EXISTS audit_{name}")),
        };
        for drop in drops {
            self.try_execute(&drop).expect(&drop);
        }
        self.try_execute(sql).expect(sql);
    }

    fn try_execute(&self, sql: &str) -> diesel::QueryResult<()> {
        batch(&mut self.server.database(), sql)
    }

    /// An event's id as SQL, by its place.
    fn id_at(&self, position: i64) -> String {
        format!("(SELECT event_id FROM audit_seals WHERE position = {position})")
    }
}

fn batch(conn: &mut Conn, sql: &str) -> diesel::QueryResult<()> {
    match conn {
        Conn::Pg(c) => c.batch_execute(sql),
        Conn::Sqlite(c) => c.batch_execute(sql),
    }
}

/// A statement that writes an event of somebody's log-in, so many seconds after the oldest one, as if by an instance.
fn inserting(backend: Backend, seconds: i64) -> String {
    let (id, at) = match backend {
        Backend::Postgres => (
            format!(
                "(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint + {seconds}000), 12, '0') || '7000' || '8000' || \
                 right(md5(random()::text), 12))::uuid"
            ),
            format!("at + interval '{seconds} s'"),
        ),
        Backend::Sqlite => (
            format!("unhex(printf('%012x', at / 1000 + {seconds}000) || '70008000' || hex(randomblob(6)))"),
            format!("at + {seconds} * 1000000"),
        ),
    };
    format!(
        "INSERT INTO audit_events SELECT {id}, {at}, 'user_disabled', subject, NULL, NULL, '203.0.113.9', 'x', 'late', detail \
         FROM (SELECT * FROM audit_events ORDER BY id LIMIT 1) AS oldest"
    )
}
