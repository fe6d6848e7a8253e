//! Webhooks: what receivers are told, how it is signed, and what happens when they do not listen.

mod deliveries;
mod endpoints;
pub mod receiver;

use std::time::Duration;

use receiver::Receiver;
use signet::config::Config;

use crate::support::{Backend, Client, Server, Value, json, wait};

/// A service that may reach receivers on this machine, and an administrator.
struct World {
    server: Server,
    admin: Client,
}

pub fn on_this_machine(config: &mut Config) {
    // Tests move the clock by days.
    config.token.access_ttl = signet::config::Period(Duration::from_secs(30 * 24 * 3600));
    config.webhooks.allow_http = true;
    config.webhooks.private_networks = vec!["127.0.0.1/32".parse().expect("a network")];
}

impl World {
    fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| {})
    }

    fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let server = Server::start_with(backend, |config| {
            on_this_machine(config);
            change(config);
        });
        let client = server.client();
        client.register("root@example.com");
        server.execute("UPDATE users SET roles = 'admin user' WHERE email = 'root@example.com'");
        let admin = client.bearer(&client.login("root@example.com").access_token());
        Self { server, admin }
    }

    /// An endpoint at a receiver; its id.
    fn endpoint(&self, receiver: &Receiver, types: &Value) -> String {
        let body = json!({"url": receiver.url(), "event_types": types});
        let made = self.admin.post("/v1/admin/webhooks", &body).expect(201);
        receiver.expect_signatures_with(&made.text_at("/secret"));
        made.text_at("/id")
    }

    fn deliveries(&self, endpoint: &str) -> Vec<Value> {
        let answer = self.admin.get(&format!("/v1/admin/webhooks/{endpoint}/deliveries?limit=100")).expect(200).json();
        answer["deliveries"].as_array().expect("deliveries").clone()
    }

    /// Waits until so many messages of an endpoint are in a state, and says which.
    #[track_caller]
    fn await_state(&self, endpoint: &str, state: &str, count: usize) -> Vec<Value> {
        let in_state = || -> Vec<Value> {
            self.deliveries(endpoint).into_iter().filter(|delivery| delivery["state"] == state).collect()
        };
        let found = wait::until_some(|| Some(in_state()).filter(|found| found.len() >= count));
        let found = found.unwrap_or_else(|| panic!("no {count} {state}: {:#?}", self.deliveries(endpoint)));
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// Waits until an attempt has been noted.
    #[track_caller]
    fn await_attempts(&self, endpoint: &str, attempts: i64) -> Value {
        let newest = || self.deliveries(endpoint).pop().expect("a message");
        // While it is under way nothing has come of it yet.
        let is_noted = |delivery: &Value| delivery["attempts"] == attempts && !delivery["last_outcome"].is_null();
        let noted = wait::until_some(|| Some(newest()).filter(is_noted));
        noted.unwrap_or_else(|| panic!("not {attempts} attempts: {:#?}", newest()))
    }
}
