//! jose, as most Node services use it.

use super::process::output;
use super::{AUDIENCE, answers, forgeries, install, service};
use crate::support::{Backend, Server, Value, json, token};

/// What jose says about each token; it is told the issuer and finds the keys itself.
fn verify(node: &mut std::process::Command, server: &Server, tokens: &[String]) -> Vec<Value> {
    answers(&output(node.arg("jose_verify.mjs").args([&server.url, AUDIENCE]), &tokens.join("\n")))
}

#[test]
fn jose_verifies_a_token_with_the_keys_that_discovery_names() {
    let Some(mut node) = install::node() else { return };
    let server = service(Backend::Sqlite);
    server.client().register("ada@example.com");
    let session = server.client().login("ada@example.com");
    let said = verify(&mut node, &server, &[session.access_token()]);
    let (header, claims) = token::decode(&session.access_token());
    assert_eq!(said, [json!({"header": header, "claims": claims})]);
}

#[test]
fn jose_refuses_a_forged_token_for_its_fault() {
    let Some(mut node) = install::node() else { return };
    let server = service(Backend::Sqlite);
    let session = server.client().register("ada@example.com");
    let (faults, tokens): (Vec<_>, Vec<_>) = forgeries(&server, &session.access_token()).into_iter().unzip();
    let said = verify(&mut node, &server, &tokens);
    let expected = [
        ("expired", "ERR_JWT_EXPIRED exp"),
        ("other audience", "ERR_JWT_CLAIM_VALIDATION_FAILED aud"),
        ("other issuer", "ERR_JWT_CLAIM_VALIDATION_FAILED iss"),
        ("no expiry", "ERR_JWT_CLAIM_VALIDATION_FAILED exp"),
        ("no audience", "ERR_JWT_CLAIM_VALIDATION_FAILED aud"),
        ("no subject", "ERR_JWT_CLAIM_VALIDATION_FAILED sub"),
        ("no access token", "ERR_JWT_CLAIM_VALIDATION_FAILED typ"),
        ("tampered claims", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"),
        ("signature of another", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"),
        ("no algorithm", "ERR_JOSE_ALG_NOT_ALLOWED"),
        ("public key as secret", "ERR_JOSE_ALG_NOT_ALLOWED"),
        ("foreign key", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"),
        ("unknown key", "ERR_JWKS_NO_MATCHING_KEY"),
        ("no token", "ERR_JWS_INVALID"),
    ];
    let said: Vec<_> = said.iter().map(|answer| answer["refused"].as_str().expect("refused")).collect();
    assert_eq!(faults.into_iter().zip(said).collect::<Vec<_>>(), expected);
}
