//! `POST /v1/auth/login` — trade an e-mail address and a password for a session.
//!
//! Exactly one hash is verified whatever is wrong, one transaction is written, and one answer is given: unknown address,
//! wrong password, disabled account and an address that is still to be verified differ in nothing that the caller can see
//! (else whoever registers with somebody's address and logs in would learn whether it had an account), and nor does the 429
//! of whoever tries too often ([`throttle::guess`]). Only who knows the password can meet an account that changes meanwhile,
//! and costs a second look. When too many log in, nothing is done before that is said.
//!
//! A right password of an account that has a second factor opens no session: it is answered with a challenge, and counts neither
//! as right nor as wrong ([`mfa::login`]). One that there is nothing more to say of is one statement ([`store`]); like a refresh, whatever
//! that does not match is decided by a transaction.
//!
//! Owns: sessions.  Emits: LoggedIn, LoginFailed, FactorRequired.

mod store;

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use diesel::QueryResult;

use super::open::{self, Opened, SecondStep, SessionBody, Terms};
use crate::access::step_up::Proof;
use crate::account::email::Email;
use crate::account::password::Password;
use crate::account::store::{self as accounts, Credentials, Standing};
use crate::app::App;
use crate::audit::{self, Event, LoginFailure};
use crate::clock::Timestamp;
use crate::config::{Config, Registration};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::field::Text;
use crate::hasher::{self, Verdict};
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::mail::{Notice, Outbox};
use crate::mfa;
use crate::throttle;
use crate::throttle::Recognition;
use crate::throttle::bucket::{BucketId, Refusal};
use crate::throttle::device::{Device, DeviceTokenField};
use crate::throttle::guess::{Admitted, Guess};

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
        /// What an earlier log-in to this account gave as `device_token`: then nobody elsewhere can hold this one up.
        device_token: Option<DeviceTokenField>,
        /// Answer with a `device_token`. With `cookie` it is kept in a cookie, whether asked for or not.
        remember_device: bool,
    }
}

/// Answers 200 with the user and tokens.
pub async fn handle(
    app: Data<App>,
    http: HttpRequest,
    from: Origin,
    Json(body): Json<Request>,
) -> Result<HttpResponse> {
    let device = Device::of(&app, &http, body.device_token, body.remember_device, body.cookie);
    let terms = Terms::first_party(&app, body.label).with_device(device).offering_second_step(body.cookie);
    let opened = log_in(&app, body.email, &body.password, terms, from).await?;
    opened.answer(&app, &mut HttpResponse::Ok(), body.cookie)
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Sessions, "login", "Trade an e-mail address and a password for a session")
        .json::<Request>()
        .answers::<SessionBody>(StatusCode::OK, "The user and tokens.")
        .with_header(header::SET_COOKIE, "The refresh token and a device token, if `cookie` asked for it.")
        .refuses([Error::InvalidCredentials, Error::MfaRequired(None)])
}

/// Checks the password and opens a session on `terms`.
///
/// # Errors
/// [`Error::InvalidCredentials`] for every reason that lies with the caller, [`Error::TooManyRequests`] if none is looked
/// for, [`Error::MfaRequired`] if there is none but that a code is to come.
pub async fn log_in(app: &App, email: Email, password: &Password, terms: Terms, from: Origin) -> Result<Opened> {
    let first = attempt(app, email.clone(), password, terms.clone(), from.clone(), OnChange::TellApart).await;
    let opened = match first {
        // The password was right a moment ago. Either it was changed since, or another log-in renewed an outdated hash of
        // the same password, which is no reason to refuse this one: look again to tell.
        Ok(Err(Refused::Failed(LoginFailure::Changed))) => {
            attempt(app, email, password, terms, from, OnChange::Refuse).await
        }
        decided => decided,
    };
    let label = match &opened {
        Ok(Ok(_)) => "success",
        Ok(Err(Refused::Failed(failure))) => failure.as_str(),
        Ok(Err(Refused::Throttled(_))) => "too_many_requests",
        Ok(Err(Refused::FactorRequired(_))) => "mfa_required",
        Err(error) => error.code(),
    };
    app.metrics.logins.with_label_values(&[label]).inc();
    opened?.map_err(|refused| match refused {
        Refused::Failed(_) => Error::InvalidCredentials,
        Refused::Throttled(refusal) => throttle::refuse(app, refusal),
        Refused::FactorRequired(pending) => Error::MfaRequired(pending),
    })
}

