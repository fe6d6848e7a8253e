//! `GET, DELETE /v1/admin/users/{id}/sessions`.

use std::time::Instant;

use super::{admin, bare, start, trail, user_id};
use crate::support::{Backend, json, on_both};

on_both! {
    fn an_administrator_sees_where_somebody_is_signed_in_and_ends_it(backend) {
        let server = start(backend);
        let root = admin(&server);
        let session = server.client().register("ada@example.com");
        let other = server.client().login("ada@example.com");
        let eve = server.client().register("eve@example.com");
        let path = format!("/v1/admin/users/{}/sessions", user_id(&session));
        let list = root.client.get(&path).expect(200).json();
        assert_eq!((list["sessions"].as_array().map(Vec::len), list["sessions"][0]["current"].clone()), (Some(2), json!(false)));
        assert_eq!(root.client.delete(&path).expect(200).json(), json!({"ended": 2}));
        for ended in [session, other] {
            server.client().refresh(&ended.refresh_token()).expect_problem(401, "invalid_grant");
        }
        server.client().refresh(&eve.refresh_token()).expect(200);
        assert_eq!(root.client.get(&path).expect(200).json(), json!({"sessions": [], "next": null}));
        assert_eq!(root.client.delete(&path).expect(200).json(), json!({"ended": 0}));
        let events = trail(&server, "user_sessions_ended");
        assert_eq!(events.len(), 1);
        assert_eq!((&events[0].0, &events[0].2["count"]), (&bare(&root.id), &json!(2)));
    }

    fn ten_thousand_sessions_are_listed_in_pages_and_ended_at_once(backend) {
        let server = start(backend);
        let root = admin(&server);
        let id = user_id(&server.client().register("ada@example.com"));
        crate::api::admin::many_sessions(&server, "ada@example.com", 10_000);
        let path = format!("/v1/admin/users/{id}/sessions");
        let mut seen = std::collections::BTreeSet::new();
        let mut next = None::<String>;
        for _ in 0..10 {
            let after = next.map(|next| format!("&after={next}")).unwrap_or_default();
            let page = root.client.get(&format!("{path}?limit=100{after}")).expect(200).json();
            seen.extend(page["sessions"].as_array().expect("a list").iter().map(|item| item["id"].to_string()));
            next = page["next"].as_str().map(str::to_owned);
            assert!(next.is_some());
        }
        assert_eq!(seen.len(), 1_000);
        let begun = Instant::now();
        assert_eq!(root.client.delete(&path).expect(200).json(), json!({"ended": 10_001}));
        crate::support::say(&format!("10,001 sessions of one user ended in {:?} ({backend:?})", begun.elapsed()));
        assert_eq!(root.client.get(&path).expect(200).json()["sessions"], json!([]));
    }
}
