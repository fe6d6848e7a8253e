//! Access tokens as a sibling service sees them, and as a forger makes them.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use serde_json::Value;

/// Header and claims, unverified.
pub fn decode(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url"));
    let mut json = || serde_json::from_slice(&parts.next().expect("three parts")).expect("JSON");
    (json(), json())
}

/// Signs with the only private key in `keys`, whatever `header` says.
pub fn sign(keys: &Path, header: &Value, claims: &Value) -> String {
    sign_bytes(keys, header.to_string().as_bytes(), claims.to_string().as_bytes())
}

/// The same, for a header and claims that no JSON library would write.
pub fn sign_bytes(keys: &Path, header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature: Signature = signing_key(keys).sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// The only private key in a folder.
pub fn signing_key(keys: &Path) -> SigningKey {
    let entry = std::fs::read_dir(keys).expect("the key folder").next().expect("a key").expect("readable");
    let pem = std::fs::read_to_string(entry.path()).expect("readable");
    SigningKey::from_pkcs8_pem(&pem).expect("a P-256 key")
}
