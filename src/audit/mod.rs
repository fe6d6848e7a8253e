//! The audit trail: who did what to whom, when and from where, written in the transaction that did it.
//!
//! Nothing in it is ever changed. `event` is all that there can be in it, [`kinds`] says what follows from an event's kind.
//! [`seal`] ties the events to a [`chain`] after they were written, so that no log-in waits for another; [`verify`] says whether
//! it holds. [`list`], [`feed`] and [`export`] give events out.
//!
//! Owns: audit_events, audit_seals, audit_anchors.

mod actor;
pub mod chain;
mod event;
pub mod export;
pub mod feed;
pub mod filter;
pub mod kinds;
pub mod list;
pub mod seal;
mod store;
pub mod verify;

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::QueryFragment;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde_json::json;

use self::event::Columns;
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::db::schema::{audit_events, entered};
use crate::db::types::{Document, Json, Key, Moment, id};
use crate::db::{Tx, on};
use crate::http::origin::Origin;
use crate::session::{self, SessionId};
use crate::webhook;

pub use actor::Actor;
pub use event::{Event, FactorFailure, LoginFailure, WebhookChange};
pub(crate) use store::{delete_old_links, delete_unsealed, look_for_old_unsealed};

id! {
    /// Names one event; sorts by time.
    EventId
}

/// How far a clock may be behind, and a transaction take, for its events still to be sealed. Twice what any of ours takes, and
/// what clocks may differ by.
pub(crate) const LATE: Duration = Duration::from_secs(180);

/// Writes the event; if the transaction vanishes, so does it. What was done in a session in which an administrator acts for
/// its user was done by the administrator.
///
/// # Errors
/// The database's.
pub(crate) fn record(tx: &mut Tx<'_>, from: &Origin, event: &Event) -> QueryResult<()> {
    let mut columns = event.columns();
    if let Some(session) = event.acting_session(&columns) {
        columns.actor = session::impersonator(tx, session)?.or(columns.actor);
    }
    insert(tx, from, columns)
}

/// The same for what one does to another's account.
///
/// # Errors
/// The database's.
pub(crate) fn record_by(tx: &mut Tx<'_>, by: &Actor, event: &Event) -> QueryResult<()> {
    let mut columns = event.columns();
    if let Actor::Admin { user, session, .. } = by {
        columns.actor = Some(*user);
        columns.session = columns.session.or(Some(*session));
        if let serde_json::Value::Object(detail) = &mut columns.detail {
            detail.insert("by_session".to_owned(), json!(session));
        }
    }
    insert(tx, by.origin(), columns)
}

/// Writes many events that nobody is signed in for, with one statement.
///
/// # Errors
/// The database's.
pub(crate) fn record_all(tx: &mut Tx<'_>, from: &Origin, events: &[Event]) -> QueryResult<()> {
    let columns = events.iter().map(Event::columns).inspect(|columns| debug_assert!(columns.session.is_none()));
    let (rows, told): (Vec<NewRow<'_>>, Vec<Option<Told>>) = columns.map(|columns| row(tx.now, from, columns)).unzip();
    let insert = diesel::insert_into(audit_events::table).values(&rows);
    on!(tx.conn, |c| insert.execute(c))?;
    let told = rows.iter().zip(told).filter_map(|(row, told)| Some((row.id, told?)));
    webhook::put_all(tx, told.collect())
}

fn insert(tx: &mut Tx<'_>, from: &Origin, columns: Columns) -> QueryResult<()> {
    let (row, told) = row(tx.now, from, columns);
    let insert = diesel::insert_into(audit_events::table).values(&row);
    on!(tx.conn, |c| insert.execute(c))?;
    match told {
        Some((r#type, data)) => webhook::put(tx, row.id, r#type, &data),
        None => Ok(()),
    }
}

/// Writes an event that no session of another's is behind and nobody outside is told of, as a part of a statement, for each
/// row of its part `entered`.
pub(crate) fn insert_if_entered<'a>(now: Timestamp, from: &'a Origin, event: &Event) -> impl QueryFragment<Pg> + 'a {
    let columns = event.columns();
    debug_assert!(event.acting_session(&columns).is_none(), "who acts is not looked up");
    let (row, told) = row(now, from, columns);
    debug_assert!(told.is_none(), "nobody is told");
    entered::table
        .select((
            row.id.into_sql::<Key>(),
            row.at.into_sql::<Moment>(),
            row.kind.into_sql::<Text>(),
            row.subject.into_sql::<Nullable<Key>>(),
            row.actor.into_sql::<Nullable<Key>>(),
            row.session_id.into_sql::<Nullable<Key>>(),
            row.address.into_sql::<Nullable<Text>>(),
            row.user_agent.into_sql::<Nullable<Text>>(),
            row.request_id.into_sql::<Nullable<Text>>(),
            row.detail.into_sql::<Json>(),
        ))
        .insert_into(audit_events::table)
        .into_columns(audit_events::all_columns)
}

/// A row of the trail.
#[derive(Insertable)]
#[diesel(table_name = audit_events, treat_none_as_default_value = false)]
struct NewRow<'a> {
    id: EventId,
    at: Timestamp,
    kind: &'static str,
    subject: Option<UserId>,
    actor: Option<UserId>,
    session_id: Option<SessionId>,
    address: Option<String>,
    user_agent: Option<&'a str>,
    request_id: Option<&'a str>,
    detail: Document,
}

/// What siblings are told.
type Told = (kinds::PublicType, serde_json::Value);

fn row(now: Timestamp, from: &Origin, columns: Columns) -> (NewRow<'_>, Option<Told>) {
    let Columns { kind, subject, actor, session, detail } = columns;
    let told = kinds::told(kind, subject.map(|id| json!(id)), session.map(|id| json!(id)), &detail);
    let row = NewRow {
        id: EventId::new(now),
        at: now,
        kind,
        subject,
        actor,
        session_id: session,
        address: from.address.map(|address| address.to_string()),
        user_agent: from.user_agent.as_deref(),
        request_id: from.request_id.as_deref(),
        detail: Document(detail),
    };
    (row, told)
}

/// The log-ins since a time by their outcome, among the `limit` newest events; and how many events were looked at.
///
/// # Errors
/// The database's.
pub(crate) fn count_logins(tx: &mut Tx<'_>, since: Timestamp, limit: i64) -> QueryResult<(BTreeMap<String, i64>, i64)> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        kind: String,
        #[diesel(sql_type = Nullable<Text>)]
        reason: Option<String>,
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let query = diesel::sql_query(
        r#"SELECT kind, reason, count(*) AS count FROM (
            SELECT kind, detail ->> 'reason' AS reason FROM "audit_events" WHERE id >= $1 ORDER BY id DESC LIMIT $2) AS latest
        GROUP BY kind, reason"#,
    );
    let query = query.bind::<Key, _>(EventId::least(since)).bind::<BigInt, _>(limit);
    let rows: Vec<Row> = on!(tx.conn, |c| query.load(c))?;
    let looked_at = rows.iter().map(|row| row.count).sum();
    let outcome = |row: Row| match row.kind.as_str() {
        "authn_login_success" => Some(("success".to_owned(), row.count)),
        "authn_login_fail" => row.reason.map(|reason| (reason, row.count)),
        _ => None,
    };
    Ok((rows.into_iter().filter_map(outcome).collect(), looked_at))
}
