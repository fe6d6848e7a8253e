//! What removing costs those who are still there.
//!
//! `SIGNET_TEST_CLEANUP_ROWS=100000` for the figures in docs/operations.md: so many sessions and as many audit events leave
//! while clients refresh, and a walk over ten times as many sessions of which none may leave.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{DAY, Table, World, copy_audit_event};
use crate::support::{Backend, on_both, say};

fn rows() -> Option<usize> {
    std::env::var("SIGNET_TEST_CLEANUP_ROWS").ok().and_then(|text| text.parse().ok())
}

const CLIENTS: usize = 2;

on_both! {
    fn refreshes_go_on_while_old_rows_leave(backend) {
        let count = rows().unwrap_or(2_500);
        let world = World::start(backend);
        world.server.client().register("ada@example.com");
        world.copy_session(count - 1);
        copy_audit_event(&mut world.server.database(), count - 1);
        world.server.clock.advance(366 * DAY);
        let quiet_for = Duration::from_secs(if rows().is_some() { 10 } else { 1 });
        let before = refreshing(&world, || std::thread::sleep(quiet_for));
        let begun = Instant::now();
        let mut removed = None;
        let meanwhile = refreshing(&world, || removed = Some(world.sweep()));
        let took = begun.elapsed();
        let removed = removed.expect("it swept");
        assert_eq!((removed.of(Table::Sessions), removed.of(Table::AuditEvents)), (count, count));
        assert!(meanwhile.len() > 10, "{} refreshes in {took:?}", meanwhile.len());
        if rows().is_some() {
            say(&format!(
                "{backend:?}: {count} sessions and as many audit events left in {took:.1?}; refreshes before: {}; \
                 meanwhile: {}",
                summary(before),
                summary(meanwhile)
            ));
            for batch in ["cleanup.sessions", "cleanup.audit_events"] {
                let time = world.metrics.database_transactions.with_label_values(&[batch]);
                let mean = 1_000.0 * time.get_sample_sum() / time.get_sample_count() as f64;
                say(&format!("{backend:?}: a batch of {batch} took {mean:.1} ms on average"));
            }
            report_walk(&world, 10 * count);
        }
    }
}

/// The latencies of clients that refresh for as long as `work` lasts.
fn refreshing(world: &World, work: impl FnOnce()) -> Vec<Duration> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let client = world.server.client();
                    let (mut session, mut latencies) = (client.login("ada@example.com"), Vec::new());
                    while !is_over.load(Ordering::SeqCst) {
                        let asked = Instant::now();
                        session = client.refresh(&session.refresh_token()).expect(200);
                        latencies.push(asked.elapsed());
                    }
                    latencies
                })
            })
            .collect();
        work();
        is_over.store(true, Ordering::SeqCst);
        clients.into_iter().flat_map(|client| client.join().expect("each was answered 200")).collect()
    })
}

fn summary(mut latencies: Vec<Duration>) -> String {
    latencies.sort();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 1_000];
    format!("{} with p50 {:.1?}, p99 {:.1?}, slowest {:.1?}", latencies.len(), at(500), at(990), at(1_000))
}

/// A walk from which nobody comes back: the price of there being no index on the idle expiry.
fn report_walk(world: &World, sessions: usize) {
    let alone = "DELETE FROM sessions WHERE idle_expires_at < (SELECT max(idle_expires_at) FROM sessions)";
    super::execute_either(&mut world.server.database(), alone, alone);
    world.copy_session(sessions - 1);
    let looking = world.metrics.database_transactions.with_label_values(&["cleanup.look_at_sessions"]);
    let (begun, looked_before) = (Instant::now(), looking.get_sample_sum());
    assert_eq!(world.sweep().of(Table::Sessions), 0);
    say(&format!(
        "{:?}: a walk over {} sessions took {:.1?}, of which {:.1} s in the database",
        world.backend,
        world.server.count("sessions"),
        begun.elapsed(),
        looking.get_sample_sum() - looked_before
    ));
}
