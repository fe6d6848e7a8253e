//! `POST /v1/auth/login` — trade an e-mail address and a password for a session.
//!
//! Exactly one hash is verified whatever is wrong, one transaction is written, and one answer is given: unknown address,
//! wrong password and disabled account differ in nothing that the caller can see. Only who knows the password can meet an
//! account that changes meanwhile, and costs a second look. When too many log in, nothing is done before that is said.
//!
//! Owns: sessions.  Emits: LoggedIn, LoginFailed.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use actix_web::web::Data;

use super::open::{self, Opened, SessionBody, Terms};
use crate::account::email::Email;
use crate::account::password::Password;
use crate::account::store::{self as accounts, Credentials};
use crate::app::App;
use crate::audit::{self, Event, LoginFailure};
use crate::error::{Error, Result};
use crate::field::Text;
use crate::hasher::{self, Verdict};
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;

request_body! {
    /// Who somebody says they are.
    pub struct Request {
        /// The account's address, in any spelling.
        email: Email,
        /// The account's password.
        password: Password,
        /// Keep the refresh token in a cookie instead of the body.
        cookie: bool,
        /// A name for this session, for the user's own list.
        label: Option<Text>,
    }
}

/// Answers 200 with the user and tokens.
pub async fn handle(app: Data<App>, from: Origin, Json(body): Json<Request>) -> Result<HttpResponse> {
    let terms = Terms::first_party(&app, body.label);
    let opened = log_in(&app, body.email, &body.password, terms, from).await?;
    opened.answer(&app, &mut HttpResponse::Ok(), body.cookie)
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Sessions, "login", "Trade an e-mail address and a password for a session")
        .json::<Request>()
        .answers::<SessionBody>(StatusCode::OK, "The user and tokens.")
        .with_header(header::SET_COOKIE, "The refresh token, if `cookie` asked for it.")
        .refuses([Error::InvalidCredentials])
}

/// Checks the password and opens a session on `terms`.
///
/// # Errors
/// [`Error::InvalidCredentials`] for every reason that lies with the caller.
pub async fn log_in(app: &App, email: Email, password: &Password, terms: Terms, from: Origin) -> Result<Opened> {
    let first = attempt(app, email.clone(), password, terms.clone(), from.clone(), OnChange::TellApart).await;
    let opened = match first {
        // The password was right a moment ago. Either it was changed since, or another log-in renewed an outdated hash of
        // the same password, which is no reason to refuse this one: look again to tell.
        Ok(Err(LoginFailure::Changed)) => attempt(app, email, password, terms, from, OnChange::Refuse).await,
        decided => decided,
    };
    let label = match &opened {
        Ok(Ok(_)) => "success",
        Ok(Err(failure)) => failure.as_str(),
        Err(error) => error.code(),
    };
    app.metrics.logins.with_label_values(&[label]).inc();
    opened?.map_err(|_| Error::InvalidCredentials)
}

/// What to do about an account that changed while its password was being hashed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnChange {
    /// Nothing yet: the log-in is attempted again.
    TellApart,
    /// Refuse, and write it down.
    Refuse,
}

async fn attempt(
    app: &App,
    email: Email,
    password: &Password,
    terms: Terms,
    from: Origin,
    on_change: OnChange,
) -> Result<Result<Opened, LoginFailure>> {
    app.hasher.admit(from.address)?;
    let found = app.db.read("session.credentials", move |tx| accounts::find_credentials(tx, &email)).await?;
    let stored = found.as_ref().map(|credentials| credentials.password_hash.as_str());
    let verdict = app.hasher.verify(password, stored, from.address).await?;
    let outcome = match (found, verdict) {
        (None, _) => Err((None, LoginFailure::UnknownUser)),
        (Some(found), Verdict::Wrong) => Err((Some(found), LoginFailure::WrongPassword)),
        (Some(found), Verdict::Right { .. }) if !found.is_active => Err((Some(found), LoginFailure::Disabled)),
        (Some(found), Verdict::Right { outdated: false }) => Ok((found, None)),
        (Some(found), Verdict::Right { outdated: true }) => Ok((found, renew(app, password, &from).await?)),
    };
    let opened = app
        .db
        .tx("session.login", move |tx| {
            let (found, failure) = match &outcome {
                Ok((found, new_hash)) => match accounts::mark_login(tx, found, new_hash.as_deref())? {
                    Some(standing) => {
                        let opened = open::open(tx, standing, &terms, &from)?;
                        let event = Event::LoggedIn { user: opened.user.id, session: opened.grant.session_id };
                        audit::record(tx, &from, &event)?;
                        return Ok(Ok(opened));
                    }
                    None if on_change == OnChange::TellApart => return Ok(Err(LoginFailure::Changed)),
                    None => (Some(found), LoginFailure::Changed),
                },
                Err((found, failure)) => (found.as_ref(), *failure),
            };
            let user = found.map(|Credentials { id, .. }| *id);
            audit::record(tx, &from, &Event::LoginFailed { user, reason: failure })?;
            Ok(Err(failure))
        })
        .await?;
    Ok(opened)
}

/// The password's hash with today's parameters, unless too many log in: that is no reason to refuse one who has waited
/// and was right, and the next log-in will do.
async fn renew(app: &App, password: &Password, from: &Origin) -> Result<Option<String>> {
    match app.hasher.hash(password, from.address).await {
        Ok(hash) => Ok(Some(hash)),
        Err(hasher::Error::Overloaded { .. }) => Ok(None),
        Err(error @ (hasher::Error::Malformed(_) | hasher::Error::Panicked)) => Err(error.into()),
    }
}
