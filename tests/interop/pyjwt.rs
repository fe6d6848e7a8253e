//! PyJWT, as most Python services use it.

use super::process::output;
use super::{AUDIENCE, answers, forgeries, install, service};
use crate::support::{Backend, Server, Value, json, on_both, token};

/// What PyJWT says about each token; it is told the JWKS URL and nothing else about the keys.
fn verify(python: &mut std::process::Command, server: &Server, tokens: &[String]) -> Vec<Value> {
    let jwks = format!("{}/.well-known/jwks.json", server.url);
    let said = output(python.arg("pyjwt_verify.py").args([&jwks, &server.url, AUDIENCE]), &tokens.join("\n"));
    answers(&said)
}

on_both! {
    fn pyjwt_verifies_a_token_from_the_jwks_url_alone(backend) {
        let Some(mut python) = install::python() else { return };
        let server = service(backend);
        server.client().register("ada@example.com");
        let session = server.client().login("ada@example.com");
        let said = verify(&mut python, &server, &[session.access_token()]);
        let (header, claims) = token::decode(&session.access_token());
        assert_eq!(said, [json!({"header": header, "claims": claims})]);
        assert_eq!(header["typ"], "at+jwt");
    }
}

#[test]
fn pyjwt_refuses_a_forged_token_for_its_fault() {
    let Some(mut python) = install::python() else { return };
    let server = service(Backend::Sqlite);
    let session = server.client().register("ada@example.com");
    let (faults, tokens): (Vec<_>, Vec<_>) = forgeries(&server, &session.access_token()).into_iter().unzip();
    let said = verify(&mut python, &server, &tokens);
    let expected = [
        ("expired", "ExpiredSignatureError"),
        ("other audience", "InvalidAudienceError"),
        ("other issuer", "InvalidIssuerError"),
        ("no expiry", "MissingRequiredClaimError"),
        ("no audience", "MissingRequiredClaimError"),
        ("no subject", "MissingRequiredClaimError"),
        ("no access token", "typ"),
        ("tampered claims", "InvalidSignatureError"),
        ("signature of another", "InvalidSignatureError"),
        ("no algorithm", "InvalidAlgorithmError"),
        ("public key as secret", "InvalidAlgorithmError"),
        ("foreign key", "InvalidSignatureError"),
        ("unknown key", "PyJWKClientError"),
        ("no token", "DecodeError"),
    ];
    let said: Vec<_> = said.iter().map(|answer| answer["refused"].as_str().expect("refused")).collect();
    assert_eq!(faults.into_iter().zip(said).collect::<Vec<_>>(), expected);
}