/// Why nobody is logged in.
enum Refused {
    /// What was looked at was not good.
    Failed(LoginFailure),
    /// Nothing is told about it, whether it was looked at or not.
    Throttled(Refusal),
    /// All was good so far. `None` if the client knows no second step.
    FactorRequired(Option<mfa::Pending>),
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
) -> Result<Result<Opened, Refused>> {
    app.hasher.admit(from.address)?;
    let guess = Guess::at_account(&app.config, &email, terms.device.shown.as_ref(), &from);
    let looked = app.db.read("session.credentials", move |tx| look(tx, &guess, &email)).await?;
    let (admitted, found) = match looked {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(Err(Refused::Throttled(refusal))),
    };
    let stored = found.as_ref().map(|credentials| credentials.password_hash.as_str());
    let verdict = app.hasher.verify(password, stored, from.address).await?;
    let outcome: Outcome = match (found, verdict) {
        (None, _) => Err((None, LoginFailure::UnknownUser)),
        (Some(found), Verdict::Wrong) => Err((Some(found), LoginFailure::WrongPassword)),
        (Some(found), Verdict::Right { .. }) if !found.is_active_at(app.clock.now()) => {
            Err((Some(found), LoginFailure::Disabled))
        }
        (Some(found), Verdict::Right { .. }) if lacks_verification(&app.config, &found) => {
            Err((Some(found), LoginFailure::Unverified))
        }
        (Some(found), Verdict::Right { outdated: false }) => Ok((found, None)),
        (Some(found), Verdict::Right { outdated: true }) => Ok((found, renew(app, password, &from).await?)),
    };
    let attempted = Arc::new(Attempted { outcome, admitted, terms, from });
    if let Some(opened) = enter_at_once(app, &attempted).await? {
        return Ok(Ok(opened));
    }
    let outbox = app.mail.outbox();
    Ok(app.db.tx("session.login", move |tx| attempted.conclude(tx, &outbox, on_change)).await?)
}

/// Whose password was right, and a new hash of it if the old one is outdated; or what was not good, of which account.
type Outcome = Result<(Credentials, Option<String>), (Option<Credentials>, LoginFailure)>;

/// A password that was looked at, and all that goes into what becomes of it.
struct Attempted {
    outcome: Outcome,
    admitted: Admitted,
    terms: Terms,
    from: Origin,
}

/// Opens the session with one statement, where there is nothing to decide. `None` if there is, or nothing to be saved by it.
async fn enter_at_once(app: &App, attempted: &Arc<Attempted>) -> Result<Option<Opened>> {
    if !app.db.is_remote() || attempted.without_news(app.clock.now()).is_none() {
        return Ok(None);
    }
    let attempted = Arc::clone(attempted);
    Ok(app.db.single("session.login", move |tx| attempted.enter(tx)).await?)
}

impl Attempted {
    /// Who logs in, if all that a log-in can come to besides a session does not: no hash to renew, no second factor, no time of
    /// being disabled to end, no failures to take back, nothing to remember of where it came from. And what counted it, and
    /// what is known of that place.
    fn without_news(&self, now: Timestamp) -> Option<(&Credentials, Option<BucketId>, Recognition)> {
        let Ok((found, None)) = &self.outcome else { return None };
        if found.has_second_factor || found.was_disabled() {
            return None;
        }
        let Device { shown, is_wanted } = &self.terms.device;
        let (counted, recognition) = self.admitted.succeed_without_news(now, shown.as_ref(), *is_wanted)?;
        Some((found, counted, recognition))
    }

    fn enter(&self, tx: &mut Tx<'_>) -> QueryResult<Option<Opened>> {
        // Asked again, at the time that the statement carries.
        let Some((found, counted, Recognition { device, .. })) = self.without_news(tx.now) else {
            return Ok(None);
        };
        let grant = open::first_grant(tx.now, found.id, &found.roles, &self.terms, Proof::Password);
        let new = open::new_session(&grant, found.access_version, &self.terms, &self.from);
        let event = Event::LoggedIn { user: found.id, session: grant.session_id, proof: Proof::Password };
        let entered = store::enter(tx, found, counted, &new, &event, &self.from)?;
        Ok(entered.map(|user| Opened { user, grant, device }))
    }

    /// The same and all else, under the lock of whatever it depends on.
    fn conclude(&self, tx: &mut Tx<'_>, outbox: &Outbox, on_change: OnChange) -> QueryResult<Result<Opened, Refused>> {
        let Self { outcome, admitted, terms, from } = self;
        match outcome {
            Ok((found, new_hash)) if found.has_second_factor => {
                ask_for_factor(tx, admitted, found, new_hash.as_deref(), terms, from, on_change).map(Err)
            }
            Ok((found, new_hash)) => {
                let entrance = Entrance { password: admitted, proof: Proof::Password, terms, from, outbox };
                succeed(tx, &entrance, found, new_hash.as_deref(), on_change)
            }
            Err((found, failure)) => fail(tx, admitted, found.as_ref(), *failure, from).map(Err),
        }
    }
}

/// Whether the address is to be verified before anybody logs in.
pub(crate) fn lacks_verification(config: &Config, found: &Credentials) -> bool {
    config.registration == Registration::Verified && !found.is_verified
}

