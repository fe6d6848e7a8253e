//! `GET /v1/auth/sessions` — where the caller is signed in.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;

use super::SessionId;
use super::store::{self, Listed};
use crate::account::UserId;
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::Db;
use crate::error::Result;
use crate::http::bearer::AccountOrActor;
use crate::http::openapi::{Operation, Tag};
use crate::http::query::{Page, cut};

/// One of the caller's sessions.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct SessionItem {
    pub(crate) id: SessionId,
    /// Whether it is the one that asks.
    current: bool,
    pub(crate) client_id: String,
    pub(crate) label: Option<String>,
    created_at: Timestamp,
    /// The log-in or the last refresh.
    pub(crate) last_used_at: Timestamp,
    /// When it ends unless it is refreshed before.
    pub(crate) expires_at: Timestamp,
    /// Where the log-in came from.
    pub(crate) address: Option<String>,
    user_agent: Option<String>,
    /// The administrator who acts for the user in it; absent in the user's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<UserId>,
}

/// A page of sessions, newest first.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct SessionPage {
    pub(crate) sessions: Vec<SessionItem>,
    /// The `after` of the next page; `null` on the last.
    pub(crate) next: Option<SessionId>,
}

/// Answers 200 with a page.
pub async fn handle(
    app: Data<App>,
    AccountOrActor { caller, .. }: AccountOrActor,
    page: Page<SessionId>,
) -> Result<HttpResponse> {
    let page = page_of(&app.db, caller.user_id, page, Some(caller.session_id)).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// A page of a user's sessions; `current` is the one that asks, if it is one of theirs.
pub(crate) async fn page_of(
    db: &Db,
    user: UserId,
    page: Page<SessionId>,
    current: Option<SessionId>,
) -> Result<SessionPage> {
    let (after, look) = (page.after, page.look());
    let mut listed = db.read("session.list", move |tx| store::list_live(tx, user, after, look)).await?;
    let next = cut(&mut listed, page.limit.into(), |last| last.id);
    let sessions = listed.into_iter().map(|session| SessionItem::new(session, current)).collect();
    Ok(SessionPage { sessions, next })
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Sessions, "list_sessions", "Where the caller is logged in")
        .pages::<SessionId>()
        .answers::<SessionPage>(StatusCode::OK, "A page of sessions, newest first.")
}

impl SessionItem {
    fn new(session: Listed, current: Option<SessionId>) -> Self {
        Self {
            id: session.id,
            current: Some(session.id) == current,
            client_id: session.client_id,
            label: session.label,
            created_at: session.created_at,
            last_used_at: session.rotated_at,
            expires_at: session.idle_expires_at.min(session.expires_at),
            address: session.address,
            user_agent: session.user_agent,
            actor: session.actor_id,
        }
    }
}
