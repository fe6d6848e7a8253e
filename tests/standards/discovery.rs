//! D: discovery.

use crate::support::{Backend, PASSWORD, Server, json};

const PATHS: [&str; 2] = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];

#[test]
fn d1_both_documents_are_one_and_the_issuer_is_exact() {
    let server = Server::start(Backend::Sqlite);
    let [openid, oauth] = PATHS.map(|path| server.client().get(path).expect(200).text);
    assert_eq!(openid, oauth);
    let document: crate::support::Value = serde_json::from_str(&openid).expect("JSON");
    assert_eq!(document["issuer"], json!(server.url));
    assert!(!server.url.ends_with('/'));
}

#[test]
fn d2_what_discovery_clients_demand_is_there() {
    let server = Server::start(Backend::Sqlite);
    let document = server.client().get(PATHS[0]).expect(200).json();
    assert_eq!(document["jwks_uri"], json!(format!("{}/.well-known/jwks.json", server.url)));
    assert_eq!(document["id_token_signing_alg_values_supported"], json!(["ES256"]));
    assert!(document["response_types_supported"].is_array() && document["subject_types_supported"].is_array());
}

#[test]
fn d3_the_grants_that_are_listed_work_and_no_other() {
    for password_grant in [false, true] {
        let server = Server::start_with(Backend::Sqlite, |config| config.oauth.password_grant = password_grant);
        let session = server.client().register("ada@example.com");
        let document = server.client().get(PATHS[0]).expect(200).json();
        let listed = document["grant_types_supported"].as_array().expect("a list").clone();
        let token = session.refresh_token();
        for grant_type in ["refresh_token", "password", "client_credentials", "authorization_code", "implicit"] {
            let form = [
                ("grant_type", grant_type),
                ("refresh_token", &token),
                ("username", "ada@example.com"),
                ("password", PASSWORD),
            ];
            let answer = server.client().form("/oauth2/token", &form);
            if listed.contains(&json!(grant_type)) {
                answer.expect(200);
            } else {
                answer.expect_oauth(400, "unsupported_grant_type");
            }
        }
        assert_eq!(document["token_endpoint_auth_methods_supported"], json!(["none"]));
    }
}
