//! A bad network between the service and Postgres.

use std::time::{Duration, Instant};

use super::proxy::Proxy;
use crate::support::postgres::{self, Cluster};
use crate::support::program::{Place, Service};
use crate::support::{Answer, wait};

pub struct World {
    _cluster: Cluster,
    pub proxy: Proxy,
    _place: Place,
    pub service: Service,
}

fn world() -> Option<World> {
    world_with("4")
}

/// A service with so many connections through a proxy.
pub fn world_with(pool_size: &str) -> Option<World> {
    if !postgres::is_available() || std::env::var_os("SIGNET_TEST_POSTGRES_URL").is_some() {
        return None;
    }
    let cluster = Cluster::start_on_tcp();
    let proxy = Proxy::start(&cluster.address());
    let url = format!("postgres://signet@{}/{}", proxy.address, cluster.database());
    let place = Place::ready(&url)
        .with("SIGNET_DATABASE__MAX_WAIT", "1s")
        .with("SIGNET_DATABASE__POOL_SIZE", pool_size)
        .with("SIGNET_SHUTDOWN__DEADLINE", "1s");
    let service = place.serve();
    Some(World { _cluster: cluster, proxy, _place: place, service })
}

impl World {
    /// Refreshes until it works again; every answer on the way must be 503.
    fn recovers(&self, token: &str) -> Answer {
        let answer = wait::until_some(|| {
            let answer = self.service.client().refresh(token);
            assert!([200, 503].contains(&answer.status), "{}", answer.text);
            Some(answer).filter(|answer| answer.status == 200)
        });
        answer.expect("it recovers")
    }
}

#[test]
fn a_slow_network_is_slow_and_nothing_else() {
    let Some(world) = world() else { return };
    let session = world.service.client().register("ada@example.com");
    world.proxy.delay(Duration::from_millis(200));
    let next = world.service.client().refresh(&session.refresh_token()).expect(200);
    world.service.client().bearer(&next.access_token()).get("/v1/auth/me").expect(200);
}

#[test]
fn a_commit_whose_answer_was_cut_off_is_never_reported_as_refused() {
    let Some(world) = world() else { return };
    let mut token = world.service.client().register("ada@example.com").refresh_token();
    for bytes in [1, 20, 60, 100, 200, 400] {
        world.proxy.cut_after(bytes);
        let answer = world.service.client().refresh(&token);
        assert!([200, 503].contains(&answer.status), "{}", answer.text);
        if answer.status == 200 {
            token = answer.refresh_token();
        }
        // The client goes on with the last token it was given, whatever became of the commit.
        token = world.recovers(&token).refresh_token();
    }
}

#[test]
fn connections_that_are_all_cut_are_replaced() {
    let Some(world) = world() else { return };
    let mut token = world.service.client().register("ada@example.com").refresh_token();
    for _ in 0..3 {
        world.proxy.cut();
        token = world.recovers(&token).refresh_token();
    }
    world.proxy.refuse(true);
    world.proxy.cut();
    for _ in 0..3 {
        let answer = world.service.client().refresh(&token);
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(!answer.header("retry-after").is_empty());
    }
    world.proxy.refuse(false);
    world.recovers(&token);
}

#[test]
fn a_network_that_swallows_everything_costs_each_request_no_more_than_its_deadline() {
    let Some(world) = world() else { return };
    let token = world.service.client().register("ada@example.com").refresh_token();
    world.proxy.swallow(true);
    let client = world.service.client();
    let slowest = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12)
            .map(|_| {
                scope.spawn(|| {
                    let begun = Instant::now();
                    let answer = client.refresh(&token);
                    assert_eq!(answer.status, 503, "{}", answer.text);
                    begun.elapsed()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("answered")).max().expect("twelve")
    });
    assert!(slowest < Duration::from_secs(60), "{slowest:?}");
    client.get("/.well-known/jwks.json").expect(200);
    // What was swallowed never comes; when those connections end, the turns that waited for them come back.
    world.proxy.swallow(false);
    world.proxy.cut();
    world.recovers(&token);
    let metrics = world.service.operator().get("/metrics").text;
    assert!(metrics.contains("signet_database_connections_in_use 0"), "no connection leaks");
}
