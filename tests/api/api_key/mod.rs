//! API keys, from their creation to their end.

mod create;
mod list;
mod notices;
mod presented;
mod revoke;
mod rotate;

use std::time::Duration;

use crate::support::{Answer, Backend, Client, Server, json, wait};

pub const EMAIL: &str = "ada@example.com";
/// More than the minute for which what was noted of a key is not noted again.
pub const LATER: Duration = Duration::from_secs(61);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// A service whose users may read and write, with one of them logged in.
pub fn world(backend: Backend) -> (Server, Client) {
    let server = Server::start_with(backend, |config| {
        config.oauth.scope = "account read".parse().expect("a scope");
        config.roles.0.insert("editor".to_owned(), "read write".parse().expect("a scope"));
        // The tests' address is one that clients may be behind.
        config.throttle.private_sources = true;
    });
    server.client().register(EMAIL);
    server.set_roles(EMAIL, "editor");
    let client = server.client().bearer(&server.client().login(EMAIL).access_token());
    (server, client)
}

/// A new key, as answered.
pub fn make_key(client: &Client, scope: &str) -> Answer {
    client.post("/v1/auth/api-keys", &json!({"name": "backup", "scope": scope})).expect(201)
}

/// A client that presents a key.
pub fn with_key(server: &Server, key: &str) -> Client {
    server.client().with("x-api-key", key)
}

/// Exchanges a key for an access token.
pub fn exchange(server: &Server, key: &str, more: &[(&str, &str)]) -> Answer {
    exchange_at(&server.client(), key, more)
}

/// The same, by a client that presents nothing else.
pub fn exchange_at(client: &Client, key: &str, more: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", key),
        ("subject_token_type", "urn:signet:params:oauth:token-type:api-key"),
    ];
    fields.extend_from_slice(more);
    client.form("/oauth2/token", &fields)
}

/// What is written behind a caller's back is there after a while.
#[track_caller]
pub fn eventually(what: impl Fn() -> bool) {
    wait::until("it never came true", what);
}

/// The same key with a secret that nobody was ever given, and a checksum that is right.
pub fn with_another_secret(key: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut bytes = URL_SAFE_NO_PAD.decode(key.strip_prefix("sgk_").expect("a key")).expect("base64url");
    bytes[20] ^= 1;
    let checksum = crc32(&bytes[..48]);
    bytes[48..].copy_from_slice(&checksum.to_be_bytes());
    format!("sgk_{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// CRC-32 (IEEE 802.3), by its definition.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
}
