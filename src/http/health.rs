//! `GET /health/live`, `GET /health/ready`, `GET /metrics` — for operators, on the management listener.

use std::sync::atomic::Ordering;

use actix_web::web::Data;
use actix_web::{HttpResponse, http::StatusCode};
use serde_json::json;

use crate::app::App;
use crate::db::migrations::{self, SchemaState};

/// Answers 200 as long as the process can answer at all.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "live"}))
}

/// Answers 200 if requests can be served now, else 503, and says which part is not well.
pub async fn ready(app: Data<App>) -> HttpResponse {
    let (database, schema) = match app.db.read("health.ready", |tx| migrations::state_of(tx.conn)).await {
        Ok(SchemaState::Current) => ("ok", "ok"),
        Ok(SchemaState::Behind(_)) => ("ok", "behind"),
        Ok(SchemaState::Newer(_)) => ("ok", "newer"),
        Err(_) => ("unavailable", "unknown"),
    };
    let keys = if app.keys.can_sign(app.clock.now()) { "ok" } else { "no signing key" };
    let draining = app.draining.load(Ordering::SeqCst);
    // A newer schema is a rolling upgrade under way; this release was checked against it when it started.
    let ready = database == "ok" && schema != "behind" && keys == "ok" && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if draining {
        "draining"
    } else if ready {
        "ready"
    } else {
        "not ready"
    };
    HttpResponse::build(status).json(json!({"status": word, "database": database, "schema": schema, "keys": keys}))
}

/// Answers 200 with the metrics in the text exposition format.
pub async fn metrics(app: Data<App>) -> HttpResponse {
    app.keys.observe(app.clock.now());
    app.metrics.draining.set(app.draining.load(Ordering::SeqCst).into());
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(app.metrics.render())
}
