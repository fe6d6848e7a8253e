//! `GET /v1/admin/users` — find users.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;

use super::fields::{EmailPrefix, Flag, NO_CURSOR, NamePrefix, RoleName};
use crate::account::search::{self, Criteria, Cursor, Found};
use crate::account::{ManagedUser, UserId};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::bearer::Admin;
use crate::http::body::request_body;
use crate::http::openapi::{Operation, Tag};
use crate::http::query::{Limit, Query};

request_body! {
    /// Whom to look for; all that is said must hold.
    pub struct Search {
        /// The user of this id.
        id: Option<UserId>,
        /// How the address begins. Sorts by address.
        email: Option<EmailPrefix>,
        /// How the name begins, without regard to the case of ASCII letters. Sorts by name, unless `email` is given.
        name: Option<NamePrefix>,
        /// A role that they have.
        role: Option<RoleName>,
        /// Whether they may log in.
        is_active: Option<Flag>,
        /// Whether their address is known to be theirs.
        is_verified: Option<Flag>,
        /// How many users at most. A page may have fewer, or none, and still have a `next`.
        limit: Limit,
        /// The `next` of the page before.
        after: Option<Cursor>,
    }
}

/// A page of users.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct UserPage {
    users: Vec<ManagedUser>,
    /// The `after` of the next page; `null` on the last.
    next: Option<String>,
}

/// Answers 200 with a page: the newest first, unless they are sorted by what was looked for.
pub async fn handle(app: Data<App>, _: Admin, Query(query): Query<Search>) -> Result<HttpResponse> {
    let Search { id, email, name, role, is_active, is_verified, limit, after } = query;
    let criteria = Criteria {
        id,
        email: email.map(|email| email.0),
        name: name.map(|name| name.0),
        role: role.map(|role| role.0),
        is_active: is_active.map(|flag| flag.0),
        is_verified: is_verified.map(|flag| flag.0),
    };
    let found = app.db.read("admin.search", move |tx| search::search(tx, &criteria, after.as_ref(), limit.0)).await?;
    let Found { users, next } = found.ok_or_else(|| Error::invalid_field("after", NO_CURSOR))?;
    Ok(HttpResponse::Ok().json(UserPage { users, next: next.map(|cursor| cursor.to_string()) }))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "list_users", "Find users")
        .query::<Search>()
        .answers::<UserPage>(StatusCode::OK, "A page of users.")
}
