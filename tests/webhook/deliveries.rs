//! What is delivered, how often, and when it is given up.

use std::collections::BTreeSet;
use std::time::Duration;

use signet::cleanup::Table;
use signet::clock::Clock;

use super::World;
use super::receiver::{Answer, Receiver};
use crate::support::{Backend, PASSWORD, Server, Value, json, on_both, token, wait};

const HOUR: Duration = Duration::from_secs(3600);

on_both! {
    fn a_receiver_is_told_in_signed_messages_what_happened_and_nothing_else(backend) {
        let world = World::start(backend);
        let (all, some) = (Receiver::start(), Receiver::start());
        let endpoint = world.endpoint(&all, &json!([]));
        world.endpoint(&some, &json!(["session.revoked"]));
        let client = world.server.client();
        let session = client.register("ada@example.com");
        let claims = token::decode(&session.access_token()).1;
        client.post("/v1/auth/login", &json!({"email": "ada@example.com", "password": "not the password"})).expect(401);
        client.login("ada@example.com");
        client.refresh(&session.refresh_token()).expect(200);
        client.bearer(&session.access_token()).patch("/v1/auth/me", &json!({"name": "Ada"})).expect(200);
        client.bearer(&session.access_token()).post_empty("/v1/auth/logout").expect(204);

        let mut told: Vec<_> = all.await_messages(3).into_iter().map(|message| (message.body["type"].clone(), message.body["data"].clone())).collect();
        told.sort_by_key(|(r#type, _)| r#type.to_string());
        let (ada, sid) = (&claims["sub"], &claims["sid"]);
        assert_eq!(told, [
            (json!("session.revoked"), json!({"user_id": ada, "session_id": sid, "all": false, "reason": "logged_out"})),
            (json!("user.created"), json!({"user_id": ada})),
            (json!("user.updated"), json!({"user_id": ada, "changed": ["name"]})),
        ]);
        let only = some.await_messages(1);
        assert_eq!(only[0].body["type"], "session.revoked");
        assert_eq!(only[0].timestamp, world.server.clock.now().as_seconds());
        assert_eq!(only[0].body["timestamp"], json!(world.server.clock.now()));
        // One event has one id for all of its receivers, and over the feed.
        assert!(all.received().iter().any(|message| message.id == only[0].id));
        let delivered = world.await_state(&endpoint, "delivered", 3);
        assert!(delivered.iter().all(|delivery| delivery["attempts"] == 1 && delivery["last_outcome"] == "200" && delivery["due_at"].is_null()));
        assert_eq!(some.received().len(), 1);
        assert_eq!(world.server.metric("signet_webhook_deliveries_total{outcome=\"delivered\"}"), 4.0);
    }

    fn a_request_that_fails_tells_nobody(backend) {
        let world = World::start(backend);
        let receiver = Receiver::start();
        let endpoint = world.endpoint(&receiver, &json!([]));
        let client = world.server.client();
        client.register("ada@example.com");
        client.post("/v1/auth/register", &json!({"email": "ada@example.com", "password": PASSWORD})).expect(409);
        world.await_state(&endpoint, "delivered", 1);
        assert_eq!(world.deliveries(&endpoint).len(), 1);
    }

    fn what_is_not_taken_is_sent_again_for_three_days_and_then_given_up(backend) {
        let world = World::start(backend);
        let receiver = Receiver::start();
        receiver.answer(Answer::Status(503));
        let endpoint = world.endpoint(&receiver, &json!([]));
        world.server.client().register("ada@example.com");
        let begun = world.server.clock.now();
        for attempt in 1..=10 {
            let delivery = world.await_attempts(&endpoint, attempt);
            assert_eq!((delivery["state"].as_str(), delivery["last_outcome"].as_str()), (Some(if attempt < 10 { "pending" } else { "dead" }), Some("503")));
            if attempt < 10 {
                let due: signet::clock::Timestamp = delivery["due_at"].as_str().expect("a time").parse().expect("RFC 3339");
                world.server.clock.advance(due.since(world.server.clock.now()));
            }
        }
        let hours = world.server.clock.now().since(begun).as_secs() / 3600;
        assert!((68..=84).contains(&hours), "{hours}");
        let ids: BTreeSet<String> = receiver.received().iter().map(|message| message.id.clone()).collect();
        assert_eq!((receiver.received().len(), ids.len()), (10, 1), "the same message each time");
        assert_eq!(world.server.metric("signet_webhook_deliveries_total{outcome=\"given_up\"}"), 1.0);

        // A dead letter is sent again when somebody wants it.
        receiver.answer(Answer::Status(200));
        let path = format!("/v1/admin/webhooks/{endpoint}/replay");
        assert_eq!(world.admin.post_empty(&path).expect(202).json(), json!({"count": 1}));
        let again = world.await_state(&endpoint, "delivered", 1);
        assert_eq!(again[0]["id"], json!(ids.first()));
        assert_eq!(world.admin.post_empty(&path).expect(202).json(), json!({"count": 0}));
        // And so is one that was taken, if it is named.
        world.admin.post(&path, &json!({"id": ids.first()})).expect(202);
        receiver.await_messages(12);
    }

    fn an_endpoint_that_is_gone_is_disabled_with_all_that_waits(backend) {
        let world = World::start(backend);
        let receiver = Receiver::start();
        receiver.answer(Answer::Status(503));
        let endpoint = world.endpoint(&receiver, &json!([]));
        world.server.client().register("ada@example.com");
        world.await_attempts(&endpoint, 1);
        receiver.answer(Answer::Status(410));
        world.server.client().register("bob@example.com");
        world.await_state(&endpoint, "dead", 2);
        let listed = world.admin.get("/v1/admin/webhooks").expect(200).json();
        assert_eq!((&listed["endpoints"][0]["is_enabled"], listed["endpoints"][0]["disabled_reason"].as_str()), (&json!(false), Some("gone")));
        assert_eq!(world.server.audited("webhook_disabled"), 1);
        world.server.client().register("eve@example.com");
        assert_eq!(world.deliveries(&endpoint).len(), 2, "it is told nothing any more");

        receiver.answer(Answer::Status(200));
        let path = format!("/v1/admin/webhooks/{endpoint}");
        world.admin.patch(&path, &json!({"is_enabled": true})).expect(200);
        assert_eq!(world.admin.post_empty(&format!("{path}/replay")).expect(202).json(), json!({"count": 2}));
        world.await_state(&endpoint, "delivered", 2);
    }

    fn a_receiver_that_does_not_answer_delays_no_log_in_and_no_other_receiver(backend) {
        let world = World::start_with(backend, |config| config.throttle.enabled = false);
        let (slow, quick) = (Receiver::start(), Receiver::start());
        slow.answer(Answer::After(Duration::from_secs(60)));
        let silent = world.endpoint(&slow, &json!([]));
        let endpoint = world.endpoint(&quick, &json!([]));
        let client = world.server.client();
        for number in 0..20 {
            client.register(&format!("user{number}@example.com"));
            client.login(&format!("user{number}@example.com"));
        }
        world.await_state(&endpoint, "delivered", 20);
        // Ten times its patience would have gone by if one waited for the other; two of its messages at a time are sent.
        assert!(slow.received().len() <= 4, "two at a time: {}", slow.received().len());
        let is_given_up = |delivery: &Value| delivery["last_outcome"] == "timeout";
        wait::until("nobody loses patience", || world.deliveries(&silent).iter().any(is_given_up));
    }

    fn redirects_are_not_followed_and_answers_not_read_to_their_end(backend) {
        let world = World::start(backend);
        let (receiver, inner) = (Receiver::start(), Receiver::start());
        receiver.answer(Answer::Redirect(inner.url()));
        let endpoint = world.endpoint(&receiver, &json!([]));
        world.server.client().register("ada@example.com");
        assert_eq!(world.await_attempts(&endpoint, 1)["last_outcome"], "302");
        receiver.answer(Answer::Endless);
        world.server.clock.advance(HOUR);
        // Read to its end, it would be a timeout.
        world.await_state(&endpoint, "delivered", 1);
        assert_eq!(inner.received().len(), 0);
    }

    fn of_two_instances_one_sends_each_message(backend) {
        let world = World::start_with(backend, |config| {
            config.throttle.enabled = false;
        });
        let second = Server::start_beside(&world.server, Clock::manual(world.server.clock.now()), |_| {});
        let receiver = Receiver::start();
        let endpoint = world.endpoint(&receiver, &json!([]));
        std::thread::scope(|scope| {
            for number in 0..24 {
                let server = if number % 2 == 0 { &world.server } else { &second };
                scope.spawn(move || server.client().register(&format!("user{number}@example.com")));
            }
        });
        world.await_state(&endpoint, "delivered", 24);
        let ids: BTreeSet<String> = receiver.received().iter().map(|message| message.id.clone()).collect();
        assert_eq!((receiver.received().len(), ids.len()), (24, 24));
        let sent = |server: &Server| server.metric("signet_webhook_deliveries_total{outcome=\"delivered\"}");
        assert_eq!(sent(&world.server) + sent(&second), 24.0);
    }

    fn messages_that_nobody_sends_any_more_leave(backend) {
        let world = World::start(backend);
        let receiver = Receiver::start();
        let endpoint = world.endpoint(&receiver, &json!([]));
        world.server.client().register("ada@example.com");
        world.await_state(&endpoint, "delivered", 1);
        let sweep = || world.server.sweep().of(Table::WebhookDeliveries);
        world.server.clock.advance(30 * 24 * HOUR - Duration::from_secs(1));
        assert_eq!(sweep(), 0);
        world.server.clock.advance(Duration::from_secs(2));
        assert_eq!(sweep(), 1);
        assert_eq!(world.server.count("webhook_deliveries"), 0);
    }
}
