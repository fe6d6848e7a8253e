//! Issues tokens for a grant.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::claims::{Act, Claims};
use super::keyring::Keyring;
use crate::access::role::Roles;
use crate::access::scope::Scope;
use crate::access::step_up;
use crate::account::store as accounts;
use crate::account::{User, UserId};
use crate::api_key::presented::Holder;
use crate::clock::Timestamp;
use crate::config::{Config, ExtraClaim};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::random;
use crate::session::Grant;
use crate::telemetry::SPANS;

/// Signs access tokens with the key whose time it is.
pub struct Issuer {
    issuer: String,
    audience: String,
    access_ttl: Duration,
    extra_claims: Vec<ExtraClaim>,
    ring: Arc<ArcSwap<Keyring>>,
}

/// The token answer (RFC 6749 §5.1, with the life of the refresh token added).
#[derive(Serialize, schemars::JsonSchema)]
pub struct Tokens {
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Whole seconds that the access token is valid.
    expires_in: u64,
    /// Absent when a cookie carries it.
    #[schemars(with = "String")]
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Whole seconds until the refresh token expires unless it is used.
    refresh_expires_in: u64,
    /// What the access token may do.
    scope: Scope,
}

/// An access token and nothing to refresh it with.
#[derive(Serialize, schemars::JsonSchema)]
pub struct AccessToken {
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Whole seconds that it is valid.
    expires_in: u64,
    /// What it may do.
    scope: Scope,
}

impl Tokens {
    /// Leaves the refresh token to the cookie.
    pub(crate) fn without_refresh_token(&mut self) {
        self.refresh_token = None;
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.refresh_token);
    }
}

/// The token answer to an exchange (RFC 8693 §2.2.1).
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Exchanged {
    access_token: String,
    /// Always `urn:ietf:params:oauth:token-type:access_token`.
    issued_token_type: &'static str,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Whole seconds that the access token is valid: no longer than the key.
    expires_in: u64,
    /// What the access token may do.
    scope: Scope,
}

/// How RFC 8693 §3 calls an access token.
pub(crate) const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

impl Issuer {
    /// Issues with the keys of `ring`, whichever they are at the time.
    pub fn new(config: &Config, ring: Arc<ArcSwap<Keyring>>) -> Self {
        Self {
            issuer: config.issuer.clone(),
            audience: config.audience().to_owned(),
            access_ttl: config.token.access_ttl.0,
            extra_claims: config.token.claims.clone(),
            ring,
        }
    }

    /// The user, if configuration wants claims about them in tokens and they are not at hand.
    ///
    /// # Errors
    /// The database's.
    pub async fn profile(&self, db: &Db, id: UserId) -> Result<Option<User>> {
        if self.extra_claims.is_empty() {
            return Ok(None);
        }
        let found = db.read("token.profile", move |tx| accounts::find_standing(tx, id)).await?;
        Ok(found.map(|standing| standing.user))
    }

    /// A pair of tokens. The access token reaches `scope`, or as far as the session does; `user` is asked for the claims
    /// that configuration adds.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no key may sign now.
    pub fn tokens(&self, grant: &Grant, scope: Option<Scope>, user: Option<&User>) -> Result<Tokens> {
        let scope = scope.unwrap_or_else(|| grant.scope.clone());
        Ok(Tokens {
            access_token: self.access_token(grant, scope.clone(), user, None, self.access_ttl)?,
            token_type: "Bearer",
            expires_in: self.access_ttl.as_secs(),
            refresh_token: Some(grant.refresh_token.to_text().to_string()),
            refresh_expires_in: grant.refresh_expires_at.since(grant.granted_at).as_secs(),
            scope,
        })
    }

