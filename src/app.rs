//! The composition root: everything that a request may need, built once; and the two listeners, run until told to stop.

use std::net::{SocketAddr, TcpListener};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App as Actix, HttpServer};
use tracing_actix_web::TracingLogger;

use crate::access::rights::Rights;
use crate::account::breached::Breached;
use crate::api_key::presented::KeyNotes;
use crate::clock::{Clock, disagreement};
use crate::config::{Config, variable_of};
use crate::db::{self, Db, Gather, Url, migrations};
use crate::hasher::Hasher;
use crate::http::health::Health;
use crate::http::progress::{self, Patience};
use crate::http::respond::respond;
use crate::http::span::RequestSpan;
use crate::jobs;
use crate::machine;
use crate::mail::Mail;
use crate::metrics::Metrics;
use crate::mfa::seal::SealingKeys;
use crate::routes::{self, Route};
use crate::session::family::Rules;
use crate::session::rotation;
use crate::token::issue::Issuer;
use crate::token::keys::{self, Keys};
use crate::token::verify::Verifier;
use crate::webhook;

/// What a running service consists of.
pub struct App {
    /// As checked at start.
    pub config: Config,
    /// Users, sessions, audit.
    pub db: Db,
    /// Refreshes that are on their way to it.
    pub rotations: Gather<rotation::Ask, rotation::Answer>,
    /// Password hashing.
    pub hasher: Hasher,
    /// Passwords that nobody may choose, if there is a file of them.
    pub breached: Option<Breached>,
    /// What the secrets of second factors are sealed with.
    pub sealing_keys: SealingKeys,
    /// Mails to users.
    pub mail: Mail,
    /// Signing keys and the JWKS.
    pub keys: Keys,
    /// Issues tokens.
    pub issuer: Issuer,
    /// Verifies our own.
    pub verifier: Verifier,
    /// What users may do, by their roles.
    pub rights: Arc<Rights>,
    /// Writes down that API keys are used.
    pub key_notes: KeyNotes,
    /// The time outside transactions.
    pub clock: Clock,
    /// What operators scrape.
    pub metrics: Metrics,
    /// Wakes the job that delivers webhooks.
    pub webhooks: webhook::Bell,
    /// Set when the service is about to stop, so that it is not sent any more work.
    pub draining: AtomicBool,
    /// What readiness was answered last.
    pub health: Health,
    /// Whether the log has been told of a proxy that is missing in the configuration.
    pub unknown_proxy_told: AtomicBool,
}

/// Why a service cannot start; one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Values of the configuration.
    #[error("the configuration is invalid: {}", .0.join("; "))]
    Config(Vec<String>),
    /// The machine, or the database as it is set up.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// The database or its schema.
    #[error(transparent)]
    Database(#[from] migrations::Error),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] keys::OpenError),
    /// A listener.
    #[error("cannot listen on {address}: {error}; set `{key}` ({variable}) to another", variable = variable_of(key))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
        /// What says where.
        key: &'static str,
    },
    /// A thread or a signal handler.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

impl App {
    /// Builds the service: checks the configuration, reaches the database, reads the keys. Nothing listens yet.
    ///
    /// # Errors
    /// The first thing that keeps it from serving.
    pub fn build(config: Config, clock: Clock) -> Result<Self, StartError> {
        let findings = config.findings();
        if !findings.is_empty() {
            return Err(StartError::Config(findings));
        }
        let url: Url = config.database.url.0.parse().expect("the configuration was checked");
        let now = clock.now();
        let inspection = db::inspect(&url, config.database.pool_size)?;
        inspection.schema.require_current(&url)?;
        let refused = [machine::findings(&config, now), inspection.errors].concat();
        if !refused.is_empty() {
            return Err(StartError::Refused(refused));
        }
        let mail = Mail::open(&config).map_err(|finding| StartError::Config(vec![finding]))?;
        let breached =
            Breached::open(&config.password.breached_file).map_err(|finding| StartError::Config(vec![finding]))?;
        let metrics = Metrics::default();
        // The revision is what whoever builds says it is: asking Git here would make builds differ by their checkout.
        let revision = option_env!("SIGNET_REVISION").filter(|name| !name.is_empty()).unwrap_or("unknown");
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        routes::count_from_zero(&metrics);
        let keys = Keys::open(config.keys.dir.clone(), config.token.access_ttl.0, now, metrics.clone())?;
        // Last, so that a service that cannot start says why and nothing else.
        let apart = inspection.time.and_then(|time| disagreement(time.as_seconds() - now.as_seconds()));
        let warnings = config.warnings().into_iter().chain(inspection.warnings).chain(apart);
        for warning in warnings.chain(keys.warnings()) {
            tracing::warn!("{warning}");
        }
        let database = &config.database;
        let url = url.named(&format!("{}{}", db::NAME_PREFIX, config.agreement()));
        Ok(Self {
            db: Db::open(url, database.pool_size, database.max_wait.0, clock.clone(), metrics.clone()),
            rotations: rotation::gather(config.session.idle_ttl.0),
            hasher: Hasher::start(&config.hashing, metrics.clone())?,
            sealing_keys: SealingKeys::of(&config.mfa),
            issuer: Issuer::new(&config, keys.ring()),
            verifier: Verifier::new(&config, keys.ring()),
            rights: Arc::new(config.rights()),
            key_notes: KeyNotes::default(),
            breached,
            mail,
            keys,
            clock,
            metrics,
            webhooks: webhook::Bell::default(),
            draining: AtomicBool::new(false),
            health: Health::default(),
            unknown_proxy_told: AtomicBool::new(false),
            config,
        })
    }

