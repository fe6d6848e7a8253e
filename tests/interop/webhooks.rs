//! The library that Standard Webhooks offers to receivers.

use super::process::output;
use super::{answers, install};
use crate::support::{Backend, Server, Value, json, on_both};
use crate::webhook::receiver::{Received, Receiver};

/// What a receiver hands to the library.
fn handed_over(secret: &str, message: &Received) -> Value {
    json!({
        "secret": secret,
        "headers": {
            "Webhook-Id": message.id,
            "Webhook-Timestamp": message.timestamp.to_string(),
            "Webhook-Signature": message.signatures.join(" "),
        },
        "body": message.raw,
    })
}

on_both! {
    fn the_official_library_takes_our_messages_and_no_others(backend) {
        let Some(mut python) = install::python() else { return };
        // It compares the time of a message with the machine's.
        let server = Server::start_on_system_clock(backend, crate::webhook::on_this_machine);
        let client = server.client();
        client.register("root@example.com");
        server.execute("UPDATE users SET roles = 'admin user' WHERE email = 'root@example.com'");
        let admin = client.bearer(&client.login("root@example.com").access_token());
        let receiver = Receiver::start();
        let made = admin.post("/v1/admin/webhooks", &json!({"url": receiver.url()})).expect(201);
        let former = made.text_at("/secret");
        let path = format!("/v1/admin/webhooks/{}/rotate-secret", made.text_at("/id"));
        let secret = admin.post_empty(&path).expect(200).text_at("/secret");
        client.register("ada@example.com");
        let message = receiver.await_messages(1).remove(0);

        let (good, by_former) = (handed_over(&secret, &message), handed_over(&former, &message));
        let mut tampered = good.clone();
        tampered["body"] = json!(message.raw.replace("user.created", "user.deleted"));
        let mut late = good.clone();
        late["headers"]["Webhook-Timestamp"] = json!((message.timestamp - 3_600).to_string());
        let mut renamed = good.clone();
        renamed["headers"]["Webhook-Id"] = json!("01a1fc6f-48d0-717a-ac6b-fd36c79547f2");
        let all: Vec<String> = [&good, &by_former, &tampered, &late, &renamed].map(Value::to_string).into();
        let said = answers(&output(python.arg("webhook_verify.py"), &all.join("\n")));
        assert_eq!(said[0]["message"]["type"], "user.created", "{said:?}");
        assert_eq!(said[1], said[0], "while a secret is rotated both will do");
        assert!(said[2..].iter().all(|answer| answer["refused"].is_string()), "{said:?}");
    }
}
