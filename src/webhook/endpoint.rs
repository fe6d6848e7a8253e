//! `PATCH` and `DELETE /v1/admin/webhooks/{id}`, and `POST /v1/admin/webhooks/{id}/rotate-secret`.
//!
//! Emits: WebhookManaged.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use diesel::QueryResult;

use super::EndpointId;
use super::endpoints::{EndpointItem, EndpointWithSecret, accept, record};
use super::fields::{EventTypes, Url};
use super::secret::EndpointSecret;
use super::store::{self, Endpoint};
use crate::app::App;
use crate::audit::WebhookChange;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::field::{Patch, Text};
use crate::http::bearer::Admin;
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};

/// How long messages are signed with the former secret, too: time to give the new one to every instance of the receiver.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

request_body! {
    /// What is to be changed; what is absent stays.
    pub struct Change {
        /// Where messages are posted to.
        url: Option<Url>,
        /// Which types of events; empty: all.
        event_types: Option<EventTypes>,
        /// A note for administrators.
        description: Patch<Text>,
        /// Whether it is told anything. What happens while it is not, it is never told.
        is_enabled: Option<bool>,
    }
}

/// Answers 200 with the endpoint as it is then.
pub async fn change(app: Data<App>, admin: Admin, http: HttpRequest, Json(body): Json<Change>) -> Result<HttpResponse> {
    let id = id_of(&http)?;
    let url = body.url.as_ref().map(|url| accept(&app, url)).transpose()?;
    let (types, description) = (body.event_types.map(|types| types.to_column()), body.description);
    let (is_enabled, now) = (body.is_enabled, app.clock.now());
    let changed = app
        .db
        .tx("webhook.change", move |tx| {
            let Some(mut endpoint) = store::lock_endpoint(tx, id)? else { return Ok(None) };
            endpoint.url = url.clone().unwrap_or(endpoint.url);
            endpoint.event_types = types.clone().unwrap_or(endpoint.event_types);
            endpoint.description = match description.clone() {
                Patch::Keep => endpoint.description,
                Patch::Remove => None,
                Patch::Set(text) => Some(text.into_string()),
            };
            if let Some(is_enabled) = is_enabled {
                (endpoint.is_enabled, endpoint.disabled_reason) = (is_enabled, None);
            }
            store::update_endpoint(tx, &endpoint)?;
            if !endpoint.is_enabled {
                store::give_up_all(tx, id)?;
            }
            record(tx, &admin, id, WebhookChange::Updated)?;
            Ok(Some(endpoint))
        })
        .await?;
    app.webhooks.ring();
    Ok(HttpResponse::Ok().json(EndpointItem::of(changed.ok_or(Error::NotFound)?, now)))
}

/// What the API description says.
pub fn describe_change() -> Operation {
    Operation::new(Tag::Admin, "change_webhook", "Change an endpoint, disable or enable it")
        .in_path::<EndpointId>("id", "The endpoint's id.")
        .json::<Change>()
        .answers::<EndpointItem>(StatusCode::OK, "The endpoint.")
        .refuses([Error::NotFound])
}

/// Answers 204; what waited for it is gone as well.
pub async fn delete(app: Data<App>, admin: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let id = id_of(&http)?;
    let deleted = app
        .db
        .tx("webhook.delete", move |tx| {
            if store::lock_endpoint(tx, id)?.is_none() {
                return Ok(false);
            }
            store::delete_endpoint(tx, id)?;
            record(tx, &admin, id, WebhookChange::Deleted)?;
            Ok(true)
        })
        .await?;
    if deleted { Ok(HttpResponse::NoContent().finish()) } else { Err(Error::NotFound) }
}

/// What the API description says.
pub fn describe_delete() -> Operation {
    Operation::new(Tag::Admin, "delete_webhook", "Tell an endpoint nothing any more")
        .in_path::<EndpointId>("id", "The endpoint's id.")
        .answers_nothing(StatusCode::NO_CONTENT, "It is gone, with all that waited for it.")
        .refuses([Error::NotFound])
}

/// Answers 200 with the endpoint and its new secret.
pub async fn rotate_secret(app: Data<App>, admin: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let (id, now) = (id_of(&http)?, app.clock.now());
    let secret = EndpointSecret::generate();
    let text = secret.to_text().to_string();
    let rotated = app
        .db
        .tx("webhook.rotate_secret", move |tx| {
            let Some(endpoint) = store::lock_endpoint(tx, id)? else { return Ok(None) };
            let endpoint = with_secret(endpoint, secret.clone(), tx.now);
            store::update_endpoint(tx, &endpoint)?;
            record(tx, &admin, id, WebhookChange::Updated)?;
            QueryResult::Ok(Some(endpoint))
        })
        .await?;
    let endpoint = EndpointItem::of(rotated.ok_or(Error::NotFound)?, now);
    Ok(HttpResponse::Ok().json(EndpointWithSecret { endpoint, secret: text }))
}

fn with_secret(endpoint: Endpoint, secret: EndpointSecret, now: Timestamp) -> Endpoint {
    let previous_secret = Some(endpoint.secret);
    Endpoint { secret, previous_secret, previous_expires_at: Some(now + OVERLAP), ..endpoint }
}

/// What the API description says.
pub fn describe_rotate_secret() -> Operation {
    Operation::new(Tag::Admin, "rotate_webhook_secret", "Give an endpoint a new secret; for a day both sign")
        .in_path::<EndpointId>("id", "The endpoint's id.")
        .answers::<EndpointWithSecret>(StatusCode::OK, "The endpoint, with its secret, which is not shown again.")
        .refuses([Error::NotFound])
}

/// The endpoint that a path names; whatever is no id names none.
pub(super) fn id_of(http: &HttpRequest) -> Result<EndpointId> {
    http.match_info().query("id").parse().map_err(|_| Error::NotFound)
}
