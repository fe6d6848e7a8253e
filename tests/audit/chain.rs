//! What the chain proves, and what it does not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signet::audit::seal;
use signet::audit::verify::Broken;
use signet::metrics::Metrics;

use super::{World, batch, block_on, inserting};
use crate::support::{Backend, PASSWORD, json, on_both};

/// Nine sealed events of three people.
fn nine(backend: Backend) -> World {
    let world = World::start(backend);
    let client = world.server.client().with("user-agent", "tester/1");
    for name in ["ada", "bob", "eve"] {
        client.register(&format!("{name}@example.com"));
        let wrong = json!({"email": format!("{name}@example.com"), "password": "not the password"});
        client.post("/v1/auth/login", &wrong).expect(401);
        client.login(&format!("{name}@example.com"));
        world.server.clock.advance(Duration::from_secs(100));
    }
    assert_eq!(world.seal().position, 9);
    world
}

on_both! {
    fn a_trail_that_nobody_touched_is_whole_and_grows(backend) {
        let world = World::start(backend);
        let empty = world.verify().expect("nothing is wrong with nothing");
        assert_eq!((empty.first, empty.events, empty.head, empty.unsealed), (1, 0, None, 0));
        drop(world);

        let world = nine(backend);
        let before = world.verify().expect("whole");
        let head = before.head.expect("sealed");
        assert_eq!((before.first, before.events, head.position, before.unsealed), (1, 9, 9, 0));
        world.server.client().login("ada@example.com");
        assert_eq!(world.verify().expect("whole").unsealed, 1);
        let after = world.seal();
        assert_eq!(after.position, 10);
        assert_ne!(after.digest, head.digest);
        // A head that was noted is there for ever.
        assert_eq!(world.verify_with(&[head, after]).expect("whole").events, 10);
        assert_eq!(world.seal(), after, "nothing is sealed twice");
    }

    fn a_changed_event_is_found(backend) {
        let other = match backend {
            Backend::Postgres => ("at + interval '1 s'", "gen_random_uuid()", "'{\"reason\": \"disabled\"}'"),
            Backend::Sqlite => ("at + 1000000", "randomblob(16)", "'{\"reason\": \"disabled\"}'"),
        };
        for (column, value) in [
            ("kind", "'user_updated'"),
            ("at", other.0),
            ("subject", other.1),
            ("actor", other.1),
            ("session_id", other.1),
            ("address", "NULL"),
            ("user_agent", "'tester/2'"),
            ("request_id", "'x'"),
            ("detail", other.2),
        ] {
            let world = nine(backend);
            world.without_triggers(&format!("UPDATE audit_events SET {column} = {value} WHERE id = {}", world.id_at(5)));
            let broken = world.verify().expect_err(column).to_string();
            assert!(broken.starts_with("position 5: the event ") && broken.contains(" was changed"), "{column}: {broken}");
        }
    }

    fn a_removed_event_is_found_with_or_without_its_seal(backend) {
        let world = nine(backend);
        world.without_triggers(&format!("DELETE FROM audit_events WHERE id = {}", world.id_at(4)));
        let broken = world.verify().expect_err("broken");
        assert!(matches!(broken, Broken::EventRemoved { position: 4, .. }), "{broken}");
        world.without_triggers("DELETE FROM audit_seals WHERE position = 4");
        let broken = world.verify().expect_err("broken");
        assert!(matches!(broken, Broken::SealRemoved { expected: 4, found: 5 }), "{broken}");
    }

    fn an_inserted_event_is_found_and_is_never_sealed(backend) {
        let world = nine(backend);
        // The oldest is from the beginning; this one would be from eleven seconds after it, and the newest is from 200.
        world.try_execute(&inserting(backend, 11)).expect("inserted");
        assert_eq!(world.seal().position, 9);
        let broken = world.verify().expect_err("broken");
        assert!(matches!(&broken, Broken::Inserted { kind, .. } if kind == "user_disabled"), "{broken}");
    }

    fn an_event_of_today_that_says_it_is_of_last_year_is_found(backend) {
        let world = nine(backend);
        let back_dated = match backend {
            Backend::Postgres => inserting(backend, 200).replace("at + interval '200 s'", "at - interval '365 days'"),
            Backend::Sqlite => inserting(backend, 200).replace("at + 200 * 1000000", "at - 365 * 86400000000"),
        };
        world.try_execute(&back_dated).expect("inserted");
        assert_eq!(world.seal().position, 10);
        let broken = world.verify().expect_err("broken");
        assert!(matches!(broken, Broken::Misdated { position: 10, .. }), "{broken}");
    }

    fn events_that_changed_places_are_found(backend) {
        let world = nine(backend);
        let id = |position| match backend {
            Backend::Postgres => format!("'{}'::uuid", world.server.query_text(&format!("SELECT {}::text AS value", world.id_at(position)))),
            Backend::Sqlite => format!("x'{}'", world.server.query_text(&format!("SELECT hex({}) AS value", world.id_at(position)))),
        };
        let (third, seventh) = (id(3), id(7));
        let nobody = if backend == Backend::Postgres { "gen_random_uuid()" } else { "randomblob(16)" };
        world.without_triggers(&format!("UPDATE audit_seals SET event_id = {nobody} WHERE position = 3"));
        world.without_triggers(&format!("UPDATE audit_seals SET event_id = {third} WHERE position = 7"));
        world.without_triggers(&format!("UPDATE audit_seals SET event_id = {seventh} WHERE position = 3"));
        let broken = world.verify().expect_err("broken");
        assert!(matches!(broken, Broken::Differs { position: 3, .. }), "{broken}");
    }

    // What nothing inside the database can prove: hence the head in the log and over the API.
    fn whoever_writes_the_chain_anew_is_found_only_with_a_head_that_was_noted_elsewhere(backend) {
        let world = nine(backend);
        let noted = world.seal();
        world.without_triggers(&format!("UPDATE audit_events SET address = '203.0.113.1' WHERE id = {}", world.id_at(5)));
        world.without_triggers("DELETE FROM audit_seals WHERE position >= 1");
        assert_eq!(world.seal().position, 9);
        assert_eq!(world.verify().expect("it looks whole").events, 9);
        let broken = world.verify_with(&[noted]).expect_err("another chain");
        assert!(matches!(broken, Broken::OtherChain { position: 9 }), "{broken}");

        let ids = world.id_at(8).replace("= 8", ">= 8");
        world.without_triggers(&format!("DELETE FROM audit_events WHERE id IN {ids}; DELETE FROM audit_seals WHERE position >= 8"));
        assert_eq!(world.verify().expect("it looks whole").events, 7);
        let broken = world.verify_with(&[noted]).expect_err("it was longer");
        assert!(matches!(broken, Broken::CutOff { position: 9 }), "{broken}");
    }

    fn the_tables_take_no_change_and_no_early_removal(backend) {
        let world = nine(backend);
        let table = |name: &str| world.server.query_texts(&format!("SELECT CAST(count(*) AS text) AS value FROM {name}"));
        let before = (table("audit_events"), table("audit_seals"));
        for sql in [
            "UPDATE audit_events SET address = NULL",
            "DELETE FROM audit_events",
            "DELETE FROM audit_events WHERE kind = 'authn_login_fail'",
            "UPDATE audit_seals SET position = position + 100",
            "DELETE FROM audit_seals",
        ] {
            let refused = world.try_execute(sql).expect_err(sql).to_string();
            assert!(refused.contains("append-only") || refused.contains("by retention only"), "{sql}: {refused}");
        }
        if backend == Backend::Postgres {
            for sql in ["TRUNCATE audit_events", "TRUNCATE audit_seals"] {
                assert!(world.try_execute(sql).expect_err(sql).to_string().contains("append-only"));
            }
        }
        assert_eq!((table("audit_events"), table("audit_seals")), before);
        world.verify().expect("whole");
    }

    fn a_transaction_that_commits_late_is_sealed_later(backend) {
        let world = nine(backend);
        let late = inserting(backend, 150);
        let mut slow = world.server.database();
        // On SQLite there is one writer: what is late there was written by a clock that is behind.
        if backend == Backend::Postgres {
            batch(&mut slow, "BEGIN").expect("begun");
            batch(&mut slow, &late).expect("inserted");
        }
        world.server.client().login("ada@example.com");
        assert_eq!(world.seal().position, 10);
        match backend {
            Backend::Postgres => batch(&mut slow, "COMMIT").expect("committed"),
            Backend::Sqlite => batch(&mut slow, &late).expect("inserted"),
        }
        assert_eq!(world.seal().position, 11);
        let place = world.server.query_number("SELECT position AS value FROM audit_seals JOIN audit_events ON id = event_id WHERE request_id = 'late'");
        assert_eq!(place, 11);
        assert_eq!(world.verify().expect("whole").events, 11);
    }

    fn whatever_is_written_while_two_seal_is_sealed_once(backend) {
        const CLIENTS: usize = 6;
        const EACH: usize = 8;
        let world = World::start(backend);
        world.server.client().register("ada@example.com");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| while !is_over.load(Ordering::SeqCst) {
                    // The other may have the lead, or, on SQLite, which knows none, the place.
                    let _ = block_on(seal::once(&world.db, &Metrics::default()));
                });
            }
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| for _ in 0..EACH {
                let body = json!({"email": "ada@example.com", "password": PASSWORD});
                world.server.client().post("/v1/auth/login", &body).expect(200);
            })).collect();
            clients.into_iter().for_each(|client| client.join().expect("logged in"));
            is_over.store(true, Ordering::SeqCst);
        });
        let events = 1 + (CLIENTS * EACH) as i64;
        assert_eq!(world.seal().position, events);
        assert_eq!(world.verify().expect("whole").events, events);
        assert_eq!((world.server.count("audit_events"), world.server.count("audit_seals")), (events, events));
    }

    fn a_service_seals_by_itself_and_tells(backend) {
        let world = World::start_with(backend, |config| config.audit.seal_interval = signet::config::Period(Duration::from_millis(20)));
        world.server.client().register("ada@example.com");
        world.wait_until_sealed(1);
        assert_eq!(world.server.metric("signet_audit_seal_lag_seconds"), 0.0);
        assert_eq!(world.server.metric("signet_audit_seal_last_success_timestamp_seconds"), world.server.clock.now().as_seconds() as f64);
        assert_eq!(world.verify().expect("whole").events, 1);
    }

    // A look at all of the time in which an event may come late would cost the more the more is written: there is one now and then.
    fn what_comes_later_than_is_usual_is_sealed_by_a_service_too(backend) {
        let world = World::start_with(backend, |config| config.audit.seal_interval = signet::config::Period(Duration::from_millis(20)));
        world.server.client().register("ada@example.com");
        world.server.clock.advance(Duration::from_secs(100));
        world.server.client().login("ada@example.com");
        world.wait_until_sealed(2);
        batch(&mut world.server.database(), &inserting(backend, 40)).expect("inserted");
        world.wait_until_sealed(3);
        assert_eq!(world.verify().expect("whole").events, 3);
    }
}
