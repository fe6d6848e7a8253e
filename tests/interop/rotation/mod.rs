//! Keys change under load and nobody notices: two instances on one key folder and one database issue tokens all the time,
//! and verifiers with caches of their own verify each of them, and old ones again, through three rotations.
//!
//! Real caches hold the JWKS for minutes, so time is compressed: the lead of a new key, which is 15 minutes at the least,
//! takes [`Scale::lead`], and every cache is as much shorter. `SIGNET_TEST_ROTATION_LEAD=15m` is true to life and takes
//! 45 minutes.  The other tests do what must not be done, and demand that the same set-up sees it.

mod front;
mod gateway;
mod load;
mod verifiers;

use std::time::Duration;

use signet::clock::Clock;
use signet::token::key_file;
use signet::token::schedule::MIN_LEAD;
use tempfile::TempDir;

use self::front::Front;
use self::load::Load;
use super::AUDIENCE;
use crate::support::program::{Place, Service};
use crate::support::{Backend, Value, postgres};

/// How much shorter than in life everything takes.
#[derive(Clone, Copy)]
struct Scale {
    lead: Duration,
}

impl Scale {
    fn wanted() -> Self {
        let wanted = std::env::var("SIGNET_TEST_ROTATION_LEAD").ok();
        let lead = wanted.map(|text| humantime::parse_duration(&text).expect("a duration like 15m"));
        Self { lead: lead.unwrap_or(Duration::from_secs(6)) }
    }

    fn is_true_to_life(self) -> bool {
        self.lead >= MIN_LEAD
    }

    /// What takes `span` in life.
    fn of(self, span: Duration) -> Duration {
        span.mul_f64((self.lead.as_secs_f64() / MIN_LEAD.as_secs_f64()).min(1.0))
    }
}

/// Two instances behind a front, which is also the issuer.
struct Cluster {
    place: Place,
    instances: [Service; 2],
    front: Front,
    scale: Scale,
    /// Where SQLite's file is.
    _dir: TempDir,
}

impl Cluster {
    fn start() -> Self {
        let scale = Scale::wanted();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let backend = if postgres::is_available() { Backend::Postgres } else { Backend::Sqlite };
        let front = Front::start(scale);
        let place = Place::ready(&backend.database(dir.path()))
            .with("SIGNET_ISSUER", &front.url)
            .with("SIGNET_AUDIENCE", AUDIENCE)
            .with("SIGNET_LOG__LEVEL", "info");
        let instances = [place.serve(), place.serve()];
        front.serve([&instances[0].url, &instances[1].url]);
        Self { place, instances, front, scale, _dir: dir }
    }

    /// The instances read the folder: at once when time is compressed, or else in their own good time.
    fn reload(&self) {
        if !self.scale.is_true_to_life() {
            self.instances.iter().for_each(|instance| instance.signal("HUP"));
        }
    }

    fn keys(&self) -> Vec<Value> {
        serde_json::from_str(&self.place.succeed(&["keys", "list", "--json"])).expect("JSON")
    }

    fn kid_of(&self, state: &str) -> String {
        let keys = self.keys();
        let found = keys.iter().find(|key| key["state"] == state).unwrap_or_else(|| panic!("no key is {state}"));
        found["kid"].as_str().expect("a kid").to_owned()
    }

    fn rotate(&self) {
        let lead = format!("{}s", self.scale.lead.as_secs());
        let force = if self.scale.is_true_to_life() { &[][..] } else { &["--force"][..] };
        self.place.succeed(&[&["keys", "rotate", "--activate-in", &lead], force].concat());
        self.reload();
    }
}

