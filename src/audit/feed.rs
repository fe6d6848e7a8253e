//! `GET /v1/admin/events` — what webhooks tell, for siblings that ask instead.
//!
//! The cursor is the place in the chain, not a time or an id: events are sealed only once their transactions were committed, and
//! a place is never given out behind one that was read. A reader that goes on from `next` misses nothing, however late an
//! event was committed.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;
use serde_json::{Value, json};

use super::store::{self, Recorded};
use super::{EventId, kinds};
use crate::app::App;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::http::bearer::Admin;
use crate::http::openapi::{Operation, Tag};
use crate::http::query::Page;

/// What siblings are told.
#[derive(Serialize, schemars::JsonSchema)]
pub struct Message {
    /// The `webhook-id` of the same message.
    id: EventId,
    /// As `user.created`.
    r#type: &'static str,
    /// When it happened.
    timestamp: Timestamp,
    data: Value,
}

impl Message {
    fn of(event: &Recorded) -> Option<Self> {
        let (subject, session) = (event.subject.map(|id| json!(id)), event.session_id.map(|id| json!(id)));
        let (r#type, data) = kinds::told(&event.kind, subject, session, &event.detail.0)?;
        Some(Self { id: event.id, r#type: r#type.as_str(), timestamp: event.at, data })
    }
}

/// A page of messages, oldest first.
#[derive(Serialize, schemars::JsonSchema)]
pub struct Feed {
    events: Vec<Message>,
    /// The `after` of the next request, also when there is nothing new.
    next: i64,
    /// Whether there is more already.
    more: bool,
}

/// How many links of the chain one request looks at: most events are log-ins, which nobody is told of.
const LOOK: i64 = 500;

/// Answers 200 with a page, which may be empty although there is more.
pub async fn handle(app: Data<App>, _: Admin, page: Page<i64>) -> Result<HttpResponse> {
    let (after, limit) = (page.after.unwrap_or(0), usize::from(page.limit));
    let links = app.db.read("audit.feed", move |tx| store::read_chain(tx, after, LOOK)).await?;
    let is_full = links.len() == usize::try_from(LOOK).unwrap_or(usize::MAX);
    let (mut events, mut next, mut more) = (Vec::new(), after, is_full);
    for (seal, event) in &links {
        if let Some(message) = event.as_ref().and_then(Message::of) {
            if events.len() == limit {
                more = true;
                break;
            }
            events.push(message);
        }
        next = seal.position;
    }
    Ok(HttpResponse::Ok().json(Feed { events, next, more }))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "list_events", "What webhooks tell, to be asked for")
        .pages::<i64>()
        .answers::<Feed>(StatusCode::OK, "A page of messages, oldest first.")
}
