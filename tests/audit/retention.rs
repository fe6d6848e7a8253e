//! What is older than it is kept leaves the beginning of the chain, and the rest still holds.

use std::time::Duration;

use signet::cleanup::Table;

use super::{World, inserting};
use crate::support::{Backend, on_both};

const DAY: Duration = Duration::from_secs(24 * 3600);

impl World {
    fn sweep(&self) -> usize {
        self.server.sweep().of(Table::AuditEvents)
    }
}

on_both! {
    fn the_chain_goes_on_from_an_anchor(backend) {
        let world = World::start(backend);
        let client = world.server.client();
        client.register("ada@example.com");
        for _ in 0..249 {
            let wrong = crate::support::json!({"email": "ada@example.com", "password": "not the password"});
            client.post("/v1/auth/login", &wrong).expect(401);
        }
        let early = world.seal();
        world.server.clock.advance(200 * DAY);
        client.login("ada@example.com");
        let late = world.seal();
        assert_eq!((early.position, late.position), (250, 251));
        assert_eq!(world.sweep(), 0);

        world.server.clock.advance(200 * DAY);
        assert_eq!(world.sweep(), 250);
        assert_eq!(world.server.audit(), ["authn_login_success"]);
        let whole = world.verify_with(&[early, late]).expect("whole");
        assert_eq!((whole.first, whole.events, whole.head), (251, 1, Some(late)));

        // The last one of all leaves, too, and the next takes the place after it.
        world.server.clock.advance(200 * DAY);
        assert_eq!(world.sweep(), 1);
        assert_eq!((world.server.count("audit_events"), world.server.count("audit_seals"), world.server.count("audit_anchors")), (0, 0, 1));
        let whole = world.verify_with(&[late]).expect("whole");
        assert_eq!((whole.first, whole.events, whole.head), (252, 0, None));
        client.login("ada@example.com");
        assert_eq!(world.seal().position, 252);
        assert_eq!(world.verify().expect("whole").events, 1);

        // A link in the wrong place is still found.
        world.without_triggers("UPDATE audit_seals SET position = 253");
        assert!(world.broken().starts_with("position 252: the seal was removed"));
    }

    fn what_was_never_sealed_leaves_as_well(backend) {
        let world = World::start(backend);
        world.server.client().register("ada@example.com");
        world.server.clock.advance(10 * DAY);
        world.server.client().login("ada@example.com");
        world.seal();
        world.try_execute(&inserting(backend, 3_600)).expect("inserted");
        world.broken();
        world.server.clock.advance(360 * DAY);
        assert_eq!(world.sweep(), 2);
        assert_eq!(world.verify().expect("whole").events, 1);
    }
}
