//! Keys that have ended leave after a while, with the places that they were used from.

use super::*;
use crate::api::api_key::{eventually, make_key, with_key};
use crate::support::{json, on_both};

on_both! {
    fn a_key_leaves_a_day_after_its_end_and_one_that_works_stays(backend) {
        let world = World::start(backend);
        let session = world.server.client().register("ada@example.com");
        let client = world.server.client().bearer(&session.access_token());
        let body = json!({"name": "short", "scope": "account", "expires_in": 3600});
        let short = client.post("/v1/auth/api-keys", &body).expect(201).text_at("/key");
        let revoked = make_key(&client, "account").text_at("/id");
        client.delete(&format!("/v1/auth/api-keys/{revoked}")).expect(204);
        let kept = make_key(&client, "account").text_at("/key");
        for key in [&short, &kept] {
            with_key(&world.server, key).get("/v1/auth/me").expect(200);
        }
        eventually(|| world.server.count("api_key_sources") == 2);
        let left = |removed: Removed| (removed.of(Table::ApiKeys), world.server.count("api_keys"), world.server.count("api_key_sources"));

        world.server.clock.advance(DAY - HOUR);
        assert_eq!(left(world.sweep()), (0, 3, 2));
        world.server.clock.advance(HOUR);
        assert_eq!(left(world.sweep()), (1, 2, 2), "the revoked one");
        world.server.clock.advance(HOUR);
        assert_eq!(left(world.sweep()), (1, 1, 1), "the expired one, and where it was used from");
        with_key(&world.server, &kept).get("/v1/auth/me").expect(200);
    }

    fn a_place_that_a_key_was_not_used_from_for_long_is_forgotten(backend) {
        let world = World::start(backend);
        let session = world.server.client().register("ada@example.com");
        let client = world.server.client().bearer(&session.access_token());
        let body = json!({"name": "long", "scope": "account", "expires_in": 300 * 24 * 3600});
        let key = client.post("/v1/auth/api-keys", &body).expect(201).text_at("/key");
        let moved = || world.server.audited("authn_api_key_new_source");
        with_key(&world.server, &key).get("/v1/auth/me").expect(200);
        eventually(|| moved() == 1);
        // Being seen there again keeps a place.
        world.server.clock.advance(60 * DAY);
        with_key(&world.server, &key).get("/v1/auth/me").expect(200);
        let notes = "signet_database_transaction_duration_seconds_count{name=\"api_key.note_use\"}";
        eventually(|| world.server.metric(notes) >= 2.0);
        world.server.clock.advance(60 * DAY);
        assert_eq!((world.sweep().of(Table::ApiKeySources), world.server.count("api_key_sources")), (0, 1));
        world.server.clock.advance(31 * DAY);
        assert_eq!((world.sweep().of(Table::ApiKeySources), world.server.count("api_key_sources")), (1, 0));
        assert_eq!(world.server.count("api_keys"), 1);
        with_key(&world.server, &key).get("/v1/auth/me").expect(200);
        eventually(|| moved() == 2);
    }
}
