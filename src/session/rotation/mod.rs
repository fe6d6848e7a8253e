//! The happy path of a refresh: the current token, nothing else to decide. One guarded statement; on Postgres one for all
//! that come at the same time.
//!
//! Owns: sessions.

mod store;

use std::time::Duration;

use diesel::prelude::*;

use super::SessionId;
use super::token::{HandleDigest, Nonce, RefreshToken, SecretDigest};
use crate::access::role::Roles;
use crate::access::scope::Scope;
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::db::Gather;

/// A rotation that is asked for.
pub struct Ask {
    handle: HandleDigest,
    presented: SecretDigest,
    successor: SecretDigest,
    nonce: Nonce,
    client_id: Option<String>,
}

impl Ask {
    /// To put `presented`'s successor under `nonce` into force, in a session of `client_id` if one names itself.
    pub(super) fn new(
        presented: &RefreshToken,
        successor: &RefreshToken,
        nonce: Nonce,
        client_id: Option<String>,
    ) -> Self {
        Self {
            handle: presented.handle_digest(),
            presented: presented.secret_digest(),
            successor: successor.secret_digest(),
            nonce,
            client_id,
        }
    }
}

/// What a rotation hands on to the next access token.
#[derive(Queryable)]
pub struct Rotated {
    pub(super) id: SessionId,
    pub(super) user_id: UserId,
    pub(super) client_id: String,
    pub(super) scope: Scope,
    pub(super) amr: String,
    pub(super) auth_time: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) roles: Option<Roles>,
}

/// What came of it, and when. `None` means that something is otherwise than usual, and the slow path finds out what.
pub type Answer = Option<(Rotated, Timestamp)>;

/// Where rotations wait for each other.
pub fn gather(idle_ttl: Duration) -> Gather<Ask, Answer> {
    Gather::new("session.rotate", move |tx, asks| {
        let now = tx.now;
        let rotated = store::rotate(tx, asks, idle_ttl)?;
        Ok(rotated.into_iter().map(|rotated| rotated.map(|rotated| (rotated, now))).collect())
    })
}
