//! What throttling leaves behind, leaves.

use super::*;
use crate::support::{PASSWORD, json, on_both};

on_both! {
    fn what_is_forgotten_leaves_and_what_counts_stays(backend) {
        let world = World::start_with(backend, |config| {
            config.throttle.enabled = true;
            config.public.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        });
        let at = |address: &str| world.server.client().with("x-forwarded-for", address);
        at("192.0.2.1").register("ada@example.com");
        for number in 0..5 {
            let body = json!({"email": "nobody@example.com", "password": PASSWORD});
            at(&format!("198.51.{number}.1")).post("/v1/auth/login", &body).expect(401);
        }
        let buckets = world.server.count("throttles");
        // The account's, and of each source: its share, four of its own and of what is around it.
        assert_eq!(buckets, 3 + 1 + 5 * 5);
        assert_eq!(world.sweep(), Removed::default());
        world.server.clock.advance(7 * HOUR);
        let removed = world.sweep().of(Table::Throttles);
        assert_eq!(world.server.count("throttles"), 1, "five less one are remembered of the account");
        assert_eq!(i64::try_from(removed), Ok(buckets - 1));
        world.server.clock.advance(24 * HOUR);
        assert_eq!((world.sweep().of(Table::Throttles), world.server.count("throttles")), (1, 0));
        assert_eq!(world.server.count("known_sources"), 1);
        world.server.clock.advance(90 * DAY);
        assert_eq!((world.sweep().of(Table::KnownSources), world.server.count("known_sources")), (1, 0));
        let purged = |table: &str| world.metrics.purged_rows.with_label_values(&[table]).get();
        assert_eq!((i64::try_from(purged("throttles")), purged("known_sources")), (Ok(buckets), 1));
    }
}