    /// A short access token in exchange for a key, and no refresh token: the key is there to be exchanged again. It reaches
    /// `scope`, and never lives longer than the key.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no key may sign now.
    pub(crate) fn exchanged(&self, holder: &Holder, scope: Scope, client_id: String) -> Result<Exchanged> {
        let common =
            self.claims((holder.user.id, &holder.user.roles), holder.now, scope.clone(), client_id, Some(&holder.user));
        let latest = holder.expires_at.as_seconds().max(common.iat + 1);
        let claims = Claims { key_id: Some(holder.key_id), exp: common.exp.min(latest), ..common };
        Ok(Exchanged {
            access_token: self.sign(&claims, holder.now)?,
            issued_token_type: ACCESS_TOKEN_TYPE,
            token_type: "Bearer",
            expires_in: u64::try_from(claims.exp - claims.iat).expect("a token ends after it begins"),
            scope,
        })
    }

    /// An access token for an administrator who acts for `user`, as long as the session may live and no longer: there is
    /// nothing to refresh it with.
    ///
    /// # Errors
    /// As [`Issuer::tokens`].
    pub fn token_for_another(&self, grant: &Grant, actor: UserId, user: &User) -> Result<AccessToken> {
        let ttl = grant.refresh_expires_at.since(grant.granted_at).min(self.access_ttl);
        let act = Some(Act { sub: actor });
        Ok(AccessToken {
            access_token: self.access_token(grant, grant.scope.clone(), Some(user), act, ttl)?,
            token_type: "Bearer",
            expires_in: ttl.as_secs(),
            scope: grant.scope.clone(),
        })
    }

    fn access_token(
        &self,
        grant: &Grant,
        scope: Scope,
        user: Option<&User>,
        act: Option<Act>,
        ttl: Duration,
    ) -> Result<String> {
        let common = self.claims((grant.user_id, &grant.roles), grant.granted_at, scope, grant.client_id.clone(), user);
        let claims = Claims {
            sid: Some(grant.session_id),
            auth_time: Some(grant.auth_time.as_seconds()),
            amr: Some(grant.amr.split(' ').map(str::to_owned).collect()),
            acr: step_up::acr(grant.amr.split(' ')).map(str::to_owned),
            exp: common.iat + seconds(ttl),
            act,
            ..common
        };
        self.sign(&claims, grant.granted_at)
    }

    /// What a session's token and an API key's have in common.
    fn claims(
        &self,
        (sub, roles): (UserId, &Roles),
        at: Timestamp,
        scope: Scope,
        client_id: String,
        user: Option<&User>,
    ) -> Claims {
        let iat = at.as_seconds();
        let wants = |claim| self.extra_claims.contains(&claim);
        Claims {
            iss: self.issuer.clone(),
            sub,
            aud: self.audience.clone(),
            exp: iat + seconds(self.access_ttl),
            iat,
            nbf: None,
            jti: URL_SAFE_NO_PAD.encode(random::bytes::<16>()),
            client_id,
            scope,
            roles: roles.clone(),
            sid: None,
            auth_time: None,
            amr: None,
            acr: None,
            key_id: None,
            act: None,
            email: user.filter(|_| wants(ExtraClaim::Email)).map(|user| user.email.clone()),
            email_verified: user.filter(|_| wants(ExtraClaim::EmailVerified)).map(|user| user.is_verified),
            name: user.filter(|_| wants(ExtraClaim::Name)).and_then(|user| user.name.clone()),
        }
    }

    fn sign(&self, claims: &Claims, at: Timestamp) -> Result<String> {
        let ring = self.ring.load();
        let Some(signer) = ring.signer(at) else {
            tracing::error!("no key may sign now, so no token can be issued");
            return Err(Error::Unavailable);
        };
        let _span = tracing::info_span!(target: SPANS, "sign", signet.kid = signer.kid).entered();
        signer.signing.sign(claims).map_err(|error| {
            tracing::error!(%error, kid = signer.kid, "could not sign an access token");
            Error::Internal
        })
    }
}

fn seconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_secs()).expect("at most 30 days")
}
