//! A service to test: in this process, on a clock that stands still until a test moves it, or on the machine's.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use signet::account::administer;
use signet::account::email::Email;
use signet::app::{App, Listeners, Running};
use signet::audit::Actor;
use signet::cleanup::{self, Limits, Removed};
use signet::clock::{Clock, Timestamp};
use signet::config::{Config, Period, Secret};
use signet::db::{Conn, Db, Url, migrations};
use signet::metrics::Metrics;
use signet::token::key_file;
use tempfile::TempDir;

use super::{Client, block_on, postgres, secrets};

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    /// The URL of a new, migrated database. SQLite's file is in `dir`.
    pub fn database(self, dir: &Path) -> String {
        match self {
            Self::Postgres => postgres::database(),
            Self::Sqlite => {
                let path = dir.join("signet.db");
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).expect("our folder");
                file.write_all(migrated_file()).expect("our folder");
                format!("sqlite:{}", path.display())
            }
        }
    }
}

/// SQLite's file after the migrations. They run once: a copy of the file is a database of its own.
fn migrated_file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("signet.db");
        let url = format!("sqlite:{}", path.display()).parse().expect("our own URL");
        migrations::migrate(&url).expect("an empty database can be migrated");
        std::fs::read(path).expect("its file")
    })
}

/// A service of its own, stopped and forgotten at the end of the test.
pub struct Server {
    /// `http://127.0.0.1:PORT`, which is also the issuer.
    pub url: String,
    pub management_url: String,
    pub clock: Clock,
    pub config: Config,
    /// Ended before its folder is removed: fields are dropped in order.
    _instance: Instance,
    pub dir: TempDir,
}

/// Time stands here when a service starts: 2026-11-21T10:00:00Z and a fraction, so that nothing is exact by accident.
pub const START: Timestamp = Timestamp::from_micros(1_795_255_200_123_456);

