//! What an endpoint was told and what became of it: `GET /v1/admin/webhooks/{id}/deliveries`, and `POST …/{id}/test` and
//! `POST …/{id}/replay`, by which it is told something, or told again.
//!
//! Emits: WebhookManaged.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Value, json};

use super::endpoint::id_of;
use super::endpoints::record;
use super::store::{self, Delivery};
use super::{EndpointId, State, body};
use crate::app::App;
use crate::audit::kinds::PublicType;
use crate::audit::{EventId, WebhookChange};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::http::bearer::Admin;
use crate::http::body::{MaybeJson, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::query::{Page, cut};

/// A message to an endpoint.
#[derive(Serialize, schemars::JsonSchema)]
struct DeliveryItem {
    /// The `webhook-id`.
    id: EventId,
    r#type: String,
    /// `pending`, `delivered` or `dead`.
    state: &'static str,
    attempts: i64,
    created_at: Timestamp,
    last_attempt_at: Option<Timestamp>,
    /// The status of the last answer, or why there was none; `null` while an attempt is under way.
    last_outcome: Option<String>,
    /// When it is sent (again); `null` if it is not.
    due_at: Option<Timestamp>,
    /// What is sent.
    message: Value,
}

impl From<Delivery> for DeliveryItem {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.event_id,
            r#type: delivery.event_type,
            state: State::parse(&delivery.state).map_or("unknown", State::as_str),
            attempts: delivery.attempts,
            created_at: delivery.created_at,
            last_attempt_at: delivery.last_attempt_at,
            last_outcome: delivery.last_outcome,
            due_at: delivery.due_at,
            message: serde_json::from_str(&delivery.body).unwrap_or_default(),
        }
    }
}

/// A page of messages, newest first.
#[derive(Serialize, schemars::JsonSchema)]
struct DeliveryPage {
    deliveries: Vec<DeliveryItem>,
    /// The `after` of the next page; `null` on the last.
    next: Option<EventId>,
}

/// Answers 200 with a page.
pub async fn list(app: Data<App>, _: Admin, http: HttpRequest, page: Page<EventId>) -> Result<HttpResponse> {
    let (id, after, look) = (id_of(&http)?, page.after, page.look());
    let found = app
        .db
        .read("webhook.deliveries", move |tx| {
            let Some(_) = store::find_endpoint(tx, id)? else { return Ok(None) };
            store::list_deliveries(tx, id, after, look).map(Some)
        })
        .await?;
    let mut found = found.ok_or(Error::NotFound)?;
    let next = cut(&mut found, page.limit.into(), |last| last.event_id);
    let deliveries = found.into_iter().map(DeliveryItem::from).collect();
    Ok(HttpResponse::Ok().json(DeliveryPage { deliveries, next }))
}

/// What the API description says.
pub fn describe_list() -> Operation {
    Operation::new(Tag::Admin, "list_deliveries", "What an endpoint was told, and what became of it")
        .in_path::<EndpointId>("id", "The endpoint's id.")
        .pages::<EventId>()
        .answers::<DeliveryPage>(StatusCode::OK, "A page of messages, newest first.")
        .refuses([Error::NotFound])
}

/// A message that was put in.
#[derive(Serialize, schemars::JsonSchema)]
struct Put {
    /// The `webhook-id` that it will have.
    id: EventId,
}

/// Answers 202: a message of the type `webhook.test` will be sent, like any other.
pub async fn test(app: Data<App>, admin: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let id = id_of(&http)?;
    let put = app
        .db
        .tx("webhook.test", move |tx| {
            let Some(_) = store::lock_endpoint(tx, id)? else { return Ok(None) };
            let event = EventId::new(tx.now);
            let body = body(tx, PublicType::WebhookTest, &json!({}));
            store::insert_delivery(tx, id, event, PublicType::WebhookTest, &body)?;
            record(tx, &admin, id, WebhookChange::Tested)?;
            Ok(Some(event))
        })
        .await?;
    app.webhooks.ring();
    Ok(HttpResponse::Accepted().json(Put { id: put.ok_or(Error::NotFound)? }))
}

/// What the API description says.
pub fn describe_test() -> Operation {
    Operation::new(Tag::Admin, "test_webhook", "Send an endpoint a message that means nothing")
        .in_path::<EndpointId>("id", "The endpoint's id.")
        .answers::<Put>(StatusCode::ACCEPTED, "It will be sent; the list of deliveries shows what becomes of it.")
        .refuses([Error::NotFound])
}

request_body! {
    /// What is to be sent again.
    pub struct Again {
        /// One message, whatever became of it; absent: all that were given up.
        id: Option<EventId>,
    }
}

/// How much is sent again.
#[derive(Serialize, schemars::JsonSchema)]
struct Replayed {
    count: usize,
}

/// Answers 202 with how many messages will be sent again.
pub async fn replay(
    app: Data<App>,
    admin: Admin,
    http: HttpRequest,
    MaybeJson(body): MaybeJson<Again>,
) -> Result<HttpResponse> {
    let (id, event) = (id_of(&http)?, body.and_then(|body| body.id));
    let count = app
        .db
        .tx("webhook.replay", move |tx| {
            let Some(_) = store::lock_endpoint(tx, id)? else { return Ok(None) };
            let count = store::send_again(tx, id, event)?;
            if count == 0 && event.is_some() {
                return Ok(None);
            }
            record(tx, &admin, id, WebhookChange::Replayed)?;
            Ok(Some(count))
        })
        .await?;
    app.webhooks.ring();
    Ok(HttpResponse::Accepted().json(Replayed { count: count.ok_or(Error::NotFound)? }))
}

/// What the API description says.
pub fn describe_replay() -> Operation {
    Operation::new(Tag::Admin, "replay_webhook", "Send an endpoint again what was given up, or one message")
        .in_path::<EndpointId>("id", "The endpoint's id.")
        .maybe_json::<Again>()
        .answers::<Replayed>(StatusCode::ACCEPTED, "So many will be sent again.")
        .refuses([Error::NotFound])
}
