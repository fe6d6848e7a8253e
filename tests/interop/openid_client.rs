//! openid-client, a certified Node client: discovery by either name, and the refresh token grant.

use super::process::output;
use super::{install, service};
use crate::support::{Backend, json};

#[test]
fn openid_client_discovers_the_service_and_refreshes() {
    let server = service(Backend::Sqlite);
    for (user, document) in [("ada@example.com", "oidc"), ("grace@example.com", "oauth2")] {
        let Some(mut node) = install::node() else { return };
        let session = server.client().register(user);
        let program = ["openid_client_refresh.mjs", &server.url, &session.refresh_token(), document];
        let said = super::answers(&output(node.args(program), "")).remove(0);
        assert_eq!(
            said["supported"],
            json!(["refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange", "password"])
        );
        assert_eq!(said["refusal"], json!({"error": "invalid_grant", "status": 400}));
        let last = said["second"]["refresh_token"].as_str().expect("a refresh token");
        assert_ne!(said["first"]["refresh_token"], last);
        server.client().refresh(last).expect(200);
    }
    assert_eq!(server.audited("authn_token_reuse"), 0);
}
