//! What administrators do with endpoints, and where none may be.

use std::time::Duration;

use super::World;
use super::receiver::Receiver;
use crate::support::{Backend, Value, json, on_both};

on_both! {
    fn an_endpoint_is_made_listed_changed_and_deleted(backend) {
        let world = World::start(backend);
        let receiver = Receiver::start();
        let body = json!({"url": receiver.url(), "event_types": ["user.created"], "description": "orders"});
        let made = world.admin.post("/v1/admin/webhooks", &body).expect(201).json();
        let id = made["id"].as_str().expect("an id").to_owned();
        let secret = made["secret"].as_str().expect("a secret").to_owned();
        assert_eq!((secret.len(), &secret[..6]), (50, "whsec_"));
        let listed = world.admin.get("/v1/admin/webhooks").expect(200);
        assert!(!listed.text.contains("whsec_"), "it is shown once: {}", listed.text);
        let listed = listed.json();
        assert_eq!((listed["endpoints"].as_array().map(Vec::len), &listed["next"]), (Some(1), &Value::Null));
        let mut shown = made.clone();
        shown.as_object_mut().expect("an object").remove("secret");
        assert_eq!(listed["endpoints"][0], shown);

        let path = format!("/v1/admin/webhooks/{id}");
        let changed = world.admin.patch(&path, &json!({"event_types": [], "description": null, "is_enabled": false})).expect(200).json();
        assert_eq!((&changed["event_types"], &changed["description"], &changed["is_enabled"], &changed["url"]), (&json!([]), &Value::Null, &json!(false), &made["url"]));
        world.server.client().register("ada@example.com");
        assert_eq!(world.deliveries(&id).len(), 0, "whoever is disabled is told nothing");
        world.admin.delete(&path).expect(204);
        for gone in [world.admin.delete(&path), world.admin.patch(&path, &json!({})), world.admin.post_empty(&format!("{path}/test")), world.admin.get(&format!("{path}/deliveries"))] {
            gone.expect_problem(404, "not_found");
        }
        let kinds: Vec<String> = world.server.audit().into_iter().filter(|kind| kind.starts_with("webhook")).collect();
        assert_eq!(kinds.iter().map(String::as_str).collect::<std::collections::BTreeSet<_>>(), ["webhook_created", "webhook_updated", "webhook_deleted"].into());
        assert_eq!(kinds.len(), 3);
    }

    fn a_test_message_is_sent_like_any_other(backend) {
        let world = World::start(backend);
        let receiver = Receiver::start();
        let endpoint = world.endpoint(&receiver, &json!(["user.deleted"]));
        let id = world.admin.post_empty(&format!("/v1/admin/webhooks/{endpoint}/test")).expect(202).text_at("/id");
        let message = receiver.await_messages(1).remove(0);
        assert_eq!((message.id, &message.body["type"], &message.body["data"]), (id, &json!("webhook.test"), &json!({})));
        world.await_state(&endpoint, "delivered", 1);
    }

    fn for_a_day_both_the_new_and_the_former_secret_sign(backend) {
        let world = World::start(backend);
        let receiver = Receiver::start();
        let endpoint = world.endpoint(&receiver, &json!([]));
        let rotated = world.admin.post_empty(&format!("/v1/admin/webhooks/{endpoint}/rotate-secret")).expect(200);
        receiver.expect_signatures_with(&rotated.text_at("/secret"));
        world.server.client().register("ada@example.com");
        assert_eq!(receiver.await_messages(1)[0].signatures.len(), 2);
        world.server.clock.advance(Duration::from_secs(24 * 3600));
        receiver.forget_secrets();
        receiver.expect_signatures_with(&rotated.text_at("/secret"));
        world.server.client().register("bob@example.com");
        assert_eq!(receiver.await_messages(2)[1].signatures.len(), 1);
    }

    fn no_endpoint_is_made_where_messages_may_not_go(backend) {
        let world = World::start_with(backend, |config| {
            config.webhooks.allow_http = false;
        });
        for url in [
            "http://hooks.example/",
            "https://127.0.0.2/",
            "https://10.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://user:password@hooks.example/",
            "ftp://hooks.example/",
            "nonsense",
            "",
        ] {
            let answer = world.admin.post("/v1/admin/webhooks", &json!({"url": url})).expect_problem(422, "invalid_field");
            assert_eq!(answer.field_errors(), [("url".to_owned(), "malformed".to_owned())], "{url}");
        }
        let made = world.admin.post("/v1/admin/webhooks", &json!({"url": "https://hooks.example/"})).expect(201);
        let path = format!("/v1/admin/webhooks/{}", made.text_at("/id"));
        world.admin.patch(&path, &json!({"url": "https://10.0.0.1/"})).expect_problem(422, "invalid_field");
        for (body, field) in [
            (json!({}), "url"),
            (json!({"url": "https://hooks.example/", "event_types": ["user.%"]}), "event_types"),
            (json!({"url": "https://hooks.example/", "event_types": "user.created"}), "event_types"),
            (json!({"url": "https://hooks.example/", "secret": "whsec_own"}), "secret"),
            (json!({"url": "https://hooks.example/", "is_enabled": true}), "is_enabled"),
        ] {
            let answer = world.admin.post("/v1/admin/webhooks", &body).expect(422);
            assert_eq!(answer.field_errors()[0].0, field, "{body}");
        }
    }

    // The name is harmless, what it leads to is not: judged when it is resolved, right before the connection.
    fn a_name_that_leads_to_a_private_address_is_not_followed(backend) {
        let world = World::start_with(backend, |config| config.webhooks.private_networks.clear());
        let receiver = Receiver::start();
        let url = format!("http://localhost:{}/", receiver.port());
        let made = world.admin.post("/v1/admin/webhooks", &json!({"url": url})).expect(201);
        let endpoint = made.text_at("/id");
        world.server.client().register("ada@example.com");
        assert_eq!(world.await_attempts(&endpoint, 1)["last_outcome"], "private_address");
        assert_eq!(receiver.received().len(), 0);
    }
}
