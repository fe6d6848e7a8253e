//! Removal against those who still use what is being removed.

use std::sync::Barrier;
use std::time::Duration;

use signet::cleanup::{Removed, Table};
use signet::config::Period;
use signet::db::Conn;

use super::{DAY, World, execute_either};
use crate::support::{Backend, json, on_both, wait};

/// How many times each race is run; `SIGNET_TEST_RACES=1000` for the long version.
fn rounds() -> usize {
    std::env::var("SIGNET_TEST_RACES").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

fn execute(connection: &mut Conn, sql: &str) {
    execute_either(connection, sql, sql);
}

on_both! {
    /// Postgres passes over the row that is held, SQLite waits for the writer and asks again.
    fn a_session_that_is_prolonged_while_it_is_being_removed_stays(backend) {
        let world = World::start(backend);
        let session = world.server.client().register("ada@example.com");
        let end = world.server.clock.now() + 8 * DAY;
        let mut prolonging = world.server.database();
        execute_either(&mut prolonging, "BEGIN", "BEGIN IMMEDIATE");
        execute(&mut prolonging, "UPDATE sessions SET idle_expires_at = expires_at");
        std::thread::scope(|scope| {
            let sweeping = scope.spawn(|| world.sweep_at(end));
            match backend {
                Backend::Postgres => {
                    wait::until("it waits for the row", || sweeping.is_finished());
                }
                Backend::Sqlite => {
                    std::thread::sleep(Duration::from_millis(400));
                    assert!(!sweeping.is_finished(), "there is one writer");
                }
            }
            execute(&mut prolonging, "COMMIT");
            assert_eq!(sweeping.join().expect("ends"), Removed::default());
        });
        world.server.clock.advance(8 * DAY);
        world.server.client().refresh(&session.refresh_token()).expect(200);
    }

    /// The clock of who removes is a day ahead of the clock of who serves, so that only the statement itself stands between.
    fn whoever_was_given_a_token_at_the_last_moment_keeps_the_session(backend) {
        let world = World::start(backend);
        let mut outcomes = [0, 0];
        for round in 0..rounds() {
            let email = format!("ada{round}@example.com");
            let session = world.server.client().register(&email);
            let removing_at = world.server.clock.now() + 8 * DAY;
            world.server.clock.advance(7 * DAY - Duration::from_micros(1));
            let barrier = Barrier::new(4);
            let answers: Vec<_> = std::thread::scope(|scope| {
                let (barrier, world, session) = (&barrier, &world, &session);
                let refreshing: Vec<_> = (0..3)
                    .map(|number| scope.spawn(move || {
                        barrier.wait();
                        std::thread::sleep(Duration::from_micros(700 * number));
                        world.server.client().refresh(&session.refresh_token())
                    }))
                    .collect();
                barrier.wait();
                world.sweep_at(removing_at);
                refreshing.into_iter().map(|thread| thread.join().expect("answered")).collect()
            });
            assert!(answers.iter().all(|answer| [200, 401].contains(&answer.status)), "{answers:?}");
            let given = answers.iter().find(|answer| answer.status == 200);
            outcomes[usize::from(given.is_some())] += 1;
            if let Some(given) = given {
                world.server.client().refresh(&given.refresh_token()).expect(200);
            }
        }
        assert_eq!(world.server.audited("authn_token_reuse"), 0, "nobody is taken for a thief");
        assert_eq!(outcomes.iter().sum::<usize>(), rounds());
    }

    fn a_user_lists_logs_out_and_logs_in_while_old_sessions_leave(backend) {
        let world = World::start_with(backend, |config| config.session.idle_ttl = Period(DAY));
        world.server.client().register("ada@example.com");
        world.copy_session(4_000);
        world.server.clock.advance(3 * DAY);
        let session = world.server.client().login("ada@example.com");
        std::thread::scope(|scope| {
            let sweeping = scope.spawn(|| world.sweep());
            let client = world.server.client().bearer(&session.access_token());
            let mut met = 0;
            while !sweeping.is_finished() {
                let other = world.server.client().login("ada@example.com");
                let listed = client.get("/v1/auth/sessions").expect(200).json()["sessions"].as_array().map(Vec::len);
                assert_eq!(listed, Some(2));
                let body = json!({"refresh_token": other.refresh_token()});
                world.server.client().post("/v1/auth/logout", &body).expect(204);
                met += 1;
            }
            assert!(met > 0, "they never met");
            assert_eq!(sweeping.join().expect("ends").of(Table::Sessions), 4_001);
        });
        client_ends_all(&world, &session.access_token());
        assert_eq!(world.server.count("sessions WHERE revoked_at IS NULL"), 0);
    }
}

fn client_ends_all(world: &World, access_token: &str) {
    world.server.client().bearer(access_token).post("/v1/auth/logout", &json!({"all": true})).expect(204);
}