    /// The state table's times.
    pub fn rules(&self) -> Rules {
        let session = &self.config.session;
        Rules {
            grace: session.grace.0,
            recovery: session.recovery.map(|recovery| recovery.0),
            idle_ttl: session.idle_ttl.0,
            max_ttl: session.max_ttl.0,
        }
    }
}

/// The sockets of a service, bound before anything else: a port that is taken is known at once, and with port 0 the
/// issuer can be derived from the port that was given.
pub struct Listeners {
    public: TcpListener,
    management: TcpListener,
}

impl Listeners {
    /// Binds both.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let bind =
            |address, key| TcpListener::bind(address).map_err(|error| StartError::Listen { address, error, key });
        let public = bind(config.public.listen, "public.listen")?;
        Ok(Self { public, management: bind(config.management.listen, "management.listen")? })
    }

    /// Where the API listens.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn public(&self) -> std::io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Where operators look.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn management(&self) -> std::io::Result<SocketAddr> {
        self.management.local_addr()
    }
}

/// A request's head arrives in this time, from when the connection was made or the last request was answered, or not at all.
const PATIENCE: Patience = Patience::of_seconds(10);
/// The framework's own times for a head and for silence are none: see [`progress`].
const NO_TIMEOUT: Duration = Duration::ZERO;
const NO_KEEP_ALIVE_TIMEOUT: KeepAlive = KeepAlive::Os;
/// Nobody waits long for what operators ask.
const MANAGEMENT_DEADLINE: Duration = Duration::from_secs(1);

/// A service that listens.
pub struct Running {
    app: Data<App>,
    public: Server,
    management: Server,
}

impl Running {
    /// Begins to listen. Must be called in an actix system.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn start(app: App, listeners: Listeners) -> std::io::Result<Self> {
        let workers = match app.config.public.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        };
        let app = Data::new(app);
        Ok(Self {
            public: serve(&app, routes::PUBLIC, listeners.public, workers, app.config.shutdown.deadline.0)?,
            management: serve(&app, routes::MANAGEMENT, listeners.management, 1, MANAGEMENT_DEADLINE)?,
            app,
        })
    }

    /// Stops the service from elsewhere.
    pub fn stopper(&self) -> Stopper {
        Stopper { app: Data::clone(&self.app), handles: [self.public.handle(), self.management.handle()] }
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    /// If a listener fails.
    pub async fn run(self) -> std::io::Result<()> {
        let jobs = jobs::start(&self.app);
        let (public, management) = futures_util::future::join(self.public, self.management).await;
        drop(jobs);
        // Whoever copies the file of a service that has ended gets all of it; a disk that hangs keeps nobody waiting.
        let _ = tokio::time::timeout(CHECKPOINT_PATIENCE, self.app.db.checkpoint()).await;
        public.and(management)
    }
}

/// How long the end waits for SQLite's log to be written into its file.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(2);

/// Stops a running service.
pub struct Stopper {
    app: Data<App>,
    handles: [ServerHandle; 2],
}

impl Stopper {
    /// Reads the keys again.
    pub fn reload_keys(&self) {
        self.app.keys.reload(self.app.clock.now());
    }

    /// Says that it is about to stop: readiness is refused, and every answer ends its connection. All is served still.
    pub fn drain(&self) {
        self.app.draining.store(true, Ordering::SeqCst);
    }

    /// Takes no more connections, finishes what is under way, and ends. The management listener goes last, so that it
    /// can say "draining" meanwhile.
    pub async fn stop(&self) {
        self.drain();
        let [public, management] = &self.handles;
        public.stop(true).await;
        management.stop(true).await;
    }

    /// Ends at once, whatever is under way.
    pub async fn halt(&self) {
        let [public, management] = &self.handles;
        futures_util::future::join(public.stop(false), management.stop(false)).await;
    }
}

fn serve(
    app: &Data<App>,
    routes: &'static [Route],
    listener: TcpListener,
    workers: usize,
    deadline: Duration,
) -> std::io::Result<Server> {
    let app = Data::clone(app);
    let server = HttpServer::new(move || {
        Actix::new()
            .app_data(Data::clone(&app))
            .configure(|actix| routes::register(routes, &app.config, actix))
            .wrap(from_fn(respond))
            .wrap(TracingLogger::<RequestSpan>::new())
    })
    .workers(workers)
    .client_request_timeout(NO_TIMEOUT)
    .keep_alive(NO_KEEP_ALIVE_TIMEOUT)
    .on_connect(progress::watch(PATIENCE))
    .shutdown_timeout(deadline.as_secs() + u64::from(deadline.subsec_nanos() > 0))
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}
