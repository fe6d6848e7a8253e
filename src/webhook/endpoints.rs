//! `GET /v1/admin/webhooks` and `POST /v1/admin/webhooks` — whom Signet tells.
//!
//! An `Idempotency-Key` lets the creation be sent again, and be answered with the same secret.
//!
//! Emits: WebhookManaged.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;

use super::EndpointId;
use super::fields::{EventTypes, Url};
use super::secret::EndpointSecret;
use super::store::{self, Endpoint};
use crate::app::App;
use crate::audit::{self, Event, WebhookChange};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::field::{Invalid, Text};
use crate::http::bearer::Admin;
use crate::http::body::request_body;
use crate::http::idempotency::{Answer, Idempotent, Repeat};
use crate::http::openapi::{Operation, Tag};
use crate::http::query::{Page, cut};

/// An endpoint, without its secret.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct EndpointItem {
    id: EndpointId,
    url: String,
    description: Option<String>,
    /// Empty: all.
    event_types: Vec<String>,
    is_enabled: bool,
    /// `gone`: it answered 410. `null`: an administrator did it.
    disabled_reason: Option<String>,
    created_at: Timestamp,
    /// Until when messages are signed with the secret before this one, too.
    previous_secret_until: Option<Timestamp>,
}

impl EndpointItem {
    pub(super) fn of(endpoint: Endpoint, now: Timestamp) -> Self {
        Self {
            id: endpoint.id,
            event_types: EventTypes::names_in(&endpoint.event_types),
            url: endpoint.url,
            description: endpoint.description,
            is_enabled: endpoint.is_enabled,
            disabled_reason: endpoint.disabled_reason,
            created_at: endpoint.created_at,
            previous_secret_until: endpoint.previous_expires_at.filter(|end| *end > now),
        }
    }
}

/// A page of endpoints, oldest first.
#[derive(Serialize, schemars::JsonSchema)]
struct EndpointPage {
    endpoints: Vec<EndpointItem>,
    /// The `after` of the next page; `null` on the last.
    next: Option<EndpointId>,
}

/// Answers 200 with a page.
pub async fn list(app: Data<App>, _: Admin, page: Page<EndpointId>) -> Result<HttpResponse> {
    let (after, look, now) = (page.after, page.look(), app.clock.now());
    let mut found = app.db.read("webhook.list", move |tx| store::list_endpoints(tx, after, look)).await?;
    let next = cut(&mut found, page.limit.into(), |last| last.id);
    let endpoints = found.into_iter().map(|endpoint| EndpointItem::of(endpoint, now)).collect();
    Ok(HttpResponse::Ok().json(EndpointPage { endpoints, next }))
}

/// What the API description says.
pub fn describe_list() -> Operation {
    Operation::new(Tag::Admin, "list_webhooks", "Whom Signet tells of what happens")
        .pages::<EndpointId>()
        .answers::<EndpointPage>(StatusCode::OK, "A page of endpoints, oldest first, without their secrets.")
}

request_body! {
    /// Whom to tell of what.
    pub struct Request {
        /// Where messages are posted to.
        url: Url,
        /// Which types of events; empty or absent: all.
        event_types: EventTypes,
        /// A note for administrators.
        description: Option<Text>,
    }
}

/// An endpoint and its secret, which is shown once.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct EndpointWithSecret {
    #[serde(flatten)]
    pub(super) endpoint: EndpointItem,
    /// What messages are signed with.
    pub(super) secret: String,
}

/// Answers 201 with the endpoint and its secret.
pub async fn create(
    app: Data<App>,
    admin: Admin,
    Idempotent { body, repeat }: Idempotent<Request>,
) -> Result<HttpResponse> {
    let url = accept(&app, &body.url)?;
    let (description, types) = (body.description.map(Text::into_string), body.event_types.to_column());
    let secret = EndpointSecret::generate();
    let created = app.db.tx("webhook.create", move |tx| {
        repeat.once(tx, admin.caller.user_id, |tx| {
            let id = store::insert_endpoint(tx, &url, description.as_deref(), &types, &secret)?;
            record(tx, &admin, id, WebhookChange::Created)?;
            let Some(endpoint) = store::find_endpoint(tx, id)? else { return Ok(Err(Error::Internal)) };
            let (endpoint, secret) = (EndpointItem::of(endpoint, tx.now), secret.to_text().to_string());
            Ok(Ok(Answer::created(None, &EndpointWithSecret { endpoint, secret })))
        })
    });
    let answer = created.await??;
    app.webhooks.ring();
    Ok(answer.into_response())
}

/// What the API description says.
pub fn describe_create() -> Operation {
    Operation::new(Tag::Admin, "create_webhook", "Have an endpoint told of what happens")
        .json::<Request>()
        .reads_header("Idempotency-Key", "A UUID: the same request with it is answered as before, for a day.")
        .answers::<EndpointWithSecret>(StatusCode::CREATED, "The endpoint, with its secret, which is not shown again.")
        .refuses(Repeat::refusals())
}

/// The URL, if messages may go there.
pub(super) fn accept(app: &App, Url(text): &Url) -> Result<String> {
    let refusal = |detail| Error::invalid_field("url", Invalid::new("malformed", detail));
    Ok(app.config.webhooks.policy().parse(text).map_err(refusal)?.into())
}

/// Writes down what an administrator did.
pub(super) fn record(
    tx: &mut crate::db::Tx<'_>,
    Admin { caller, by }: &Admin,
    endpoint: EndpointId,
    what: WebhookChange,
) -> diesel::QueryResult<()> {
    let event = Event::WebhookManaged { by: caller.user_id, session: caller.session_id, endpoint, what };
    audit::record(tx, by.origin(), &event)
}
