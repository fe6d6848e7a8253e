//! `GET /v1/admin/roles`.

use super::{admin, start_with};
use crate::support::{Backend, json, on_both};

on_both! {
    fn an_administrator_sees_what_each_role_carries(backend) {
        let server = start_with(backend, |config| {
            config.roles.0.insert("editor".to_owned(), "write read".parse().expect("a scope"));
        });
        let root = admin(&server);
        assert_eq!(root.client.get("/v1/admin/roles").expect(200).json(), json!({
            "of_everybody": "account",
            "roles": [
                {"role": "admin", "scope": "admin"},
                {"role": "editor", "scope": "read write"},
                {"role": "user", "scope": ""},
            ],
        }));
    }
}
