//! What operators and their machines do to a Postgres under a running service. Each time: 503 with Retry-After and never
//! a 4xx or a 500, one clear line and a metric, and afterwards nothing is lost and nothing has to be restarted.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::postgres::{self, Cluster};
use crate::support::program::{Place, Service};
use crate::support::{Answer, Backend, Server, on_both, wait};

/// A service with a role and a database of its own, and a session on it.
struct World {
    cluster: &'static Cluster,
    /// Of the role and of the database.
    name: String,
    _place: Place,
    service: Service,
    access_token: String,
    refresh_token: String,
}

fn world() -> Option<World> {
    if !postgres::is_available() || std::env::var_os("SIGNET_TEST_POSTGRES_URL").is_some() {
        return None;
    }
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let cluster = CLUSTER.get_or_init(|| {
        let cluster = Cluster::start_on_tcp();
        cluster.execute("CREATE ROLE locked");
        cluster.demand_passwords_of("locked");
        cluster
    });
    let name = format!("app{}", NEXT.fetch_add(1, Ordering::Relaxed));
    cluster.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'first' IN ROLE locked"));
    cluster.execute(&format!("CREATE DATABASE {name} OWNER {name}"));
    let url = format!("postgres://{name}:first@{}/{name}", cluster.address());
    let place = Place::ready(&url).with("SIGNET_DATABASE__MAX_WAIT", "1s").with("SIGNET_DATABASE__POOL_SIZE", "3");
    let service = place.serve();
    let session = service.client().register("ada@example.com");
    let (access_token, refresh_token) = (session.access_token(), session.refresh_token());
    Some(World { cluster, name, _place: place, service, access_token, refresh_token })
}

impl World {
    /// Cuts the service's connections, so that it has to make new ones.
    fn cut(&self) {
        self.cluster.execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
            self.name
        ));
    }

    /// A database in use cannot be renamed, and the service comes back at once.
    fn cut_and(&self, sql: &str) {
        self.cluster.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name));
        self.cut();
        wait::until(sql, || self.cluster.try_execute(sql).is_ok());
        let away = sql.rsplit(' ').next().expect("a name");
        self.cluster.execute(&format!("ALTER DATABASE {away} ALLOW_CONNECTIONS true"));
    }

    fn metric(&self, kind: &str) -> f64 {
        let text = self.service.operator().get("/metrics").text;
        let prefix = format!("signet_database_failures_total{{kind=\"{kind}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&prefix)).expect("counted from zero");
        line.parse().expect("a number")
    }

    fn refresh(&self) -> Answer {
        self.service.client().refresh(&self.refresh_token)
    }

    /// Refreshes are answered 503 until the failure of `kind` has been counted, and readiness says what is wrong.
    #[track_caller]
    fn suffers(&mut self, kind: &str, database: &str, line: &str) {
        assert_eq!(self.metric(kind), 0.0);
        wait::until(&format!("no {kind} is counted"), || {
            let answer = self.refresh().expect_problem(503, "unavailable");
            assert!(!answer.header("retry-after").is_empty());
            self.metric(kind) > 0.0
        });
        self.service.wait_for(line);
        wait::until(&format!("not {database}"), || {
            let answer = self.service.operator().get("/health/ready");
            answer.status == 503 && answer.json()["database"] == database
        });
        self.service.operator().get("/health/live").expect(200);
        self.service.client().get("/.well-known/jwks.json").expect(200);
    }

    /// The same token works again.
    #[track_caller]
    fn recovers(&self) {
        let session = wait::until_some(|| {
            let answer = self.refresh();
            if answer.status == 200 {
                Some(answer)
            } else {
                answer.expect_problem(503, "unavailable");
                None
            }
        });
        let session = session.expect("it recovers");
        self.service.client().login("ada@example.com");
        self.service.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200);
        self.gets_ready();
    }

    #[track_caller]
    fn gets_ready(&self) {
        wait::until("it does not get ready again", || self.service.operator().get("/health/ready").status == 200);
    }
}

#[test]
fn a_database_that_became_read_only_is_read_and_comes_back() {
    let Some(mut world) = world() else { return };
    world.cluster.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", world.name));
    world.cut();
    world.suffers("read_only", "read-only", "can be read and not written");
    world.service.client().bearer(&world.access_token).get("/v1/auth/me").expect(200);
    // The connections that are read-only for as long as they live are not kept.
    world.cluster.execute(&format!("ALTER DATABASE {} RESET default_transaction_read_only", world.name));
    // Nor would a balancer send the requests that could find out.
    world.gets_ready();
    world.recovers();
}

