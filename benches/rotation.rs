//! One rotation of a refresh token on each database, through the library: all of a refresh but HTTP and the signature.
//!
//! Twice: by the clock, and by the processor time of this process, which on SQLite is all of it and on Postgres the
//! client's share; and what of it is the way to another thread and back. Without a Postgres (see `tests/support/postgres.rs`) only SQLite is measured, and this says so.

use std::path::Path;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use signet::access::role::Roles;
use signet::account::administer;
use signet::account::email::Email;
use signet::account::password::{NewPassword, Password, Subject};
use signet::app::App;
use signet::audit::Actor;
use signet::clock::Clock;
use signet::config::{Config, Secret};
use signet::db::{Url, migrations};
use signet::http::origin::Origin;
use signet::session::login::log_in;
use signet::session::open::Terms;
use signet::session::refresh::{Conditions, refresh};
use signet::session::token::RefreshToken;
use signet::token::key_file;
use tokio::runtime::Runtime;

#[path = "../tests/support/ports.rs"]
mod ports;
#[expect(dead_code, reason = "the tests' own, which do more with it")]
#[path = "../tests/support/postgres.rs"]
mod postgres;
#[path = "../tests/support/wait.rs"]
mod wait;

criterion_group!(by_the_clock, wall_time);
criterion_group!(
    name = by_processor_time;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = processor_time
);
criterion_main!(by_the_clock, by_processor_time);

fn wall_time(criterion: &mut Criterion) {
    rotate(criterion, "rotation");
}

fn processor_time(criterion: &mut Criterion<ProcessorTime>) {
    rotate(criterion, "rotation processor time");
}

fn rotate<M: Measurement + 'static>(criterion: &mut Criterion<M>, name: &str) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut group = criterion.benchmark_group(name);
    // A disk that takes milliseconds to flush would take minutes for the usual hundred samples.
    group.sample_size(20);
    let sqlite = format!("sqlite:{}", dir.path().join("signet.db").display());
    group.bench_function("sqlite", |b| rotate_on(b, sqlite.clone(), dir.path()));
    if postgres::is_available() {
        group.bench_function("postgres", |b| rotate_on(b, postgres::empty_database(), dir.path()));
    }
    group.bench_function("hand-off", hand_off);
    group.finish();
}

/// What it costs that the database is asked on another thread: there and back, with nothing done.
fn hand_off<M: Measurement>(bencher: &mut Bencher<'_, M>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    bencher.iter(|| runtime.block_on(runtime.spawn_blocking(|| ())).expect("it does not panic"));
}

fn rotate_on<M: Measurement>(bencher: &mut Bencher<'_, M>, database: String, dir: &Path) {
    // As the service is: requests on one thread, the database's calls on others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let app = service(database, dir);
    let mut token = session(&runtime, &app);
    bencher.iter(|| {
        let refreshed = refresh(&app, token.clone(), Conditions::default(), Origin::default());
        token = runtime.block_on(refreshed).expect("the newest token").refresh_token;
    });
}

fn service(database: String, dir: &Path) -> App {
    let url: Url = database.parse().expect("our own URL");
    migrations::migrate(&url).expect("an empty database can be migrated");
    let clock = Clock::system();
    let mut config = Config { issuer: "http://localhost:8080".to_owned(), ..Config::default() };
    config.database.url = Secret(database);
    config.keys.dir = dir.join("keys");
    if !config.keys.dir.exists() {
        key_file::create(&config.keys.dir, clock.now(), Duration::ZERO).expect("a key");
    }
    // One user logs in once; that is not what is measured.
    config.hashing.memory_kib = 64;
    config.hashing.iterations = 1;
    App::build(config, clock).expect("the service can be built")
}

/// The first token of a new user's session.
fn session(runtime: &Runtime, app: &App) -> RefreshToken {
    let email = Email::parse(&format!("{}@bench.example", std::process::id())).expect("an address");
    let password = Password::parse("correct horse battery").expect("a password");
    let subject = Subject { email: &email, name: None, issuer: "" };
    let accepted = NewPassword::accept(password.clone(), 8, &subject).expect("a good one");
    runtime.block_on(async {
        // A second pass finds the user of the first.
        let by = Actor::operator();
        drop(administer::create(&app.db, &app.hasher, by, email.clone(), None, Some(&accepted), Roles::user()).await);
        let terms = Terms::first_party(app, None);
        log_in(app, email, &password, terms, Origin::default()).await.expect("the user is there").grant.refresh_token
    })
}

/// The processor time that all threads of this process have used.
struct ProcessorTime;

fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

static WALL_TIME: WallTime = WallTime;

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        used()
    }
    fn end(&self, begun: Duration) -> Duration {
        used() - begun
    }
    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }
    fn zero(&self) -> Duration {
        Duration::ZERO
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e9
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        WALL_TIME.formatter()
    }
}

/// What `postgres` says when there is none.
fn say(line: &str) {
    eprintln!("{line}");
}
