//! `/v1/admin/users/{id}/api-keys`: an administrator and the keys of others.

use std::time::Duration;

use super::{Admin, admin, admin_called, bare, start_with, trail, user_id};
use crate::api::api_key::{exchange, with_key};
use crate::support::{Answer, Backend, Client, Server, json, on_both, token};

const AGAIN: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

/// A service, an administrator, and the path of the keys of a service user of theirs, whose role carries `orders:read`.
fn world(backend: Backend) -> (Server, Admin, String, String) {
    let server = start_with(backend, |config| {
        config.roles.0.insert("backup".to_owned(), "orders:read".parse().expect("a scope"));
    });
    let root = admin(&server);
    let body = json!({"email": "backup@service.invalid", "roles": ["backup"]});
    let id = root.client.post("/v1/admin/users", &body).expect(201).text_at("/id");
    let path = format!("/v1/admin/users/{id}/api-keys");
    (server, root, id, path)
}

fn make(client: &Client, path: &str) -> Answer {
    client.post(path, &json!({"name": "nightly", "scope": "orders:read"}))
}

fn works(server: &Server, key: &str) -> bool {
    match exchange(server, key, &[]).status {
        200 => true,
        400 => false,
        other => panic!("{other}"),
    }
}

on_both! {
    fn an_administrator_makes_rotates_and_ends_the_keys_of_a_service(backend) {
        let (server, root, id, path) = world(backend);
        let made = make(&root.client, &path).expect(201);
        let (key, key_id) = (made.text_at("/key"), made.text_at("/id"));
        assert_eq!(made.header("location"), format!("{path}/{key_id}"));
        assert_eq!(made.header("cache-control"), "no-store");
        assert_eq!(made.json()["expires_at"], "2027-02-19T10:00:00.123456Z", "90 days");
        let claims = token::decode(&exchange(&server, &key, &[]).expect(200).access_token()).1;
        assert_eq!((&claims["sub"], &claims["scope"], &claims["roles"]), (&json!(id), &json!("orders:read"), &json!(["backup"])));
        let listed = root.client.get(&path).expect(200);
        assert!(!listed.text.contains(&key));
        assert_eq!((listed.text_at("/api_keys/0/id"), &listed.json()["next"]), (key_id.clone(), &json!(null)));

        crate::api::api_key::eventually(|| server.count("api_keys WHERE secret_used_at IS NULL") == 0);
        let rotated = root.client.post(&format!("{path}/{key_id}/rotate"), &json!({"overlap": 600})).expect(200);
        let new = rotated.text_at("/key");
        assert_eq!((rotated.text_at("/id"), rotated.header("cache-control")), (key_id.clone(), "no-store"));
        assert!(works(&server, &key) && works(&server, &new));
        server.clock.advance(Duration::from_secs(600));
        assert!(!works(&server, &key) && works(&server, &new));

        root.client.delete(&format!("{path}/{key_id}")).expect(204);
        assert!(!works(&server, &new));
        root.client.delete(&format!("{path}/{key_id}")).expect_problem(404, "not_found");
        root.client.post_empty(&format!("{path}/{key_id}/rotate")).expect_problem(404, "not_found");
        let sid = crate::api::admin::sid(&root.session);
        for kind in ["api_key_created", "api_key_rotated", "api_key_revoked"] {
            let events = trail(&server, kind);
            let [(actor, subject, detail)] = events.as_slice() else { panic!("{kind}: {events:?}") };
            assert_eq!((actor, subject), (&bare(&root.id), &bare(&id)), "{kind}");
            assert_eq!((&detail["key_id"], &detail["by_session"]), (&json!(key_id), &json!(sid)), "{kind}");
        }
    }

    fn all_keys_of_a_user_end_at_once_and_nobody_elses(backend) {
        let (server, root, _, path) = world(backend);
        let keys = [make(&root.client, &path), make(&root.client, &path)].map(|made| made.expect(201).text_at("/key"));
        let ada = server.client().register("ada@example.com");
        let hers = server.client().bearer(&ada.access_token()).post("/v1/auth/api-keys", &json!({"name": "x", "scope": "account"})).expect(201);
        assert_eq!(root.client.delete(&path).expect(200).json(), json!({"revoked": 2}));
        assert_eq!(root.client.delete(&path).expect(200).json(), json!({"revoked": 0}));
        assert!(keys.iter().all(|key| !works(&server, key)));
        with_key(&server, &hers.text_at("/key")).get("/v1/auth/me").expect(200);
        assert_eq!(server.audited("api_keys_revoked"), 1);
        // A key has one owner: by another's path it is not there.
        let key = hers.text_at("/id");
        root.client.delete(&format!("{path}/{key}")).expect_problem(404, "not_found");
        root.client.post_empty(&format!("{path}/{key}/rotate")).expect_problem(404, "not_found");
        root.client.delete(&format!("/v1/admin/users/{}/api-keys/{key}", user_id(&ada))).expect(204);
        with_key(&server, &hers.text_at("/key")).get("/v1/auth/me").expect_problem(401, "invalid_token");
    }

    fn no_key_has_more_than_its_user_or_lives_longer_than_keys_do(backend) {
        let (server, root, id, path) = world(backend);
        for (field, value, code) in [
            ("scope", json!("orders:write"), "not_granted"),
            ("scope", json!("orders:read admin"), "reserved"),
            ("scope", json!(" "), "too_short"),
            ("name", json!(" "), "too_short"),
            ("expires_in", json!(0), "out_of_range"),
            ("expires_in", json!(366 * 86_400), "out_of_range"),
        ] {
            let mut body = json!({"name": "nightly", "scope": "orders:read"});
            body[field] = value;
            let refused = root.client.post(&path, &body).expect_problem(422, "invalid_field");
            assert_eq!(refused.field_errors(), [(field.to_owned(), code.to_owned())], "{body}");
        }
        let key = make(&root.client, &path).expect(201).text_at("/id");
        let renewed = root.client.post(&format!("{path}/{key}/rotate"), &json!({"overlap": 7 * 86_400 + 1}));
        renewed.expect_problem(422, "invalid_field");
        root.client.post_empty(&format!("/v1/admin/users/{id}/disable")).expect(200);
        make(&root.client, &path).expect_problem(409, "user_disabled");
        root.client.post_empty(&format!("{path}/{key}/rotate")).expect_problem(409, "user_disabled");
        root.client.delete(&format!("{path}/{key}")).expect(204);
        assert_eq!((server.audited("api_key_created"), server.audited("api_key_rotated")), (1, 0));
    }

    fn nobody_has_a_key_in_the_name_of_another_administrator(backend) {
        let (server, root, ..) = world(backend);
        let other = admin_called(&server, "other@example.com");
        let body = json!({"name": "x", "scope": "account"});
        let theirs = format!("/v1/admin/users/{}/api-keys", other.id);
        root.client.post(&theirs, &body).expect_problem(403, "forbidden");
        let own = other.client.post("/v1/auth/api-keys", &body).expect(201).text_at("/id");
        root.client.post_empty(&format!("{theirs}/{own}/rotate")).expect_problem(403, "forbidden");
        root.client.delete(&format!("{theirs}/{own}")).expect(204);
        root.client.post(&format!("/v1/admin/users/{}/api-keys", root.id), &body).expect(201);
        assert_eq!((server.audited("api_key_created"), server.audited("api_key_rotated")), (2, 0));
    }

    fn a_creation_that_is_sent_again_is_answered_with_the_same_key(backend) {
        let (server, root, id, path) = world(backend);
        let client = root.client.with("idempotency-key", AGAIN);
        let first = make(&client, &path).expect(201);
        let again = make(&client, &path).expect(201);
        assert_eq!((again.json(), again.header("location")), (first.json(), first.header("location")));
        assert_eq!(server.count("api_keys"), 1);
        assert_eq!(server.audited("api_key_created"), 1);
        let other = format!("/v1/admin/users/{}/api-keys", root.id);
        make(&client, &other).expect_problem(422, "idempotency_key_reused");
        // What was refused leaves its key free.
        let next = root.client.with("idempotency-key", &format!("{AGAIN}-2"));
        root.client.post_empty(&format!("/v1/admin/users/{id}/disable")).expect(200);
        make(&next, &path).expect_problem(409, "user_disabled");
        root.client.post_empty(&format!("/v1/admin/users/{id}/enable")).expect(200);
        make(&next, &path).expect(201);
    }

    fn of_many_rotations_at_once_one_secret_stays_and_what_works_goes_on(backend) {
        let (server, root, _, path) = world(backend);
        let made = make(&root.client, &path).expect(201);
        let (key, rotate) = (made.text_at("/key"), format!("{path}/{}/rotate", made.text_at("/id")));
        assert!(works(&server, &key));
        crate::api::api_key::eventually(|| server.count("api_keys WHERE secret_used_at IS NULL") == 0);
        let keys: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| root.client.post_empty(&rotate).expect(200).text_at("/key"))).collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        assert_eq!(keys.iter().filter(|key| works(&server, key)).count(), 1);
        assert!(works(&server, &key));
        assert_eq!(server.audited("api_key_rotated"), 8);
    }
}
