//! `GET /v1/auth/sessions`.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Backend, PASSWORD, Server, json, on_both, token};

on_both! {
    fn a_user_sees_where_they_are_signed_in_newest_first(backend) {
        let server = Server::start(backend);
        let first = server.client().with("user-agent", "phone/1").register("ada@example.com");
        server.client().register("eve@example.com");
        server.clock.advance(Duration::from_secs(3600));
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "label": "laptop"});
        let second = server.client().with("user-agent", "browser/2").post("/v1/auth/login", &body).expect(200);
        server.clock.advance(Duration::from_secs(60));
        let second = server.client().refresh(&second.refresh_token()).expect(200);
        let list = server.client().bearer(&second.access_token()).get("/v1/auth/sessions").expect(200).json();
        let sid = |answer: &crate::support::Answer| token::decode(&answer.access_token()).1["sid"].clone();
        assert_eq!(list, json!({
            "sessions": [
                {
                    "id": sid(&second), "current": true, "client_id": "signet", "label": "laptop",
                    "created_at": "2026-11-21T11:00:00.123456Z", "last_used_at": "2026-11-21T11:01:00.123456Z",
                    "expires_at": "2026-11-28T11:01:00.123456Z", "address": "127.0.0.1", "user_agent": "browser/2",
                },
                {
                    "id": sid(&first), "current": false, "client_id": "signet", "label": null,
                    "created_at": "2026-11-21T10:00:00.123456Z", "last_used_at": "2026-11-21T10:00:00.123456Z",
                    "expires_at": "2026-11-28T10:00:00.123456Z", "address": "127.0.0.1", "user_agent": "phone/1",
                },
            ],
            "next": null,
        }));
    }

    fn ended_sessions_are_not_listed(backend) {
        let server = Server::start(backend);
        let idle = server.client().register("ada@example.com");
        let out = server.client().login("ada@example.com");
        server.client().bearer(&out.access_token()).post_empty("/v1/auth/logout").expect(204);
        server.clock.advance(Duration::from_secs(6 * 86_400));
        let kept = server.client().login("ada@example.com");
        server.clock.advance(Duration::from_secs(86_400));
        let kept = server.client().refresh(&kept.refresh_token()).expect(200);
        let list = server.client().bearer(&kept.access_token()).get("/v1/auth/sessions").expect(200).json();
        assert_eq!(list["sessions"].as_array().map(Vec::len), Some(1));
        assert_eq!(list["sessions"][0]["current"], true);
        server.client().refresh(&idle.refresh_token()).expect(401);
    }

    fn a_long_list_comes_in_pages(backend) {
        let server = Server::start(backend);
        let mut session = server.client().register("ada@example.com");
        for _ in 0..6 {
            server.clock.advance(Duration::from_secs(1));
            session = server.client().login("ada@example.com");
        }
        let client = server.client().bearer(&session.access_token());
        let mut seen = Vec::new();
        let mut path = "/v1/auth/sessions?limit=3".to_owned();
        let mut pages = 0;
        loop {
            let page = client.get(&path).expect(200).json();
            pages += 1;
            seen.extend(page["sessions"].as_array().expect("a list").iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
            match page["next"].as_str() {
                Some(next) => path = format!("/v1/auth/sessions?limit=3&after={next}"),
                None => break,
            }
        }
        assert_eq!((pages, seen.len()), (3, 7));
        let whole = client.get("/v1/auth/sessions?limit=7").expect(200).json();
        assert_eq!(whole["next"], Value::Null, "a page that is just full is the last");
        let mut sorted = seen.clone();
        sorted.sort_by(|a, b| b.cmp(a));
        sorted.dedup();
        assert_eq!(seen, sorted, "each once, newest first");
    }

    fn a_bad_page_is_refused(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let client = server.client().bearer(&session.access_token());
        for query in ["limit=0", "limit=101", "limit=-1", "limit=1e9", "after=%00", "after=x", "page=2", "limit=%zz"] {
            client.get(&format!("/v1/auth/sessions?{query}")).expect_problem(422, "invalid_field");
        }
    }
}
