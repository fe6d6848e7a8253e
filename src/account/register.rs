//! `POST /v1/auth/register` — open an account and a first session.
//!
//! Owns: users.  Emits: Registered.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use actix_web::web::Data;

use super::email::Email;
use super::password::{NewPassword, Password};
use super::store::{self, NewUser};
use crate::access::role::Roles;
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{Error, FieldError, Result};
use crate::field::Text;
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::session::open::{self, Opened, SessionBody, Terms};
use crate::throttle::device::Device;
use crate::throttle::guess::Guess;
use crate::throttle::registration;

request_body! {
    /// A new account.
    pub struct Request {
        /// Where the user can be reached; unique without regard to case.
        email: Email,
        /// At least `password.min_length` characters, not a common one.
        password: Password,
        /// What the user wants to be called.
        name: Option<Text>,
        /// Keep the refresh token in a cookie instead of the body.
        cookie: bool,
        /// A name for this session, for the user's own list.
        label: Option<Text>,
        /// Answer with a `device_token` to show at the next log-in. With `cookie` it is kept in a cookie, whether asked for
        /// or not.
        remember_device: bool,
    }
}

/// Answers 201 with the new user and tokens.
pub async fn handle(app: Data<App>, from: Origin, Json(body): Json<Request>) -> Result<HttpResponse> {
    let password = accept(&app, body.password, &body.email, "password")?;
    let device = Device { shown: None, is_wanted: body.remember_device || body.cookie };
    let terms = Terms::first_party(&app, body.label).with_device(device);
    let outcome = register(&app, body.email, body.name, &password, terms, from).await;
    let label = match &outcome {
        Ok(_) => "success",
        Err(error) => error.code(),
    };
    app.metrics.registrations.with_label_values(&[label]).inc();
    let opened = outcome?;
    let mut answer = HttpResponse::Created();
    answer.insert_header((header::LOCATION, "/v1/auth/me"));
    opened.answer(&app, &mut answer, body.cookie)
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "register", "Open an account and a first session")
        .json::<Request>()
        .answers::<SessionBody>(StatusCode::CREATED, "The new user, logged in.")
        .with_header(header::LOCATION, "Where the account is.")
        .with_header(header::SET_COOKIE, "The refresh token and a device token, if `cookie` asked for it.")
        .refuses([Error::EmailTaken])
}

/// Judges a password for an account; the error names `field`.
pub(super) fn accept(app: &App, password: Password, email: &Email, field: &'static str) -> Result<NewPassword> {
    NewPassword::accept(password, app.config.password.min_length, email, &app.config.issuer).map_err(|invalid| {
        Error::InvalidFields(vec![FieldError { field: field.to_owned(), code: invalid.code, detail: invalid.detail }])
    })
}

async fn register(
    app: &App,
    email: Email,
    name: Option<Text>,
    password: &NewPassword,
    terms: Terms,
    from: Origin,
) -> Result<Opened> {
    registration::admit(app, &from).await?;
    let guess = Guess::at_account(&app.config, &email, None, &from);
    let password_hash = app.hasher.hash(password.password(), from.address).await?;
    let name = name.map(Text::into_string);
    let new = NewUser { email, name, password_hash, roles: Roles::user(), logs_in: true };
    let opened = app
        .db
        .tx("account.register", move |tx| {
            let Some(standing) = store::insert_user(tx, &new)? else { return Ok(None) };
            let mut opened = open::open(tx, standing, &terms, &from)?;
            opened.device = guess.remember_new(tx, opened.user.id, terms.device.is_wanted)?;
            let event = Event::Registered { user: opened.user.id, session: opened.grant.session_id };
            audit::record(tx, &from, &event)?;
            Ok(Some(opened))
        })
        .await?;
    opened.ok_or(Error::EmailTaken)
}
