//! Authlib, a Python client that speaks OAuth 2.

use super::process::output;
use super::{install, service};
use crate::support::{Backend, PASSWORD};

#[test]
fn authlib_refreshes_by_itself_when_the_access_token_runs_out() {
    let Some(mut python) = install::python() else { return };
    let server = service(Backend::Sqlite);
    server.client().register("ada@example.com");
    let said = output(python.args(["authlib_refresh.py", &server.url, "ada@example.com", PASSWORD]), "");
    let said = super::answers(&said).remove(0);
    assert_eq!((&said["status"], &said["me"]["email"]), (&200.into(), &"ada@example.com".into()));
    assert_ne!(said["first"]["access_token"], said["second"]["access_token"]);
    assert_ne!(said["first"]["refresh_token"], said["second"]["refresh_token"]);
    assert_eq!(said["second"]["expires_in"], 900);
    assert_eq!(server.metric("signet_refreshes_total{outcome=\"rotated\"}"), 1.0);
}
