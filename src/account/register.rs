//! `POST /v1/auth/register` — open an account and, unless its address is to be verified first, a session.
//!
//! Who may, `registration` says. Where addresses are verified the answer is 202 for everybody: one hash, one transaction that
//! puts one letter into the outbox, and it comes with a tick of the clock ([`tick`](crate::http::tick)), whether or not the
//! address has an account. What the letter becomes is decided when it is sent ([`letters`](super::letters)). With an
//! invitation, which only the holder of the address should have, it is 201 or 409.
//!
//! Owns: users.  Emits: Registered, RegisteredAgain.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use actix_web::web::Data;

use super::email::Email;
use super::one_time::{OneTimeToken, Purpose, TokenField, invitation};
use super::password::{NewPassword, Password, Subject};
use super::store::{self, NewUser, Standing};
use crate::access::role::Roles;
use crate::access::step_up::Proof;
use crate::app::App;
use crate::audit::{self, Event};
use crate::config::Registration;
use crate::error::{Error, FieldError, Result};
use crate::field::{Invalid, Text};
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::http::tick::at_tick;
use crate::mail::Kind;
use crate::session::open::{self, Opened, SessionBody, Terms};
use crate::throttle::device::Device;
use crate::throttle::guess::Guess;
use crate::throttle::quota::{self, Counted};

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
        /// The token of an invitation for this address.
        invitation: Option<TokenField>,
    }
}

/// Answers 201 with the new user and tokens, or 202 if the address is to be verified first.
pub async fn handle(app: Data<App>, from: Origin, Json(body): Json<Request>) -> Result<HttpResponse> {
    let name = body.name.map(Text::into_string);
    let password = accept(&app, body.password, &body.email, name.as_deref(), "password").await?;
    let device = Device { shown: None, is_wanted: body.remember_device || body.cookie };
    let terms = Terms::first_party(&app, body.label).with_device(device);
    let new = Applicant { email: body.email, name, password };
    let registering = register(&app, new, body.invitation, terms, from);
    let outcome = match app.config.registration {
        Registration::Verified => at_tick(registering).await,
        Registration::Open | Registration::Invite | Registration::Closed => registering.await,
    };
    let label = match &outcome {
        Ok(Registered::Opened(_)) => "success",
        Ok(Registered::Pending) => "pending",
        Ok(Registered::Again) => "repeated",
        Err(error) => error.code(),
    };
    app.metrics.registrations.with_label_values(&[label]).inc();
    match outcome? {
        Registered::Opened(opened) => {
            let mut answer = HttpResponse::Created();
            answer.insert_header((header::LOCATION, "/v1/auth/me"));
            opened.answer(&app, &mut answer, body.cookie)
        }
        Registered::Pending | Registered::Again => Ok(HttpResponse::Accepted().finish()),
    }
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "register", "Open an account and a first session")
        .json::<Request>()
        .answers::<SessionBody>(StatusCode::CREATED, "The new user, logged in.")
        .with_header(header::LOCATION, "Where the account is.")
        .with_header(header::SET_COOKIE, "The refresh token and a device token, if `cookie` asked for it.")
        .answers_nothing(StatusCode::ACCEPTED, "A mail is sent to the address, which is to be verified first.")
        .refuses([Error::EmailTaken, CLOSED, UNINVITED, Error::InvalidOneTimeToken])
}

const CLOSED: Error = Error::Forbidden("nobody can register here; ask the operator");
const UNINVITED: Error = Error::Forbidden("only who was invited can register here");

/// Judges a password for an account; the error names `field`.
pub(super) async fn accept(
    app: &App,
    password: Password,
    email: &Email,
    name: Option<&str>,
    field: &'static str,
) -> Result<NewPassword> {
    let refused =
        |Invalid { code, detail }| Error::InvalidFields(vec![FieldError { field: field.to_owned(), code, detail }]);
    let subject = Subject { email, name, issuer: &app.config.issuer };
    let accepted = NewPassword::accept(password, app.config.password.min_length, &subject).map_err(refused)?;
    if app.breached.is_none() {
        return Ok(accepted);
    }
    let breached = app.breached.clone();
    // A file may be slow, and nothing else may wait for it.
    match tokio::task::spawn_blocking(move || accepted.beside(breached.as_ref())).await {
        Ok(Ok(accepted)) => accepted.map_err(refused),
        Ok(Err(error)) => {
            tracing::error!(%error, "password.breached_file cannot be read, so no password can be set");
            Err(Error::Unavailable)
        }
        Err(_panicked) => Err(Error::Internal),
    }
}

