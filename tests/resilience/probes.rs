//! What a probe is told, and how fast, while the database is not well. Kubernetes gives a probe one second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::network::{World, world_with};
use crate::support::{Answer, Backend, Server, on_both, wait};

const SECOND: Duration = Duration::from_secs(1);

/// An answer that came within a second. A machine that has other things to do may keep one waiting now and then; whoever
/// waits for the database keeps all of them.
#[track_caller]
fn ask(world: &World, path: &str) -> Answer {
    let in_time = || {
        let begun = Instant::now();
        let answer = world.service.operator().get(path);
        (begun.elapsed() < SECOND).then_some(answer)
    };
    (0..10).find_map(|_| in_time()).expect("an answer within a second, once in ten times")
}

#[test]
fn a_frozen_database_makes_it_unready_within_a_second_and_it_stays_alive() {
    let Some(world) = world_with("4") else { return };
    ask(&world, "/health/ready").expect(200);
    world.proxy.swallow(true);
    // What was seen or done a moment ago still counts.
    std::thread::sleep(Duration::from_millis(2_100));
    for _ in 0..6 {
        let answer = ask(&world, "/health/ready").expect(503);
        assert_eq!(answer.json()["database"], "unavailable");
        ask(&world, "/health/live").expect(200);
    }
    world.proxy.swallow(false);
    world.proxy.cut();
    wait::until("it does not get ready again", || ask(&world, "/health/ready").status == 200);
    let log = world.service.log().join("\n");
    assert_eq!(log.matches("not ready to serve").count(), 1, "one line, not one for each probe: {log}");
}

#[test]
fn a_database_that_is_gone_makes_it_unready_within_a_second_and_it_stays_alive() {
    let Some(world) = world_with("4") else { return };
    world.proxy.refuse(true);
    world.proxy.cut();
    std::thread::sleep(Duration::from_millis(2_100));
    for _ in 0..3 {
        assert_eq!(ask(&world, "/health/ready").expect(503).json()["status"], "not ready");
        ask(&world, "/health/live").expect(200);
    }
    world.service.client().get("/.well-known/jwks.json").expect(200);
}

#[test]
fn a_frozen_database_does_not_keep_it_from_ending() {
    let Some(world) = world_with("4") else { return };
    let session = world.service.client().register("ada@example.com");
    world.proxy.swallow(true);
    let client = world.service.client();
    let body = serde_json::json!({"refresh_token": session.refresh_token()});
    std::thread::scope(|scope| {
        scope.spawn(|| client.try_post("/v1/auth/refresh", &body));
        std::thread::sleep(Duration::from_millis(300));
        world.service.signal("TERM");
        assert_eq!(world.service.end().0, Some(0));
    });
}

/// All instances are busy in the same storm: if that made them unready there would be none.
#[test]
fn a_pool_that_is_used_up_while_work_gets_done_is_busy_and_ready() {
    let Some(world) = world_with("1") else { return };
    let client = world.service.client();
    let tokens: Vec<String> =
        (0..4).map(|number| client.register(&format!("u{number}@example.com")).refresh_token()).collect();
    world.proxy.delay(Duration::from_millis(250));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for mut token in tokens {
            let (client, is_over) = (&client, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let answer = client.refresh(&token);
                    if answer.status == 200 {
                        token = answer.refresh_token();
                    }
                }
            });
        }
        // Also if an answer is not what it should be: the clients must end.
        let _end = OnEnd(&is_over);
        std::thread::sleep(SECOND);
        let answers: Vec<Answer> = (0..5).map(|_| ask(&world, "/health/ready")).collect();
        for answer in &answers {
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        assert!(answers.iter().any(|answer| answer.json()["database"] == "busy"), "{answers:?}");
    });
}

/// Tells others to end when it goes.
pub struct OnEnd<'a>(pub &'a AtomicBool);

impl Drop for OnEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

on_both! {
    fn probes_from_many_sides_cost_the_database_one_look_a_second(backend) {
        let server = Server::start(backend);
        let begun = Instant::now();
        for _ in 0..40 {
            server.operator().get("/health/ready").expect(200);
        }
        let seconds = begun.elapsed().as_secs_f64();
        let looks = server.metric("signet_database_transaction_duration_seconds_count{name=\"health.ready\"}");
        assert!((1.0..=seconds + 1.0).contains(&looks), "{looks} looks in {seconds} s");
    }
}

#[test]
fn log_ins_that_wait_too_long_are_told_and_leave_the_service_ready() {
    let server = Server::start_with(Backend::Sqlite, |config| {
        config.hashing.memory_kib = 128 * 1024;
        config.hashing.iterations = 4;
        config.hashing.max_wait.0 = Duration::from_millis(100);
        config.public.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    });
    std::thread::scope(|scope| {
        for number in 0..8 {
            // One address alone would only keep itself waiting.
            let client = server.client().with("x-forwarded-for", &format!("192.0.2.{number}"));
            scope.spawn(move || {
                client.post(
                    "/v1/auth/login",
                    &serde_json::json!({"email": "a@example.com", "password": "whatever it is"}),
                )
            });
        }
        let told =
            (0..10_000).any(|_| server.operator().get("/health/ready").expect(200).json()["hashing"] == "saturated");
        assert!(told, "while they wait");
        assert_eq!(server.metric("signet_ready{part=\"hashing\"}"), 0.0);
    });
    assert_eq!(server.operator().get("/health/ready").expect(200).json()["hashing"], "ok");
}
