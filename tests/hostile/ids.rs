//! One user with the ids of another, on every route that takes an id, in the path or in the query.

use super::{operations, rows};
use crate::api::admin::{admin, sid, user_id};
use crate::api::api_key::make_key;
use crate::support::{Backend, Client, Server, Value, json, on_both};

/// All that Ada has with an id, an endpoint that an administrator made among it.
fn ids_of_ada(server: &Server) -> Vec<String> {
    let session = server.client().register("ada@example.com");
    let key = make_key(&server.client().bearer(&session.access_token()), "account").text_at("/id");
    let webhook = json!({"url": "https://hooks.example/"});
    let webhook = admin(server).client.post("/v1/admin/webhooks", &webhook).expect(201).text_at("/id");
    vec![user_id(&session), sid(&session), key, webhook]
}

fn names(parameters: &Value, place: &str) -> Vec<String> {
    let parameters = parameters.as_array().into_iter().flatten();
    let own = parameters.filter(|parameter| parameter["in"] == place);
    own.map(|parameter| parameter["name"].as_str().expect("a name").to_owned()).collect()
}

fn send(client: &Client, method: &str, path: &str) -> (u16, String) {
    let body = if ["POST", "PATCH"].contains(&method) { &b"{}"[..] } else { b"" };
    let answer = client.send(method, path, (!body.is_empty()).then_some("application/json"), body);
    (answer.status, answer.text)
}

on_both! {
    fn nobody_reaches_anything_by_the_ids_of_somebody_else(backend) {
        let server = Server::start(backend);
        let ids = ids_of_ada(&server);
        let eve = server.client().bearer(&server.client().register("eve@example.com").access_token());
        let tables = ["users", "sessions", "api_keys", "webhook_endpoints", "one_time_tokens", "totp_factors"];
        let before = rows(&server, backend, &tables);
        let (mut in_paths, mut in_queries) = (0, 0);
        for (method, path, described) in operations() {
            for id in &ids {
                let path = path.replace("{id}", id).replace("{key}", id);
                assert!(!path.contains('{'), "{path}: what goes there?");
                if path.contains(id.as_str()) {
                    let (status, text) = send(&eve, &method, &path);
                    // 422: a body that lacks something is judged before its sender is looked up.
                    assert!([403, 404, 422].contains(&status), "{method} {path} with {id}: {status} {text}");
                    in_paths += 1;
                }
                for name in names(&described["parameters"], "query") {
                    let (status, text) = send(&eve, &method, &format!("{path}?{name}={id}"));
                    let is_told = ids.iter().any(|id| text.contains(id)) || text.contains("ada@");
                    assert!(!is_told && status != 500, "{method} {path}?{name}={id}: {status} {text}");
                    in_queries += 1;
                }
            }
        }
        assert!(in_paths > 60 && in_queries > 60, "{in_paths} {in_queries}");
        assert_eq!(rows(&server, backend, &tables), before, "something was changed");
    }
}
