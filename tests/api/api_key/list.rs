//! `GET /v1/auth/api-keys`.

use super::*;
use crate::support::on_both;

on_both! {
    fn a_user_sees_their_own_keys_that_work_newest_first(backend) {
        let (server, client) = world(backend);
        let make = |name: &str, seconds: u64| {
            server.clock.advance(Duration::from_secs(1));
            let body = json!({"name": name, "scope": "read", "expires_in": seconds});
            client.post("/v1/auth/api-keys", &body).expect(201).text_at("/id")
        };
        let [_short, first, gone, last] = [make("short", 60), make("first", 600), make("gone", 600), make("last", 600)];
        let eve = server.client().register("eve@example.com");
        let eve = server.client().bearer(&eve.access_token());
        make_key(&eve, "read");
        client.delete(&format!("/v1/auth/api-keys/{gone}")).expect(204);
        server.clock.advance(Duration::from_secs(60));

        let all = client.get("/v1/auth/api-keys").expect(200).json();
        let ids: Vec<&str> = all["api_keys"].as_array().expect("a list").iter().filter_map(|key| key["id"].as_str()).collect();
        assert_eq!((ids, &all["next"]), (vec![last.as_str(), first.as_str()], &json!(null)));
        let page = client.get("/v1/auth/api-keys?limit=1").expect(200);
        assert_eq!((page.text_at("/api_keys/0/id"), page.text_at("/next")), (last.clone(), last.clone()));
        let next = client.get(&format!("/v1/auth/api-keys?limit=1&after={last}")).expect(200).json();
        assert_eq!((&next["api_keys"][0]["name"], &next["next"]), (&json!("first"), &json!(null)));
        assert_eq!(eve.get("/v1/auth/api-keys").expect(200).json()["api_keys"].as_array().map(Vec::len), Some(1));
        for member in ["key", "secret_digest", "handle"] {
            assert_eq!(all["api_keys"][0].get(member), None, "{member}");
        }
    }
}
