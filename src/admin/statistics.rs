//! `GET /v1/admin/statistics` — how much of everything there is. `signet statistics` prints the same.
//!
//! Counted anew each time, but no further than so many rows: a service with millions of users is told that there are at
//! least that many, and does not pay for more.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;

use crate::account::search;
use crate::app::App;
use crate::audit;
use crate::clock::Timestamp;
use crate::db::Db;
use crate::error::Result;
use crate::http::bearer::Admin;
use crate::http::openapi::{Operation, Tag};
use crate::session;

/// The most rows of one kind that are counted.
const MOST: i64 = 100_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Users.
#[derive(Serialize, schemars::JsonSchema)]
struct Users {
    /// How many there are.
    count: i64,
    /// Whether there are more, which were not counted.
    more: bool,
    /// How many have the role `admin`.
    admins: i64,
}

/// Sessions.
#[derive(Serialize, schemars::JsonSchema)]
struct Sessions {
    /// How many of the newest ones can be refreshed now.
    live: i64,
    /// How many of the newest ones the next clean-up removes.
    due_for_cleanup: i64,
    /// Whether there are older ones, which were not counted.
    more: bool,
}

/// Log-ins of the last 24 hours.
#[derive(Serialize, schemars::JsonSchema)]
struct Logins {
    /// Since when.
    since: Timestamp,
    /// `success`, or why not, with how often.
    outcomes: BTreeMap<String, i64>,
    /// Whether there were more, earlier in that time, which were not counted.
    more: bool,
}

/// How much of everything there is.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Statistics {
    users: Users,
    sessions: Sessions,
    logins: Logins,
}

/// Answers 200 with all of it.
pub async fn handle(app: Data<App>, _: Admin) -> Result<HttpResponse> {
    Ok(HttpResponse::Ok().json(count(&app.db, app.config.cleanup.session_retention.0).await?))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "statistics", "How much of everything there is")
        .answers::<Statistics>(StatusCode::OK, "Counted now, up to 100,000 rows of each kind.")
}

/// Counts everything; sessions that ended before `retention` are due for clean-up.
pub(crate) async fn count(db: &Db, retention: Duration) -> Result<Statistics> {
    let statistics = db.read("admin.statistics", move |tx| {
        let (count, admins) = search::count(tx, MOST + 1)?;
        let users = Users { count: count.min(MOST), more: count > MOST, admins };
        let counted = session::count_latest(tx, tx.now - retention, MOST)?;
        let sessions = Sessions { live: counted.live, due_for_cleanup: counted.over, more: counted.looked_at >= MOST };
        let since = tx.now - DAY;
        let (outcomes, looked_at) = audit::count_logins(tx, since, MOST)?;
        Ok(Statistics { users, sessions, logins: Logins { since, outcomes, more: looked_at >= MOST } })
    });
    Ok(statistics.await?)
}
