//! What the tables keep about a user.
//!
//! Features ask each other's verbs elsewhere, never each other's tables. Here one place reads them all, so that what
//! becomes known about a user has one home; `tests/api/account/export.rs` finds the table that is missing.

use diesel::prelude::*;
use serde::{Serialize, Serializer};

use crate::account::UserId;
use crate::api_key::ApiKeyId;
use crate::audit::EventId;
use crate::clock::Timestamp;
use crate::db::schema::{
    api_key_sources, api_keys, audit_events, email_changes, known_sources, mfa_challenges, one_time_tokens, outbox,
    recovery_codes, sessions, totp_factors,
};
use crate::db::types::Document;
use crate::db::{Tx, on};
use crate::session::SessionId;

/// A change of address that waits.
#[derive(Queryable, Selectable, Serialize, schemars::JsonSchema)]
#[diesel(table_name = email_changes)]
pub(super) struct EmailChange {
    email: String,
    old_confirmed: bool,
    new_confirmed: bool,
    expires_at: Timestamp,
}

pub(super) fn email_change(tx: &mut Tx<'_>, user: UserId) -> QueryResult<Option<EmailChange>> {
    let own = email_changes::table.filter(email_changes::user_id.eq(user));
    on!(tx.conn, |c| own.select(EmailChange::as_select()).first(c).optional())
}

