//! `GET /v1/admin/audit` — the trail, newest first; `GET /v1/admin/audit/head` — how far it is sealed.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;

use super::filter::{Asked, Filter};
use super::kinds::Outcome;
use super::store::{self, Recorded};
use super::{EventId, seal};
use crate::account::UserId;
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::{self, Db};
use crate::error::{Error, Result};
use crate::http::bearer::Admin;
use crate::http::openapi::{Operation, Tag};
use crate::http::query::{Query, cut};
use crate::session::SessionId;

/// An event of the trail.
#[derive(Serialize, schemars::JsonSchema)]
pub struct AuditEvent {
    id: EventId,
    at: Timestamp,
    /// What happened, in the words of the OWASP logging vocabulary where it has one.
    kind: String,
    outcome: Outcome,
    /// Whom it concerns; `null` if that is nobody with an account.
    subject: Option<UserId>,
    /// Who did it; `null` for an operator at the command line, a stranger, and whoever it was.
    actor: Option<UserId>,
    session_id: Option<SessionId>,
    address: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    /// What else is to be said; depends on the kind.
    detail: serde_json::Value,
}

impl From<Recorded> for AuditEvent {
    fn from(event: Recorded) -> Self {
        Self {
            id: event.id,
            at: event.at,
            outcome: Outcome::of(&event.kind),
            kind: event.kind,
            subject: event.subject,
            actor: event.actor,
            session_id: event.session_id,
            address: event.address,
            user_agent: event.user_agent,
            request_id: event.request_id,
            detail: event.detail.0,
        }
    }
}

/// A page of the trail, newest first.
#[derive(Serialize, schemars::JsonSchema)]
pub struct AuditPage {
    events: Vec<AuditEvent>,
    /// The `after` of the next page; `null` on the last.
    next: Option<EventId>,
}

/// Answers 200 with a page.
pub async fn handle(app: Data<App>, _: Admin, Query(asked): Query<Asked>) -> Result<HttpResponse> {
    let (filter, limit) = asked.into_filter();
    let (events, next) = read_page(&app.db, filter, limit).await?;
    Ok(HttpResponse::Ok().json(AuditPage { events, next }))
}

/// At most `limit` events, and where to go on if there are more.
///
/// # Errors
/// The database's.
pub async fn read_page(db: &Db, filter: Filter, limit: usize) -> Result<(Vec<AuditEvent>, Option<EventId>), db::Error> {
    let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut found = db.read("audit.list", move |tx| store::list(tx, &filter, one_more)).await?;
    let next = cut(&mut found, limit, |last| last.id);
    Ok((found.into_iter().map(AuditEvent::from).collect(), next))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "list_audit_events", "The audit trail")
        .query::<Asked>()
        .answers::<AuditPage>(StatusCode::OK, "A page of events, newest first.")
}

/// The end of the chain.
#[derive(Serialize, schemars::JsonSchema)]
pub struct Head {
    /// How many events were ever sealed.
    position: i64,
    /// Covers all of them. To be noted where whoever can write to the database cannot write.
    digest: String,
    sealed_at: Timestamp,
}

/// Answers 200 with the head, 404 while nothing was ever sealed.
pub async fn handle_head(app: Data<App>, _: Admin) -> Result<HttpResponse> {
    let head = app.db.read("audit.head", seal::find_head).await?.ok_or(Error::NotFound)?;
    let seal::Head { position, digest, sealed_at } = head;
    Ok(HttpResponse::Ok().json(Head { position, digest: digest.to_string(), sealed_at }))
}

/// What the API description says.
pub fn describe_head() -> Operation {
    Operation::new(Tag::Admin, "audit_head", "How far the audit trail is sealed, and the digest over it")
        .answers::<Head>(StatusCode::OK, "The end of the chain.")
        .refuses([Error::NotFound])
}