#[test]
fn connections_that_died_while_nobody_used_them_do_not_make_it_unready() {
    let Some(world) = world() else { return };
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| world.service.client().bearer(&world.access_token).get("/v1/auth/me").expect(200));
        }
    });
    for _ in 0..3 {
        world.cut();
        std::thread::sleep(Duration::from_millis(1_100));
        world.service.operator().get("/health/ready").expect(200);
    }
}

#[test]
fn a_server_without_connections_to_spare_is_waited_for() {
    let Some(mut world) = world() else { return };
    world.cluster.execute(&format!("ALTER ROLE {} CONNECTION LIMIT 0", world.name));
    world.cut();
    world.suffers("too_many_connections", "unavailable", "takes no more connections");
    world.cluster.execute(&format!("ALTER ROLE {} CONNECTION LIMIT -1", world.name));
    world.recovers();
}

#[test]
fn a_database_that_was_renamed_is_found_again() {
    let Some(mut world) = world() else { return };
    let name = world.name.clone();
    world.cut_and(&format!("ALTER DATABASE {name} RENAME TO {name}_away"));
    world.suffers("rejected", "unavailable", "refuses us");
    world.cluster.execute(&format!("ALTER DATABASE {name}_away RENAME TO {name}"));
    world.recovers();
}

#[test]
fn a_password_that_was_changed_under_the_service_is_told() {
    let Some(mut world) = world() else { return };
    world.cluster.execute(&format!("ALTER ROLE {} PASSWORD 'second'", world.name));
    // The connections that are there go on.
    world.service.client().bearer(&world.access_token).get("/v1/auth/me").expect(200);
    world.cut();
    world.suffers("rejected", "unavailable", "see the user, the password and the database");
    assert!(!world.service.log().join("\n").contains("first"), "no password is told");
    world.cluster.execute(&format!("ALTER ROLE {} PASSWORD 'first'", world.name));
    world.recovers();
}

#[test]
fn a_right_that_was_taken_away_is_told() {
    let Some(mut world) = world() else { return };
    let name = world.name.clone();
    let url = |sql: &str| world.cluster.execute_in(&name, sql);
    url(&format!("REASSIGN OWNED BY {name} TO signet; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}"));
    assert_eq!(world.metric("denied"), 0.0);
    world.refresh().expect_problem(503, "unavailable");
    assert_eq!(world.metric("denied"), 1.0);
    world.service.wait_for("denies this role a right");
    world.cluster.execute_in(&name, &format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}"));
    world.recovers();
}

#[test]
fn instances_on_one_database_that_are_set_up_differently_are_told() {
    let Some(mut world) = world() else { return };
    let warnings = |world: &World| world.service.operator().get("/health/ready").expect(200).json()["warnings"].clone();
    assert_eq!(warnings(&world), serde_json::Value::Null);
    let keys = world._place.path().join("keys").display().to_string();
    let url = format!("postgres://{0}:first@{1}/{0}", world.name, world.cluster.address());
    let like = Place::on(&url).with("SIGNET_KEYS__DIR", &keys).with("SIGNET_DATABASE__POOL_SIZE", "2");
    let another = like.serve();
    another.client().get("/v1/auth/me").expect(401);
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(warnings(&world), serde_json::Value::Null, "another number of connections is nobody's business");
    drop(another);
    let unlike = like.with("SIGNET_SESSION__GRACE", "5s").serve();
    wait::until("it is not noticed", || warnings(&world) != serde_json::Value::Null);
    world.service.wait_for("another instance on this database is configured differently");
    let metrics = world.service.operator().get("/metrics").text;
    assert!(metrics.contains("signet_ready{part=\"agreement\"} 0"), "{metrics}");
    drop(unlike);
}

on_both! {
    fn a_table_that_is_away_is_told_and_comes_back(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        server.execute("ALTER TABLE sessions RENAME TO sessions_away");
        server.client().refresh(&session.refresh_token()).expect_problem(503, "unavailable");
        assert_eq!(server.metric("signet_database_failures_total{kind=\"schema\"}"), 1.0);
        assert_eq!(server.metric("signet_database_failures_total{kind=\"defect\"}"), 0.0);
        server.execute("ALTER TABLE sessions_away RENAME TO sessions");
        server.client().refresh(&session.refresh_token()).expect(200);
    }
}
