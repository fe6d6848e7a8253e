//! `POST /v1/auth/api-keys/{id}/rotate`.

use super::*;
use crate::support::on_both;

fn works(server: &Server, key: &str) -> bool {
    match with_key(server, key).get("/v1/auth/me").status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

/// Uses a key, and waits until that is noted: from then on it counts as arrived.
fn use_it(server: &Server, key: &str) {
    assert!(works(server, key));
    eventually(|| server.count("api_keys WHERE secret_used_at IS NULL") == 0);
}

on_both! {
    fn both_secrets_work_during_the_overlap_and_then_the_new_one(backend) {
        let (server, client) = world(backend);
        let made = make_key(&client, "account");
        let (old, path) = (made.text_at("/key"), format!("/v1/auth/api-keys/{}/rotate", made.text_at("/id")));
        use_it(&server, &old);
        server.clock.advance(DAY);
        let client = server.client().bearer(&server.client().login(EMAIL).access_token());
        let rotated = client.post(&path, &json!({"overlap": 600})).expect(200);
        let (new, body) = (rotated.text_at("/key"), rotated.json());
        assert_eq!((rotated.text_at("/id"), rotated.text_at("/hint")), (made.text_at("/id"), made.text_at("/hint")));
        assert_eq!((&body["name"], &body["scope"]), (&json!("backup"), &json!("account")));
        assert_eq!(body["created_at"], made.json()["created_at"]);
        assert_eq!(body["issued_at"], "2026-11-22T10:00:00.123456Z");
        assert_eq!(body["expires_at"], "2027-02-20T10:00:00.123456Z", "as long again");
        assert_eq!(body["previous_expires_at"], "2026-11-22T10:10:00.123456Z");
        assert_eq!(rotated.header("cache-control"), "no-store");

        assert!(works(&server, &old) && works(&server, &new));
        server.clock.advance(Duration::from_secs(600));
        assert!(!works(&server, &old) && works(&server, &new));
        let listed = client.get("/v1/auth/api-keys").expect(200).json();
        assert_eq!(listed["api_keys"][0]["previous_expires_at"], json!(null));
        assert_eq!(server.audited("api_key_rotated"), 1);
    }

    fn without_an_overlap_the_old_secret_ends_at_once(backend) {
        let (server, client) = world(backend);
        let made = make_key(&client, "account");
        let path = format!("/v1/auth/api-keys/{}/rotate", made.text_at("/id"));
        let new = client.post(&path, &json!({"overlap": 0})).expect(200).text_at("/key");
        assert!(!works(&server, &made.text_at("/key")) && works(&server, &new));
        for (field, value) in [("overlap", 7 * 86_400 + 1), ("expires_in", 0), ("expires_in", 366 * 86_400)] {
            let answer = client.post(&path, &json!({field: value})).expect_problem(422, "invalid_field");
            assert_eq!(answer.field_errors(), [(field.to_owned(), "out_of_range".to_owned())]);
        }
        let shorter = client.post(&path, &json!({"expires_in": 60})).expect(200);
        assert_eq!(shorter.json()["expires_at"], "2026-11-21T10:01:00.123456Z");
    }

    fn whoever_lost_the_answer_to_a_rotation_asks_again_and_has_ended_nothing(backend) {
        let (server, client) = world(backend);
        let made = make_key(&client, "account");
        let (old, path) = (made.text_at("/key"), format!("/v1/auth/api-keys/{}/rotate", made.text_at("/id")));
        use_it(&server, &old);
        let lost = client.post_empty(&path).expect(200).text_at("/key");
        let new = client.post_empty(&path).expect(200).text_at("/key");
        assert!(works(&server, &old), "what programs work with goes on");
        assert!(!works(&server, &lost), "what nobody has used is replaced");
        // Once the new one is at work, it is what the next rotation leaves room for.
        use_it(&server, &new);
        let newest = client.post_empty(&path).expect(200).text_at("/key");
        assert_eq!([&old, &new, &newest].map(|key| works(&server, key)), [false, true, true]);
    }

    fn of_many_rotations_at_once_one_secret_stays_and_what_works_goes_on(backend) {
        let (server, client) = world(backend);
        let made = make_key(&client, "account");
        let (old, path) = (made.text_at("/key"), format!("/v1/auth/api-keys/{}/rotate", made.text_at("/id")));
        use_it(&server, &old);
        let keys: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| client.post_empty(&path).expect(200).text_at("/key"))).collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        assert_eq!(keys.iter().filter(|key| works(&server, key)).count(), 1);
        assert!(works(&server, &old));
        assert_eq!(server.audited("api_key_rotated"), 8);
    }

    fn what_has_ended_cannot_be_rotated(backend) {
        let (server, client) = world(backend);
        let body = json!({"name": "short", "scope": "read", "expires_in": 60});
        let short = client.post("/v1/auth/api-keys", &body).expect(201).text_at("/id");
        let revoked = make_key(&client, "read").text_at("/id");
        client.delete(&format!("/v1/auth/api-keys/{revoked}")).expect(204);
        server.clock.advance(Duration::from_secs(60));
        for id in [short, revoked] {
            client.post_empty(&format!("/v1/auth/api-keys/{id}/rotate")).expect_problem(404, "not_found");
        }
        assert_eq!(server.audited("api_key_rotated"), 0);
    }
}
