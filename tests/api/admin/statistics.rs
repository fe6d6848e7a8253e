//! `GET /v1/admin/statistics`, `GET /v1/admin/keys`.

use std::time::Duration;

use super::{admin, log_in_with, start};
use crate::support::{Backend, json, on_both};

on_both! {
    fn an_administrator_sees_how_much_there_is(backend) {
        let server = start(backend);
        let root = admin(&server);
        let ada = server.client().register("ada@example.com");
        log_in_with(&server, "ada@example.com", "not the right one").expect(401);
        log_in_with(&server, "nobody@example.com", "not the right one").expect(401);
        server.client().post("/v1/auth/logout", &json!({"refresh_token": ada.refresh_token()})).expect(204);
        let statistics = root.client.get("/v1/admin/statistics").expect(200).json();
        assert_eq!(statistics, json!({
            "users": {"count": 2, "more": false, "admins": 1},
            "sessions": {"live": 2, "due_for_cleanup": 0, "more": false},
            "logins": {
                "since": "2026-11-20T10:00:00.123456Z",
                "outcomes": {"success": 1, "wrong_password": 1, "unknown_user": 1},
                "more": false,
            },
        }));
        server.clock.advance(Duration::from_secs(8 * 24 * 3600));
        let root = crate::api::admin::signed_in_again(&server, root);
        let later = root.client.get("/v1/admin/statistics").expect(200).json();
        assert_eq!(later["logins"]["outcomes"], json!({"success": 1}), "of the last day");
        assert_eq!(later["sessions"]["live"], 1);
    }

    fn an_administrator_sees_the_keys_and_no_secret(backend) {
        let server = start(backend);
        let root = admin(&server);
        let keys = root.client.get("/v1/admin/keys").expect(200);
        let published = server.client().get("/.well-known/jwks.json").expect(200).json();
        let key = &keys.json()["keys"][0];
        assert_eq!((&key["kid"], &key["state"]), (&published["keys"][0]["kid"], &json!("signing")));
        assert_eq!(key.as_object().map(|members| members.len()), Some(4), "{key}");
    }
}
