//! Log-ins that waited for a code in vain, and factors that were never confirmed, leave; what counts stays.

use super::*;
use crate::support::on_both;
use crate::support::phone::{self, Phone, first_step, log_in};

on_both! {
    fn what_waited_in_vain_leaves_and_what_counts_stays(backend) {
        let world = World::start_with(backend, phone::switch_on);
        let client = world.server.client();
        let phone = Phone::add(&world.server, &client.bearer(&client.register("ada@example.com").access_token()));
        client.bearer(&client.register("eve@example.com").access_token()).post_empty("/v1/auth/mfa/totp").expect(200);
        first_step(&client, "ada@example.com");
        let counts = || ["totp_factors", "recovery_codes", "mfa_challenges"].map(|table| world.server.count(table));
        assert_eq!(counts(), [2, 10, 1]);
        // As long as ended sessions are kept, for an instance whose clock is behind.
        world.server.clock.advance(DAY);
        assert_eq!((world.sweep().of(Table::SecondFactors), counts()), (0, [2, 10, 1]));
        world.server.clock.advance(Duration::from_secs(300));
        assert_eq!((world.sweep().of(Table::SecondFactors), counts()), (1, [2, 10, 0]));
        world.server.clock.advance(HOUR);
        assert_eq!((world.sweep().of(Table::SecondFactors), counts()), (1, [1, 10, 0]));
        world.server.clock.advance(400 * DAY);
        assert_eq!((world.sweep().of(Table::SecondFactors), counts()), (0, [1, 10, 0]));
        log_in(&world.server, &client, "ada@example.com", &phone);
        assert_eq!(world.metrics.purged_rows.with_label_values(&["second_factors"]).get(), 2);
    }
}
