//! An Express service that verifies our tokens with jose.

use super::process::Serving;
use super::{install, service, sibling};
use crate::support::Backend;

/// The service that the README shows; `None` without Node.
fn start(issuer: &str) -> Option<Serving> {
    let mut node = install::node()?;
    node.arg("express_app.mjs").env("PORT", "0").envs(sibling::environment(issuer));
    Some(Serving::start(&mut node))
}

#[test]
fn an_express_service_lets_in_the_bearer_of_a_genuine_token_only() {
    let server = service(Backend::Sqlite);
    let Some(app) = start(&server.url) else { return };
    sibling::lets_in_the_bearer_of_a_genuine_token_only(&server, &app.url);
    sibling::lets_administrators_only_into_the_office(&server, &app.url);
}

#[test]
fn an_express_service_does_not_blame_the_caller_when_the_keys_cannot_be_fetched() {
    let server = service(Backend::Sqlite);
    let Some(app) = start(&sibling::nowhere()) else { return };
    sibling::does_not_blame_the_caller_when_the_keys_cannot_be_fetched(&server, &app.url);
}
