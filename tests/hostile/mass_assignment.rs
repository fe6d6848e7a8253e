//! Every body of the API description with one field more than it has: each column of the tables of users and sessions.
//!
//! The body itself is made from its schema and is good, so that the one thing wrong with it is the field. Whoever sends it
//! may do all that there is to do.

use std::collections::BTreeSet;

use super::{columns, operations, rows};
use crate::api::admin::{Admin, admin, user_id};
use crate::support::{Backend, PASSWORD, Server, Value, json, on_both, phone};

/// What may not be otherwise afterwards.
const TABLES: [&str; 9] = [
    "users",
    "sessions",
    "api_keys",
    "one_time_tokens",
    "email_changes",
    "totp_factors",
    "mfa_challenges",
    "webhook_endpoints",
    "outbox",
];

/// A value that the schema takes.
fn value_of(name: &str, schema: &Value) -> Value {
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (_, Some("email")) => json!("new@example.com"),
        (_, Some("password")) => json!(PASSWORD),
        (_, Some("uri")) => json!("https://hooks.example/"),
        _ if name == "url" => json!("https://hooks.example/"),
        (Some("string"), _) => json!("text"),
        (Some("boolean"), _) => json!(true),
        (Some("integer"), _) => json!(1),
        (Some("array"), _) => json!([]),
        _ => panic!("{name}: what is {schema}?"),
    }
}

/// The least body that the schema takes.
fn body_of(schema: &Value) -> Value {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let names = required.iter().map(|name| name.as_str().expect("a name"));
    names
        .map(|name| (name.to_owned(), value_of(name, &schema["properties"][name])))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// What somebody would like to write into a column.
fn wish(column: &str, root: &Admin) -> Value {
    match column {
        "roles" => json!(["admin"]),
        "scope" => json!("account admin"),
        "id" | "user_id" | "actor_id" => json!(root.id),
        _ if column.starts_with("is_") || column.starts_with("has_") || column.starts_with("was_") => json!(true),
        _ if column.ends_with("_at") || column.ends_with("_time") || column.ends_with("_until") => {
            json!("2030-01-01T00:00:00Z")
        }
        "access_version" | "generation" => json!(7),
        _ => json!("text"),
    }
}

on_both! {
    fn no_body_takes_a_column_that_is_no_field_of_it(backend) {
        let server = Server::start_with(backend, phone::switch_on);
        let root = admin(&server);
        let ada = user_id(&server.client().register("ada@example.com"));
        let hook = json!({"url": "https://hooks.example/"});
        let hook = root.client.post("/v1/admin/webhooks", &hook).expect(201).text_at("/id");
        let wanted: BTreeSet<String> = ["users", "sessions"].into_iter().flat_map(|table| columns(&server, backend, table)).collect();
        let before = rows(&server, backend, &TABLES);
        let mut tried = 0;
        for (method, path, described) in operations() {
            let schema = &described["requestBody"]["content"]["application/json"]["schema"];
            let Some(properties) = schema["properties"].as_object() else { continue };
            let id = if path.contains("/webhooks/") { &hook } else { &ada };
            for column in wanted.iter().filter(|column| !properties.contains_key(*column)) {
                let mut body = body_of(schema);
                body[column] = wish(column, &root);
                let body = body.to_string();
                let answer = root.client.send(&method, &path.replace("{id}", id), Some("application/json"), body.as_bytes());
                let answer = answer.expect_problem(422, "invalid_field");
                assert_eq!(answer.field_errors(), [(column.clone(), "unknown".to_owned())], "{method} {path} {body}");
                tried += 1;
            }
        }
        assert!(tried > 700, "{tried}");
        assert_eq!(rows(&server, backend, &TABLES), before, "something was changed");
    }

    /// RFC 6749 §3.2 wants unknown parameters ignored.
    fn the_token_endpoint_ignores_what_it_does_not_know(backend) {
        let server = Server::start(backend);
        let root = admin(&server);
        let mut token = server.client().register("ada@example.com").refresh_token();
        let wanted: BTreeSet<String> = ["users", "sessions"].into_iter().flat_map(|table| columns(&server, backend, table)).collect();
        let before = rows(&server, backend, &TABLES);
        for column in wanted.iter().filter(|column| !["scope", "client_id"].contains(&column.as_str())) {
            let wish = wish(column, &root);
            let wish = wish.as_str().map_or_else(|| wish.to_string(), str::to_owned);
            let fields = [("grant_type", "refresh_token"), ("refresh_token", &*token), (column, &wish)];
            let answer = server.client().form("/oauth2/token", &fields).expect(200);
            token = answer.refresh_token();
            server.client().bearer(&answer.access_token()).get("/v1/admin/users").expect_problem(403, "forbidden");
        }
        assert_eq!(rows(&server, backend, &TABLES), before, "something was changed");
    }
}
