//! Who leaves at which time, and who stays.

use std::time::{Duration, Instant};

use signet::cleanup::{self, Error, Limits, Removed, Table};
use signet::clock::Clock;
use signet::config::Period;

use super::{DAY, HOUR, World, block_on, copy_audit_event, copy_session, end_sessions};
use crate::support::program::Place;
use crate::support::{Backend, json, on_both, postgres, wait};

const MICROSECOND: Duration = Duration::from_micros(1);
fn one_session() -> Removed {
    Removed::default().with(Table::Sessions, 1)
}

on_both! {
    fn a_session_leaves_a_day_after_it_idled_away_was_revoked_or_came_to_its_end(backend) {
        let world = World::start(backend);
        let client = world.server.client();
        let idle = client.register("ada@example.com");
        let logged_out = client.login("ada@example.com");
        let mut kept = client.login("ada@example.com");
        let events_before = world.server.count("audit_events");
        client.post("/v1/auth/logout", &json!({"refresh_token": logged_out.refresh_token()})).expect(204);

        world.server.clock.advance(DAY - MICROSECOND);
        assert_eq!(world.sweep(), Removed::default());
        world.server.clock.advance(MICROSECOND);
        assert_eq!(world.sweep(), one_session(), "the one that was logged out");
        assert_eq!(world.server.count("sessions WHERE revoked_at IS NULL"), 2);

        world.server.clock.advance(4 * DAY);
        kept = client.refresh(&kept.refresh_token()).expect(200);
        world.server.clock.advance(3 * DAY - MICROSECOND);
        assert_eq!(world.sweep(), Removed::default());
        world.server.clock.advance(MICROSECOND);
        assert_eq!(world.sweep(), one_session(), "the one that nobody used for seven days");
        client.refresh(&idle.refresh_token()).expect_problem(401, "invalid_grant");

        for _ in 0..6 {
            world.server.clock.advance(3 * DAY);
            kept = client.refresh(&kept.refresh_token()).expect(200);
            assert_eq!(world.sweep(), Removed::default());
        }
        world.server.clock.advance(5 * DAY - MICROSECOND);
        assert_eq!(world.sweep(), Removed::default(), "it ended after thirty days, and a day has not passed");
        world.server.clock.advance(MICROSECOND);
        assert_eq!(world.sweep(), one_session());
        assert_eq!(world.server.count("sessions"), 0);
        assert_eq!(world.server.count("users"), 1);
        assert_eq!(world.server.count("audit_events"), events_before + 1, "nothing but the log-out");
        assert_eq!(world.server.audited("authn_token_reuse"), 0);
    }

    fn audit_events_leave_after_their_retention_or_never(backend) {
        let world = World::start(backend);
        world.server.client().register("ada@example.com");
        world.server.clock.advance(100 * DAY);
        world.server.client().login("ada@example.com");
        let before = world.server.audit();
        world.server.clock.advance(265 * DAY - MICROSECOND);
        assert_eq!(world.sweep().of(Table::AuditEvents), 0);
        assert_eq!(world.server.audit(), before);
        // Ids carry milliseconds: an event may stay for the rest of its own.
        world.server.clock.advance(Duration::from_millis(1));
        assert_eq!(world.sweep().of(Table::AuditEvents), 1);
        assert_eq!(world.server.audit(), before[1..]);

        let for_ever = World::start_with(backend, |config| config.cleanup.audit_retention = Period(Duration::ZERO));
        for_ever.server.client().register("ada@example.com");
        for_ever.server.clock.advance(20 * 365 * DAY);
        assert_eq!(for_ever.sweep(), one_session());
        assert_eq!(for_ever.server.audit(), ["user_registered"]);
    }

    fn many_batches_leave_and_one_session_among_them_stays(backend) {
        let world = World::start(backend);
        world.server.client().register("ada@example.com");
        world.copy_session(1_099);
        copy_audit_event(&mut world.server.database(), 600);
        world.server.clock.advance(6 * DAY);
        let live = world.server.client().login("ada@example.com");
        world.server.clock.advance(2 * DAY);
        assert_eq!(world.sweep().of(Table::Sessions), 1_100);
        assert_eq!(world.server.count("sessions"), 1);
        world.server.client().refresh(&live.refresh_token()).expect(200);
        world.server.clock.advance(358 * DAY);
        assert_eq!(world.sweep(), one_session().with(Table::AuditEvents, 601));
        assert_eq!(world.server.audit(), ["authn_login_success"]);
        let purged = |table: &str| world.metrics.purged_rows.with_label_values(&[table]).get();
        assert_eq!((purged("sessions"), purged("audit_events")), (1_101, 601));
    }

    fn a_pass_takes_no_connection_of_the_pool(backend) {
        let world = World::start(backend);
        world.server.client().register("ada@example.com");
        world.copy_session(300);
        let now = world.server.clock.now() + 40 * DAY;
        let limits = Limits::at(now, &world.server.config);
        block_on(async {
            let busy = world.db.read("test.busy", |_| { std::thread::sleep(Duration::from_secs(6)); Ok(()) });
            let sweeping = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let mut leader = world.db.lead(cleanup::LOCK).await.expect("reached").expect("nobody else");
                cleanup::sweep(&mut leader, limits, &world.metrics).await.expect("sweeps");
                Instant::now()
            };
            let ((busy, freed), swept) = futures_util::future::join(async { (busy.await, Instant::now()) }, sweeping).await;
            busy.expect("the only connection of the pool was busy");
            assert!(swept < freed, "it waited for the pool");
        });
        assert_eq!(world.server.count("sessions"), 0);
    }

    fn the_command_makes_one_pass(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let url = backend.database(dir.path());
        let place = Place::ready(&url);
        let service = place.serve();
        service.client().register("ada@example.com");
        assert_eq!(place.succeed(&["cleanup"]), "removed: nothing\n");
        let mut database = url.parse::<signet::db::Url>().expect("our own").connect().expect("there");
        copy_session(&mut database, 2);
        end_sessions(&mut database, DAY);
        assert_eq!(place.succeed(&["cleanup"]), "removed: 3 sessions\n");
        let hasty = place.with("SIGNET_CLEANUP__SESSION_RETENTION", "1m");
        assert_eq!(hasty.fail(&["cleanup"]), "cleanup.session_retention: must be at least 1h");
    }

    fn a_service_stops_at_once_in_the_middle_of_a_pass(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let url = backend.database(dir.path());
        let place = Place::ready(&url).with("SIGNET_CLEANUP__INTERVAL", "2s");
        let service = place.serve();
        service.client().register("ada@example.com");
        let mut database = url.parse::<signet::db::Url>().expect("our own").connect().expect("there");
        end_sessions(&mut database, DAY);
        copy_session(&mut database, 20_000);
        let purged = || {
            let text = service.operator().get("/metrics").text;
            let line = text.lines().find_map(|line| line.strip_prefix("signet_purged_rows_total{table=\"sessions\"} "));
            line.expect("from the start").parse::<usize>().expect("a number")
        };
        wait::until("it does not begin", || purged() != 0);
        service.signal("TERM");
        assert_eq!(service.end().0, Some(0));
        let left = place.succeed(&["cleanup"]);
        let nothing = "removed: nothing\n";
        assert_ne!(left, nothing, "it was not in the middle");
    }
}