/// Who wants an account.
struct Applicant {
    email: Email,
    name: Option<String>,
    password: NewPassword,
}

enum Registered {
    /// There is an account and a session.
    Opened(Box<Opened>),
    /// There is an account, and its address is to be verified.
    Pending,
    /// There was one; its owner is told, nobody else.
    Again,
}

async fn register(
    app: &App,
    new: Applicant,
    invitation: Option<TokenField>,
    terms: Terms,
    from: Origin,
) -> Result<Registered> {
    let invitation = match (app.config.registration, invitation) {
        (Registration::Closed, _) => return Err(CLOSED),
        (Registration::Invite, None) => return Err(UNINVITED),
        (Registration::Open | Registration::Verified, None) => None,
        (Registration::Open | Registration::Verified | Registration::Invite, Some(invitation)) => {
            Some(invitation.parse(Purpose::Invitation)?)
        }
    };
    quota::admit(app, Counted::Registration, &from).await?;
    // Before anything about the address is asked: every way costs one hash.
    let password_hash = app.hasher.hash(new.password.password(), from.address).await?;
    let new = NewUser {
        email: new.email,
        name: new.name,
        password_hash,
        roles: Roles::user(),
        is_verified: false,
        logs_in: true,
    };
    let registered = match (app.config.registration, invitation) {
        (Registration::Verified, None) => register_in_silence(app, NewUser { logs_in: false, ..new }, from).await,
        (_, invitation) => register_at_once(app, new, invitation, terms, from).await,
    };
    app.mail.outbox().ring();
    registered
}

async fn register_in_silence(app: &App, new: NewUser, from: Origin) -> Result<Registered> {
    let outbox = app.mail.outbox();
    let registered = app.db.tx("account.register_in_silence", move |tx| {
        let email = new.email.key();
        if let Some(Standing { user, .. }) = store::insert_user(tx, &new)? {
            outbox.put(tx, Kind::VerifyEmail, None, email)?;
            audit::record(tx, &from, &Event::Registered { user: user.id, session: None })?;
            return Ok(Registered::Pending);
        }
        outbox.put(tx, Kind::RegisteredAgain, None, email)?;
        if let Some(user) = store::find_id_by_email(tx, &new.email)? {
            audit::record(tx, &from, &Event::RegisteredAgain { user })?;
        }
        Ok(Registered::Again)
    });
    Ok(registered.await?)
}

async fn register_at_once(
    app: &App,
    new: NewUser,
    invitation: Option<OneTimeToken>,
    terms: Terms,
    from: Origin,
) -> Result<Registered> {
    let outbox = app.mail.outbox();
    let guess = Guess::at_account(&app.config, &new.email, None, &from);
    let registered = app.db.tx("account.register", move |tx| {
        let is_verified = match &invitation {
            None => false,
            Some(token) => match invitation::take(tx, &new.email, token)? {
                None => return Ok(Err(Error::InvalidOneTimeToken)),
                Some(by_mail) => by_mail,
            },
        };
        let Some(standing) = store::insert_user(tx, &NewUser { is_verified, ..new.clone() })? else {
            return Ok(Err(Error::EmailTaken));
        };
        let mut opened = open::open(tx, standing, &terms, Proof::Password, &from)?;
        opened.device = guess.remember_new(tx, opened.user.id, terms.device.is_wanted)?.device;
        let event = Event::Registered { user: opened.user.id, session: Some(opened.grant.session_id) };
        audit::record(tx, &from, &event)?;
        if !is_verified {
            outbox.put(tx, Kind::VerifyEmail, None, new.email.key())?;
        }
        Ok(Ok(Registered::Opened(Box::new(opened))))
    });
    registered.await?
}
