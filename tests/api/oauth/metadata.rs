//! `GET /.well-known/oauth-authorization-server`, `/.well-known/openid-configuration`.

use crate::support::{Backend, Server, json, on_both};

on_both! {
    fn both_documents_are_one_and_list_only_what_works(backend) {
        let server = Server::start(backend);
        let metadata = server.client().get("/.well-known/oauth-authorization-server").expect(200);
        assert_eq!(metadata.header("content-type"), "application/json");
        assert_eq!(metadata.header("access-control-allow-origin"), "*");
        assert_eq!(server.client().get("/.well-known/openid-configuration").expect(200).text, metadata.text);
        let issuer = &server.url;
        assert_eq!(metadata.json(), json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "token_endpoint": format!("{issuer}/oauth2/token"),
            "grant_types_supported": ["refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange"],
            "token_endpoint_auth_methods_supported": ["none"],
            "scopes_supported": ["account", "admin"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }));
    }

    fn the_password_grant_is_listed_where_it_works(backend) {
        let server = Server::start_with(backend, |config| config.oauth.password_grant = true);
        let metadata = server.client().get("/.well-known/openid-configuration").expect(200).json();
        assert_eq!(metadata["grant_types_supported"], json!(["refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange", "password"]));
    }

    fn the_host_of_a_request_changes_nothing(backend) {
        let server = Server::start(backend);
        let plain = server.client().get("/.well-known/openid-configuration").expect(200).text;
        let evil = server.client().with("host", "evil.example").with("x-forwarded-host", "evil.example").with("forwarded", "host=evil.example;proto=https");
        assert_eq!(evil.get("/.well-known/openid-configuration").expect(200).text, plain);
    }
}
