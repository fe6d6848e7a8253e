//! `GET /health/live`, `GET /health/ready`, `GET /metrics` — for operators, on the management listener.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use actix_web::web::Data;
use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::clock::disagreement;
use crate::db::Pulse;
use crate::db::migrations::SchemaState;

/// Answers 200 as long as the process can answer at all.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "live"}))
}

/// Answers 200 if requests can be served now, else 503, and says which part is not well. Never takes longer than half a
/// second, whatever the database does.
pub async fn ready(app: Data<App>) -> HttpResponse {
    let readiness = Readiness::of(&app).await;
    app.health.note(&app, &readiness);
    let status = if readiness.status == READY { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(readiness)
}

/// Answers 200 with the metrics in the text exposition format.
pub async fn metrics(app: Data<App>) -> HttpResponse {
    app.keys.observe(app.clock.now());
    app.metrics.draining.set(app.draining.load(Ordering::SeqCst).into());
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(app.metrics.render())
}

const READY: &str = "ready";
const OK: &str = "ok";

/// How each part is, in the words of the answer.
#[derive(Clone, PartialEq, Eq, Serialize)]
struct Readiness {
    /// `ready`, `not ready`, or `draining`: about to stop.
    status: &'static str,
    /// `ok`, `busy`, `read-only` or `unavailable`.
    database: &'static str,
    /// `ok`, `newer`, `behind` or `unknown`.
    schema: &'static str,
    /// `ok`, `stale` (the folder cannot be read as it is; the last good keys are in use) or `no signing key`.
    keys: &'static str,
    /// `ok`, or `saturated`: log-ins are answered 503, whoever asks.
    hashing: &'static str,
    /// What should be looked at and keeps nobody from being served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Readiness {
    async fn of(app: &App) -> Self {
        let mut warnings = Vec::new();
        let (database, schema) = match app.db.pulse().await {
            Pulse::Vitals(vitals) => {
                app.metrics.database_clock_offset.set(vitals.clock_offset_seconds);
                warnings.extend(disagreement(vitals.clock_offset_seconds));
                if vitals.others_differ {
                    warnings.push("another instance on this database is configured differently".to_owned());
                }
                (OK, word_of_schema(&vitals.schema))
            }
            Pulse::Busy => ("busy", "unknown"),
            Pulse::ReadOnly => ("read-only", "unknown"),
            Pulse::Gone => ("unavailable", "unknown"),
        };
        let keys = match (app.keys.can_sign(app.clock.now()), app.keys.is_stale()) {
            (false, _) => "no signing key",
            (true, true) => "stale",
            (true, false) => OK,
        };
        // Saturation does not make it unready: a storm of log-ins saturates all instances at once, and without any the
        // refreshes and verifications would fail that go on well meanwhile.
        let hashing = if app.hasher.is_saturated() { "saturated" } else { OK };
        // A newer schema is a rolling upgrade under way; this release was checked against it when it started.
        let can_serve = [OK, "busy"].contains(&database) && schema != "behind" && keys != "no signing key";
        let status = match (app.draining.load(Ordering::SeqCst), can_serve) {
            (true, _) => "draining",
            (false, true) => READY,
            (false, false) => "not ready",
        };
        Self { status, database, schema, keys, hashing, warnings }
    }

    /// Each part and whether it is well, for the metric.
    fn parts(&self) -> [(&'static str, bool); 6] {
        [
            ("accepting", self.status != "draining"),
            ("database", self.database == OK),
            ("schema", [OK, "newer"].contains(&self.schema)),
            ("keys", self.keys == OK),
            ("hashing", self.hashing == OK),
            ("agreement", self.warnings.is_empty()),
        ]
    }
}

fn word_of_schema(schema: &SchemaState) -> &'static str {
    match schema {
        SchemaState::Current => OK,
        SchemaState::Behind(_) => "behind",
        SchemaState::Newer(_) => "newer",
    }
}

/// What was answered last, so that the log tells of changes and of nothing else.
#[derive(Default)]
pub struct Health(Mutex<Option<Readiness>>);

impl Health {
    fn note(&self, app: &App, now: &Readiness) {
        for (part, is_well) in now.parts() {
            app.metrics.ready.with_label_values(&[part]).set(i64::from(is_well));
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(now.clone());
        if before.as_ref() == Some(now) {
            return;
        }
        let known = before.as_ref().map_or(&[] as &[String], |before| &before.warnings);
        for warning in now.warnings.iter().filter(|warning| !known.contains(warning)) {
            tracing::warn!("{warning}");
        }
        let Readiness { status, database, schema, keys, hashing, .. } = now;
        match *status {
            "not ready" => tracing::warn!(database, schema, keys, hashing, "not ready to serve"),
            status => tracing::info!(status, database, schema, keys, hashing, "readiness changed"),
        }
    }
}