/// A token that was not used.
#[derive(Queryable, Selectable, Serialize, schemars::JsonSchema)]
#[diesel(table_name = one_time_tokens)]
pub(super) struct OneTimeToken {
    purpose: String,
    by_mail: bool,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

pub(super) fn one_time_tokens(tx: &mut Tx<'_>, user: UserId) -> QueryResult<Vec<OneTimeToken>> {
    let own = one_time_tokens::table.filter(one_time_tokens::user_id.eq(user)).order(one_time_tokens::id);
    on!(tx.conn, |c| own.select(OneTimeToken::as_select()).load(c))
}

/// A device or an address.
#[derive(Queryable, Selectable, Serialize, schemars::JsonSchema)]
#[diesel(table_name = known_sources)]
pub(super) struct KnownSource {
    kind: String,
    seen_at: Timestamp,
}

pub(super) fn known_sources(tx: &mut Tx<'_>, user: UserId) -> QueryResult<Vec<KnownSource>> {
    let own = known_sources::table.filter(known_sources::user_id.eq(user)).order(known_sources::id);
    on!(tx.conn, |c| own.select(KnownSource::as_select()).load(c))
}

/// A key that a program of the user's signs in with.
#[derive(Queryable, Selectable, Serialize, schemars::JsonSchema)]
#[diesel(table_name = api_keys)]
pub(super) struct ApiKey {
    id: ApiKeyId,
    name: String,
    scope: String,
    created_at: Timestamp,
    issued_at: Timestamp,
    expires_at: Timestamp,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    last_refused_at: Option<Timestamp>,
}

pub(super) fn api_keys(tx: &mut Tx<'_>, user: UserId) -> QueryResult<Vec<ApiKey>> {
    let own = api_keys::table.filter(api_keys::user_id.eq(user)).order(api_keys::id);
    on!(tx.conn, |c| own.select(ApiKey::as_select()).load(c))
}

/// A place that a key was used from.
#[derive(Queryable, Selectable, Serialize, schemars::JsonSchema)]
#[diesel(table_name = api_key_sources)]
pub(super) struct ApiKeySource {
    api_key_id: ApiKeyId,
    source: String,
    seen_at: Timestamp,
}

pub(super) fn api_key_sources(tx: &mut Tx<'_>, user: UserId) -> QueryResult<Vec<ApiKeySource>> {
    let own = api_keys::table.filter(api_keys::user_id.eq(user)).select(api_keys::id);
    let query = api_key_sources::table.filter(api_key_sources::api_key_id.eq_any(own)).order(api_key_sources::id);
    on!(tx.conn, |c| query.select(ApiKeySource::as_select()).load(c))
}

/// An authenticator app, also one whose first code never came.
#[derive(Queryable, Selectable, Serialize, schemars::JsonSchema)]
#[diesel(table_name = totp_factors)]
pub(super) struct SecondFactor {
    created_at: Timestamp,
    confirmed_at: Option<Timestamp>,
}

pub(super) fn second_factors(tx: &mut Tx<'_>, user: UserId) -> QueryResult<Vec<SecondFactor>> {
    let own = totp_factors::table.filter(totp_factors::user_id.eq(user)).order(totp_factors::id);
    on!(tx.conn, |c| own.select(SecondFactor::as_select()).load(c))
}

pub(super) fn recovery_codes(tx: &mut Tx<'_>, user: UserId) -> QueryResult<i64> {
    let own = recovery_codes::table.filter(recovery_codes::user_id.eq(user));
    on!(tx.conn, |c| own.count().get_result(c))
}

/// A log-in that waits for a code, or waited for it in vain.
#[derive(Queryable, Selectable, Serialize, schemars::JsonSchema)]
#[diesel(table_name = mfa_challenges)]
pub(super) struct SecondStep {
    client_id: String,
    label: Option<String>,
    attempts: i64,
    expires_at: Timestamp,
}

pub(super) fn second_steps(tx: &mut Tx<'_>, user: UserId) -> QueryResult<Vec<SecondStep>> {
    let own = mfa_challenges::table.filter(mfa_challenges::user_id.eq(user)).order(mfa_challenges::id);
    on!(tx.conn, |c| own.select(SecondStep::as_select()).load(c))
}

/// A mail that is to be sent.
#[derive(Queryable, Selectable, Serialize, schemars::JsonSchema)]
#[diesel(table_name = outbox)]
pub(super) struct WaitingMail {
    kind: String,
    email: String,
    created_at: Timestamp,
    due_at: Timestamp,
}

/// Those that name the user, and those that only know the address.
pub(super) fn waiting_mails(tx: &mut Tx<'_>, user: UserId, email_key: &str) -> QueryResult<Vec<WaitingMail>> {
    let own = outbox::table.filter(outbox::user_id.eq(user).or(outbox::email.nullable().eq(email_key)));
    on!(tx.conn, |c| own.select(WaitingMail::as_select()).order(outbox::id).load(c))
}

/// A session, as long as it is kept.
#[derive(Queryable, Selectable, Serialize, schemars::JsonSchema)]
#[diesel(table_name = sessions)]
pub(super) struct Session {
    pub(super) id: SessionId,
    client_id: String,
    scope: String,
    /// How the user proved who they are.
    amr: String,
    auth_time: Timestamp,
    created_at: Timestamp,
    /// How often it was refreshed.
    generation: i64,
    /// The log-in or the last refresh.
    #[serde(rename = "last_used_at")]
    rotated_at: Timestamp,
    idle_expires_at: Timestamp,
    expires_at: Timestamp,
    revoked_at: Option<Timestamp>,
    revoked_reason: Option<String>,
    address: Option<String>,
    user_agent: Option<String>,
    label: Option<String>,
}

pub(super) fn sessions(
    tx: &mut Tx<'_>,
    user: UserId,
    after: Option<SessionId>,
    limit: i64,
) -> QueryResult<Vec<Session>> {
    let own = sessions::table.filter(sessions::user_id.eq(user)).order(sessions::id).limit(limit);
    match after {
        None => on!(tx.conn, |c| own.select(Session::as_select()).load(c)),
        Some(after) => {
            let own = own.filter(sessions::id.gt(after));
            on!(tx.conn, |c| own.select(Session::as_select()).load(c))
        }
    }
}

/// What the audit trail says.
#[derive(Queryable, Selectable, Serialize, schemars::JsonSchema)]
#[diesel(table_name = audit_events)]
pub(super) struct Event {
    pub(super) id: EventId,
    at: Timestamp,
    kind: String,
    /// Who did it, if that is known: oneself, or an administrator.
    actor: Option<UserId>,
    session_id: Option<SessionId>,
    address: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    #[serde(serialize_with = "bare")]
    #[schemars(with = "serde_json::Value")]
    detail: Document,
}

fn bare<S: Serializer>(document: &Document, serializer: S) -> Result<S::Ok, S::Error> {
    document.0.serialize(serializer)
}

pub(super) fn events(tx: &mut Tx<'_>, user: UserId, after: Option<EventId>, limit: i64) -> QueryResult<Vec<Event>> {
    let own = audit_events::table.filter(audit_events::subject.eq(user)).order(audit_events::id).limit(limit);
    match after {
        None => on!(tx.conn, |c| own.select(Event::as_select()).load(c)),
        Some(after) => {
            let own = own.filter(audit_events::id.gt(after));
            on!(tx.conn, |c| own.select(Event::as_select()).load(c))
        }
    }
}
