//! API keys: what a program presents where nobody can log in, in its user's name and for a part of what the user may do.
//!
//! [`key`] is the format, [`rules`] what a key is good for and what a rotation does; [`presented`] is a key at work; the other
//! files are one route each. A key reads, or is exchanged for a short access token (`oauth/grant/token_exchange.rs`); it cannot
//! breed: whatever manages keys, passwords, sessions or factors demands a session. Where a recent or a stronger log-in is to
//! be demanded for managing keys, it is by the extractor of those handlers, [`Account`](crate::http::bearer::Account).
//!
//! A secret has 256 random bits, so nothing counts guesses, and no throttle stands before it; whatever is not a key by its
//! checksum is refused without a query.
//!
//! Owns: api_keys, api_key_sources.  Emits: ApiKeyCreated, ApiKeyRotated, ApiKeyRevoked, ApiKeysRevoked, ApiKeyRefused,
//! ApiKeyMoved.

pub mod administer;
pub mod create;
pub mod key;
pub mod list;
pub mod presented;
pub mod revoke;
pub mod rotate;
pub mod rules;
mod store;

pub(crate) use store::{delete_ended, delete_unseen_sources, look_for_ended, look_for_unseen_sources};

use serde::Serialize;

use crate::access::scope::Scope;
use crate::clock::Timestamp;
use crate::db::types::id;

id! {
    /// Names a key to its user, in the trail, and to sibling services (`key_id`). Knowing it opens nothing.
    ApiKeyId
}

id! {
    /// Names a place that a key was used from.
    SourceId
}

/// A key as its user sees it.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub(crate) struct Described {
    pub(crate) id: ApiKeyId,
    pub(crate) name: String,
    /// How the key begins, to know it again by.
    pub(crate) hint: String,
    /// What it may do, as far as the user's roles carry it.
    pub(crate) scope: Scope,
    created_at: Timestamp,
    /// The creation, or the last rotation.
    issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Until when the secret from before the last rotation works.
    previous_expires_at: Option<Timestamp>,
    /// To the minute.
    pub(crate) last_used_at: Option<Timestamp>,
}

/// A key, and its text: this once, for only digests are kept.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Issued {
    #[serde(flatten)]
    described: Described,
    /// The key. It is not shown again.
    key: String,
}

impl Issued {
    pub(crate) fn new(described: Described, key: &key::ApiKey) -> Self {
        Self { described, key: key.to_text().to_string() }
    }
}

impl Drop for Issued {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}