#[test]
fn three_rotations_under_load_and_no_token_is_refused() {
    let mut cluster = Cluster::start();
    let load = Load::start(&cluster);
    let mut signers = vec![cluster.kid_of("signing")];
    for _ in 0..3 {
        load.wait_for_a_token_of(signers.last().expect("one"), Duration::from_secs(30));
        cluster.rotate();
        let next = cluster.kid_of("scheduled");
        load.wait_for_a_token_of(&next, cluster.scale.lead + Duration::from_secs(30));
        signers.push(next);
    }
    // Whoever lacks the last key refuses at once; this is for what comes late.
    std::thread::sleep(cluster.scale.of(Duration::from_secs(600)).min(Duration::from_secs(10)));
    let report = load.end();
    crate::support::say(&format!("Rotation under load: {report}"));
    assert_eq!(report.failures(), Vec::<String>::new());
    report.demand_work(&signers);
    for instance in &mut cluster.instances {
        assert_eq!(instance.child.try_wait().expect("our own child"), None, "no instance was restarted");
        let text = instance.operator().get("/metrics").text;
        assert!(text.contains("signet_key_reload_failures_total 0"));
    }
}

/// The shortest way to lose tokens: a key that signs in the moment it appears. Several, so that one of them surely appears
/// while a cache is fresh.
#[test]
fn signing_early_is_seen() {
    let cluster = Cluster::start();
    let load = Load::start(&cluster);
    load.wait_for_a_token_of(&cluster.kid_of("signing"), Duration::from_secs(30));
    load.warm_up();
    let early = [(); 3].map(|()| {
        let dir = cluster.place.path().join("keys");
        let key = key_file::create_at(&dir, Clock::system().now()).expect("a key");
        cluster.instances.iter().for_each(|instance| instance.signal("HUP"));
        load.wait_for_a_token_of(&key.kid, Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(1_100));
        key.kid
    });
    load.end().demand_failures(&["Rust, obeying Cache-Control"], &early);
}

#[test]
fn dropping_early_is_seen() {
    let cluster = Cluster::start();
    let load = Load::start(&cluster);
    let old = cluster.kid_of("signing");
    load.wait_for_a_token_of(&old, Duration::from_secs(30));
    cluster.rotate();
    let next = cluster.kid_of("scheduled");
    load.wait_for_a_token_of(&next, cluster.scale.lead + Duration::from_secs(30));
    let keys = cluster.keys();
    let file = keys.iter().find(|key| key["kid"] == old.as_str()).expect("it is retained")["file"].as_str();
    std::fs::remove_file(cluster.place.path().join("keys").join(file.expect("a file"))).expect("removed");
    cluster.reload();
    std::thread::sleep(cluster.scale.of(Duration::from_secs(600)) + Duration::from_secs(1));
    load.end().demand_failures(&["PyJWT", "jose", "Rust, obeying Cache-Control", "either instance"], &[old]);
}

/// The drill of the runbook, when a key is scheduled: whoever kept the JWKS knows the next signer, so that nobody refuses a
/// new token; what the revoked key signed is refused as soon as a verifier looks.
#[test]
fn revoking_while_a_key_is_scheduled_costs_nobody_a_new_token() {
    let cluster = Cluster::start();
    let load = Load::start(&cluster);
    let stolen = cluster.kid_of("signing");
    load.wait_for_a_token_of(&stolen, Duration::from_secs(30));
    cluster.place.succeed(&["keys", "rotate"]);
    let next = cluster.kid_of("scheduled");
    cluster.reload();
    std::thread::sleep(cluster.scale.of(Duration::from_secs(900)));
    cluster.place.succeed(&["keys", "revoke", "--yes", &stolen]);
    cluster.reload();
    load.wait_for_a_token_of(&next, Duration::from_secs(30));
    std::thread::sleep(cluster.scale.of(Duration::from_secs(600)) + Duration::from_secs(1));
    load.end().demand_failures(&["PyJWT", "jose", "Rust, obeying Cache-Control", "either instance"], &[stolen]);
}

/// The lead is as it should be, but a cache was told to keep the JWKS for longer.
#[test]
fn a_max_age_that_outlives_the_activation_is_seen() {
    let cluster = Cluster::start();
    cluster.front.promise_max_age(MIN_LEAD);
    let load = Load::start(&cluster);
    load.wait_for_a_token_of(&cluster.kid_of("signing"), Duration::from_secs(30));
    load.warm_up();
    cluster.rotate();
    let next = cluster.kid_of("scheduled");
    load.wait_for_a_token_of(&next, cluster.scale.lead + Duration::from_secs(30));
    std::thread::sleep(Duration::from_secs(1));
    load.end().demand_failures(&["Rust, obeying Cache-Control"], &[next]);
}