impl Server {
    pub fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| {})
    }

    /// Starts with a changed configuration.
    pub fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(backend, Clock::manual(START), change)
    }

    /// Starts with a changed configuration, so long after a time that was written down in microseconds.
    pub fn start_then(backend: Backend, micros: i64, later: Duration, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(backend, Clock::manual(Timestamp::from_micros(micros) + later), change)
    }

    /// Starts on the machine's clock, for clients that have no other.
    pub fn start_on_system_clock(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(backend, Clock::system(), change)
    }

    fn start_at(backend: Backend, clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::default();
        config.database.url = Secret(backend.database(dir.path()));
        config.keys.dir = dir.path().join("keys");
        key_file::create(&config.keys.dir, clock.now(), Duration::ZERO).expect("a key");
        Self::start_on(config, dir, clock, change)
    }

    /// A second instance: the same database and keys, and its own clock.
    pub fn start_beside(first: &Self, clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let config = first.config.clone();
        Self::start_on(config, tempfile::tempdir().expect("a temporary folder"), clock, change)
    }

    fn start_on(mut config: Config, dir: TempDir, clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        config.public.listen = ([127, 0, 0, 1], 0).into();
        config.management.listen = ([127, 0, 0, 1], 0).into();
        config.public.workers = 1;
        config.database.pool_size = 4;
        // Cheap on purpose: what a hash costs is not what most tests are about.
        config.hashing.memory_kib = 64;
        config.hashing.iterations = 1;
        config.hashing.threads = 1;
        // How fast the machine is today is not, either.
        config.hashing.max_wait = Period(Duration::from_secs(30));
        config.database.max_wait = Period(Duration::from_secs(30));
        // Nothing leaves behind a test's back.
        config.cleanup.enabled = false;
        config.audit.seal_interval = Period(Duration::from_secs(45));
        let listeners = Listeners::bind(&config).expect("a free port");
        let url = format!("http://{}", listeners.public().expect("bound"));
        let management_url = format!("http://{}", listeners.management().expect("bound"));
        if config.issuer.is_empty() {
            config.issuer.clone_from(&url);
        }
        change(&mut config);
        secrets::watch();
        secrets::note_config(&config);
        let instance = Instance::launch(&config, &clock, listeners);
        Self { url, management_url, clock, config, dir, _instance: instance }
    }

    /// Ends the service and starts it again on what it left behind, at another port.
    pub fn restart(&mut self) {
        let listeners = Listeners::bind(&self.config).expect("a free port");
        self.url = format!("http://{}", listeners.public().expect("bound"));
        self.management_url = format!("http://{}", listeners.management().expect("bound"));
        self._instance.end();
        self._instance = Instance::launch(&self.config, &self.clock, listeners);
    }

    /// A client without any token.
    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// A client of the management listener.
    pub fn operator(&self) -> Client {
        Client::new(&self.management_url)
    }

    /// A connection of the test's own.
    pub fn database(&self) -> Conn {
        let url: Url = self.config.database.url.0.parse().expect("our own URL");
        let mut connection = url.connect().expect("the database is there");
        if let Conn::Pg(c) = &mut connection {
            // A request's time is not a test's.
            c.batch_execute("SET statement_timeout = 0").expect("a setting");
        }
        connection
    }

    /// The single text of a query that calls it `value`.
    pub fn query_text(&self, sql: &str) -> String {
        self.query_texts(sql).pop().expect(sql)
    }

    /// All texts of a query that calls them `value`.
    pub fn query_texts(&self, sql: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::Text)]
            value: String,
        }
        self.load::<Row>(sql).into_iter().map(|row| row.value).collect()
    }

    /// The single number of a query that calls it `value`.
    pub fn query_number(&self, sql: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            value: i64,
        }
        self.load::<Row>(sql).pop().expect(sql).value
    }

    /// How many rows a table has, or those of it that a condition names.
    pub fn count(&self, what: &str) -> i64 {
        self.query_number(&format!("SELECT count(*) AS value FROM {what}"))
    }

    fn load<Row: QueryableByName<Pg> + QueryableByName<Sqlite> + 'static>(&self, sql: &str) -> Vec<Row> {
        let query = diesel::sql_query(sql);
        match &mut self.database() {
            Conn::Pg(c) => query.load(c),
            Conn::Sqlite(c) => query.load(c),
        }
        .expect(sql)
    }

    /// Runs a statement behind the service's back.
    pub fn execute(&self, sql: &str) -> usize {
        let query = diesel::sql_query(sql);
        match &mut self.database() {
            Conn::Pg(c) => query.execute(c),
            Conn::Sqlite(c) => query.execute(c),
        }
        .expect(sql)
    }

    /// Sets a user's roles as an operator does.
    pub fn set_roles(&self, email: &str, roles: &str) {
        let (email, roles) = (Email::parse(email).expect("an address"), roles.parse().expect("roles"));
        let db = self.operators_db();
        block_on(administer::set_roles(&db, Actor::operator(), email, roles)).expect("there is such a user");
    }

    /// The database as an operator's command opens it; what happens in a transaction happens on the service's clock.
    pub fn operators_db(&self) -> Db {
        let url = self.config.database.url.0.parse().expect("our own URL");
        Db::open(url, 1, Duration::from_secs(10), self.clock.clone(), Metrics::default())
    }

    /// One pass of `signet cleanup` at the service's time, however far a test has moved it.
    pub fn sweep(&self) -> Removed {
        let (db, limits) = (self.operators_db(), Limits::at(self.clock.now(), &self.config));
        block_on(async {
            let mut leader = db.lead(cleanup::LOCK).await.expect("reached").expect("nobody else is at it");
            cleanup::sweep(&mut leader, limits, &Metrics::default()).await.expect("sweeps")
        })
    }

    /// The kinds of all audit events, oldest first.
    pub fn audit(&self) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::Text)]
            kind: String,
        }
        let rows: Vec<Row> = self.load("SELECT kind FROM audit_events ORDER BY at, id");
        rows.into_iter().map(|row| row.kind).collect()
    }

    /// How many audit events of a kind there are.
    pub fn audited(&self, kind: &str) -> usize {
        self.audit().iter().filter(|own| *own == kind).count()
    }

    /// The value of a metric, by its full line up to the value; 0 if it has not been counted yet.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.operator().get("/metrics").text;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }
}

/// A service at work on a thread.
struct Instance {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Instance {
    fn launch(config: &Config, clock: &Clock, listeners: Listeners) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let (config, clock) = (config.clone(), clock.clone());
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = App::build(config, clock).expect("the service can be built");
                let running = Running::start(app, listeners).expect("the service can listen");
                let stopper = running.stopper();
                tokio::task::spawn(async move {
                    let _ = stopped.await;
                    stopper.halt().await;
                });
                ready.send(()).expect("the test waits");
                running.run().await.expect("the service ends well");
            });
        });
        is_ready.recv().expect("the service has started");
        Self { stop: Some(stop), thread: Some(thread) }
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.end();
    }
}