/// How somebody comes in who has proven who they are.
pub(crate) struct Entrance<'a> {
    /// What their password counted in.
    pub(crate) password: &'a Admitted,
    pub(crate) proof: Proof,
    pub(crate) terms: &'a Terms,
    pub(crate) from: &'a Origin,
    pub(crate) outbox: &'a Outbox,
}

impl Entrance<'_> {
    /// Opens a session of an account that was `checked` and is in good standing still, with all that follows from it: a time of
    /// being disabled is over, the account knows where it was logged in to from, and tells its user if that is new.
    pub(crate) fn open(&self, tx: &mut Tx<'_>, checked: &Credentials, standing: Standing) -> QueryResult<Opened> {
        let Self { password, proof, terms, from, outbox } = self;
        if checked.was_disabled() {
            audit::record(tx, from, &Event::DisablingEnded { user: checked.id })?;
        }
        let mut opened = open::open(tx, standing, terms, *proof, from)?;
        let Device { shown, is_wanted } = &terms.device;
        let Recognition { device, is_strange } = password.remember(tx, checked.id, shown.as_ref(), *is_wanted)?;
        // The first log-in of all is from nowhere new.
        if is_strange {
            outbox.tell_from(tx, Notice::NewSignIn, checked.id, &opened.user.email, from.address)?;
        }
        opened.device = device;
        let session = opened.grant.session_id;
        audit::record(tx, from, &Event::LoggedIn { user: checked.id, session, proof: *proof })?;
        Ok(opened)
    }
}

type Looked = Result<(Admitted, Option<Credentials>), Refusal>;

/// Whether the password may be looked at, and what to compare it with.
fn look(tx: &mut Tx<'_>, guess: &Guess, email: &Email) -> QueryResult<Looked> {
    match guess.look(tx)? {
        Ok(admitted) => Ok(Ok((admitted, accounts::find_credentials(tx, email)?))),
        Err(refusal) => Ok(Err(refusal)),
    }
}

fn succeed(
    tx: &mut Tx<'_>,
    entrance: &Entrance<'_>,
    found: &Credentials,
    new_hash: Option<&str>,
    on_change: OnChange,
) -> QueryResult<Result<Opened, Refused>> {
    let admitted = entrance.password;
    let counted = match admitted.succeed_if(tx)? {
        Ok(counted) => counted,
        Err(refusal) => return Ok(Err(Refused::Throttled(refusal))),
    };
    if let Some(standing) = accounts::mark_login(tx, found, new_hash, counted)? {
        return entrance.open(tx, found, standing).map(Ok);
    }
    match admitted.recheck(tx)? {
        Some(refusal) => Ok(Err(Refused::Throttled(refusal))),
        None => changed(tx, admitted, found, entrance.from, on_change).map(Err),
    }
}

/// The first of two steps: what is remembered of this source's failures stays, and nobody has logged in yet.
fn ask_for_factor(
    tx: &mut Tx<'_>,
    admitted: &Admitted,
    found: &Credentials,
    new_hash: Option<&str>,
    terms: &Terms,
    from: &Origin,
    on_change: OnChange,
) -> QueryResult<Refused> {
    if let Some(refusal) = admitted.recheck(tx)? {
        return Ok(Refused::Throttled(refusal));
    }
    let hash = new_hash.unwrap_or(&found.password_hash);
    if !accounts::mark_first_step(tx, found, hash)? {
        return changed(tx, admitted, found, from, on_change);
    }
    let pending = match terms.second_step {
        SecondStep::Offered { browser_mode } => Some(mfa::challenge::open(tx, found.id, hash, terms, browser_mode)?),
        SecondStep::Refused => None,
    };
    audit::record(tx, from, &Event::FactorRequired { user: found.id })?;
    Ok(Refused::FactorRequired(pending))
}

fn changed(
    tx: &mut Tx<'_>,
    admitted: &Admitted,
    found: &Credentials,
    from: &Origin,
    on_change: OnChange,
) -> QueryResult<Refused> {
    match on_change {
        OnChange::TellApart => Ok(Refused::Failed(LoginFailure::Changed)),
        OnChange::Refuse => fail(tx, admitted, Some(found), LoginFailure::Changed, from),
    }
}

fn fail(
    tx: &mut Tx<'_>,
    admitted: &Admitted,
    found: Option<&Credentials>,
    reason: LoginFailure,
    from: &Origin,
) -> QueryResult<Refused> {
    let user = found.map(|Credentials { id, .. }| *id);
    if let Some(refusal) = admitted.fail(tx, user, from)? {
        return Ok(Refused::Throttled(refusal));
    }
    audit::record(tx, from, &Event::LoginFailed { user, reason })?;
    Ok(Refused::Failed(reason))
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