#[test]
fn a_clock_ahead_of_the_databases_removes_nothing_and_one_behind_does_no_harm() {
    if !postgres::is_available() {
        return;
    }
    let world = World::start(Backend::Postgres);
    world.server.client().register("ada@example.com");
    end_sessions(&mut world.server.database(), 20 * 365 * DAY);
    let url = world.server.config.database.url.0.parse().expect("our own URL");
    let there = signet::db::inspect(&url, 1).expect("reached").time.expect("Postgres has a clock");
    let pass = |clock: Clock| block_on(cleanup::pass(&world.db, &world.server.config, &clock, &world.metrics));

    let refused = pass(Clock::manual(there + 365 * DAY)).expect_err("a year ahead");
    assert!(matches!(refused, Error::Clock { ahead } if ahead > 364 * DAY), "{refused}");
    assert!(matches!(pass(Clock::manual(there + 2 * HOUR)), Err(Error::Clock { .. })));
    assert_eq!((world.server.count("sessions"), world.server.count("audit_events")), (1, 1));
    assert_eq!(world.metrics.purge_failures.with_label_values(&["clock"]).get(), 2);
    assert_eq!(world.metrics.purge_last_success.get(), 0);

    let behind = Clock::manual(there - 365 * DAY);
    assert_eq!(pass(behind.clone()).expect("passes"), Some(one_session()));
    assert_eq!(world.metrics.purge_last_success.get(), behind.now().as_seconds());
    assert!(world.metrics.purge_duration.get() > 0.0);
}
