//! `POST /v1/admin/users/{id}/restore`.

use super::{admin, bare, expect_password_works, log_in_with, start, trail, user_id};
use crate::support::{Backend, PASSWORD, json, on_both};

on_both! {
    fn who_was_deleted_comes_back_without_their_sessions(backend) {
        let server = start(backend);
        let root = admin(&server);
        let ada = server.client().register("ada@example.com");
        let path = format!("/v1/admin/users/{}", user_id(&ada));
        root.client.post_empty(&format!("{path}/restore")).expect_problem(404, "not_found");
        root.client.delete(&path).expect(204);
        log_in_with(&server, "ada@example.com", PASSWORD).expect_problem(401, "invalid_credentials");
        let restored = root.client.post_empty(&format!("{path}/restore")).expect(200).json();
        assert_eq!((&restored["email"], &restored["is_active"]), (&json!("ada@example.com"), &json!(true)));
        server.client().refresh(&ada.refresh_token()).expect_problem(401, "invalid_grant");
        expect_password_works(&server, "ada@example.com");
        let events = trail(&server, "user_restored");
        assert_eq!(events.len(), 1);
        assert_eq!((&events[0].0, &events[0].1), (&bare(&root.id), &bare(&user_id(&ada))));
    }
}
