//! Two instances on one database whose clocks differ by five seconds.

use std::time::Duration;

use signet::clock::Clock;

use crate::support::server::START;
use crate::support::{Backend, Server, on_both};

const APART: Duration = Duration::from_secs(5);

/// One instance, and one that is ahead of it.
fn instances(backend: Backend) -> (Server, Server) {
    let behind = Server::start(backend);
    let ahead = Server::start_beside(&behind, Clock::manual(START + APART), |_| {});
    (behind, ahead)
}

on_both! {
    fn a_session_that_wanders_between_them_is_never_lost(backend) {
        let (behind, ahead) = instances(backend);
        let mut session = behind.client().register("ada@example.com");
        for round in 0..20 {
            let (here, there) = if round % 2 == 0 { (&ahead, &behind) } else { (&behind, &ahead) };
            let next = here.client().refresh(&session.refresh_token()).expect(200);
            let again = there.client().refresh(&session.refresh_token()).expect(200);
            assert_eq!(again.refresh_token(), next.refresh_token(), "the grace window holds on both");
            for server in [here, there] {
                server.client().bearer(&next.access_token()).get("/v1/auth/me").expect(200);
            }
            session = next;
        }
        assert_eq!(behind.audited("authn_token_reuse") + behind.audited("authn_token_recovered"), 0);
    }

    fn the_grace_window_ends_by_each_clock_and_what_follows_is_a_recovery(backend) {
        let (behind, ahead) = instances(backend);
        let session = behind.client().register("ada@example.com");
        let next = behind.client().refresh(&session.refresh_token()).expect(200);
        behind.clock.advance(Duration::from_secs(26));
        ahead.clock.advance(Duration::from_secs(26));
        assert_eq!(behind.client().refresh(&session.refresh_token()).expect(200).refresh_token(), next.refresh_token());
        let recovered = ahead.client().refresh(&session.refresh_token()).expect(200);
        assert_ne!(recovered.refresh_token(), next.refresh_token(), "31 s have passed by this clock");
        behind.client().refresh(&recovered.refresh_token()).expect(200);
    }

    fn an_access_token_is_valid_no_earlier_and_no_longer_than_by_the_judging_clock(backend) {
        let (behind, ahead) = instances(backend);
        let early = ahead.client().register("ada@example.com");
        behind.client().bearer(&early.access_token()).get("/v1/auth/me").expect(200);
        let token = behind.client().login("ada@example.com").access_token();
        behind.clock.advance(Duration::from_secs(896));
        ahead.clock.advance(Duration::from_secs(896));
        behind.client().bearer(&token).get("/v1/auth/me").expect(200);
        ahead.client().bearer(&token).get("/v1/auth/me").expect_problem(401, "invalid_token");
        behind.clock.advance(Duration::from_secs(4));
        behind.client().bearer(&token).get("/v1/auth/me").expect_problem(401, "invalid_token");
    }

    fn an_instance_more_than_a_minute_behind_refuses_tokens_from_its_future(backend) {
        let behind = Server::start(backend);
        let far = Server::start_beside(&behind, Clock::manual(START + Duration::from_secs(62)), |_| {});
        let session = far.client().register("ada@example.com");
        behind.client().bearer(&session.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        behind.client().refresh(&session.refresh_token()).expect(200);
    }
}
