//! What a user is told by mail of their API keys.

use super::*;
use crate::api::admin::{Admin, admin};
use crate::support::mailbox::{self, Mailbox};
use crate::support::{Value, on_both};

const BODY: fn() -> Value = || json!({"name": "x", "scope": "account"});

fn start(backend: Backend) -> (Server, Admin) {
    let server = Server::start_with(backend, mailbox::into_folder);
    let root = admin(&server);
    (server, root)
}

on_both! {
    fn whoever_makes_a_key_for_themselves_is_told_where_from_and_of_nothing_else(backend) {
        let (server, _) = start(backend);
        let session = server.client().register(EMAIL);
        let client = server.client().bearer(&session.access_token());
        let made = client.post("/v1/auth/api-keys", &BODY()).expect(201);
        let mailbox = Mailbox::of(&server);
        let told = mailbox.newest(EMAIL, "api_key_created");
        assert!(told.text.contains("2026-11-21 10:00 UTC from 127.0.0.1"), "{}", told.text);
        assert!(!told.text.contains("sgk_"), "{}", told.text);
        let refused = json!({"name": "x", "scope": "unknown"});
        client.post("/v1/auth/api-keys", &refused).expect(422);
        let path = format!("/v1/auth/api-keys/{}", made.text_at("/id"));
        client.post_empty(&format!("{path}/rotate")).expect(200);
        client.delete(&path).expect(204);
        client.delete("/v1/auth/api-keys").expect(204);
        let of_keys = mailbox.mails().into_iter().filter(|mail| mail.template.starts_with("api_key")).count();
        assert_eq!(of_keys, 1);
    }

    fn what_somebody_else_did_to_ones_keys_is_told(backend) {
        let (server, root) = start(backend);
        let id = server.client().register(EMAIL).text_at("/user/id");
        let path = format!("/v1/admin/users/{id}/api-keys");
        let mailbox = Mailbox::of(&server);
        let made = root.client.post(&path, &BODY()).expect(201);
        let told = mailbox.newest(EMAIL, "api_key_handed_out");
        assert!(told.text.contains("2026-11-21 10:00 UTC") && !told.text.contains("UTC from"), "{}", told.text);
        let key = format!("{path}/{}", made.text_at("/id"));
        root.client.post_empty(&format!("{key}/rotate")).expect(200);
        root.client.delete(&key).expect(204);
        mailbox.newest(EMAIL, "api_key_revoked");
        root.client.delete(&key).expect(404);
        root.client.delete(&path).expect(200);
        root.client.post(&path, &BODY()).expect(201);
        root.client.delete(&path).expect(200);
        let kinds: Vec<String> = mailbox.mails().into_iter().map(|mail| mail.template).collect();
        let count = |kind: &str| kinds.iter().filter(|own| *own == kind).count();
        assert_eq!((count("api_key_handed_out"), count("api_key_revoked")), (3, 2), "{kinds:?}");
        assert_eq!(count("api_key_created"), 0, "{kinds:?}");
    }

    fn a_service_whose_address_is_nobodys_is_sent_nothing(backend) {
        let (server, root) = start(backend);
        let body = json!({"email": "backup@service.invalid"});
        let id = root.client.post("/v1/admin/users", &body).expect(201).text_at("/id");
        let path = format!("/v1/admin/users/{id}/api-keys");
        root.client.post(&path, &BODY()).expect(201);
        root.client.delete(&path).expect(200);
        server.client().post("/v1/auth/forgot-password", &json!({"email": "backup@service.invalid"})).expect(202);
        assert_eq!(Mailbox::of(&server).count("backup@service.invalid"), 0);
        assert_eq!((server.audited("api_key_created"), server.audited("api_keys_revoked")), (1, 1));
    }
}
