//! `POST /v1/admin/users` — open an account for somebody.
//!
//! It has no password that anybody knows: nobody but the user ever chooses one (`reset-password` sends them what they need for it).
//! An `Idempotency-Key` lets it be sent again.
//!
//! Emits: UserCreated.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use actix_web::web::Data;

use super::fields::{Flag, RoleList};
use crate::access::role::Roles;
use crate::account::ManagedUser;
use crate::account::administer::create::create_in;
use crate::account::email::Email;
use crate::account::store::NewUser;
use crate::app::App;
use crate::error::{Error, Result};
use crate::field::Text;
use crate::http::bearer::Admin;
use crate::http::body::request_body;
use crate::http::idempotency::{Answer, Idempotent, Repeat};
use crate::http::openapi::{Operation, Tag};

request_body! {
    /// A new account.
    pub struct Request {
        /// Where the user can be reached; unique without regard to case.
        email: Email,
        /// What the user wants to be called.
        name: Option<Text>,
        /// What the user may do; `["user"]` unless said otherwise.
        roles: Option<RoleList>,
        /// Whether the address is known to be the user's; it is, unless said otherwise.
        is_verified: Option<Flag>,
    }
}

/// Answers 201 with the user.
pub async fn handle(
    app: Data<App>,
    Admin { caller, by }: Admin,
    Idempotent { body, repeat }: Idempotent<Request>,
) -> Result<HttpResponse> {
    let new = NewUser {
        email: body.email,
        name: body.name.map(Text::into_string),
        password_hash: app.hasher.nobodys_hash().to_string(),
        roles: body.roles.map_or_else(Roles::user, |roles| roles.0),
        is_verified: body.is_verified.is_none_or(|flag| flag.0),
        logs_in: false,
    };
    let created = app.db.tx("admin.create_user", move |tx| {
        repeat.once(tx, caller.user_id, |tx| {
            let created = create_in(tx, &by, &new)?;
            Ok(created.map(|user| Answer::created(format!("/v1/admin/users/{}", user.user.id), &user)))
        })
    });
    created.await?.map(Answer::into_response)
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "create_user", "Open an account for somebody")
        .json::<Request>()
        .reads_header("Idempotency-Key", "A UUID: the same request with it is answered as before, for a day.")
        .answers::<ManagedUser>(StatusCode::CREATED, "The user, whom no password lets in yet.")
        .with_header(header::LOCATION, "Where the user is.")
        .refuses([Error::EmailTaken])
        .refuses(Repeat::refusals())
}
