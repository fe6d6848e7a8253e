//! `POST /v1/auth/login/mfa` — the second step of a log-in: the code that goes with the password.
//!
//! A challenge that is mangled, unknown, over or void, and a code that is wrong or was used, are answered alike. A wrong code
//! costs one of the challenge's attempts and is counted against the account, apart from passwords ([`throttle::guess`]);
//! what was counted against the password's source is forgotten only here, when all is right.
//!
//! Owns: mfa_challenges, through sessions' verbs sessions.  Emits: LoggedIn, DisablingEnded, RecoveryCodeUsed,
//! FactorFailed.

use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use diesel::QueryResult;

use super::WRONG_CODE;
use super::attempt::{Attempt, note_recovery_code};
use super::challenge::{ChallengeField, ChallengeToken, PasswordDigest};
use super::code::Code;
use super::store::{self, Challenge, Factor};
use crate::access::step_up::Proof;
use crate::account::email::Email;
use crate::account::store::{self as accounts, Credentials};
use crate::app::App;
use crate::audit::{self, Event, FactorFailure};
use crate::db::Tx;
use crate::error::Result;
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::mail::Outbox;
use crate::session::login::{self, Entrance};
use crate::session::open::{Opened, SessionBody, Terms};
use crate::throttle;
use crate::throttle::bucket::Refusal;
use crate::throttle::device::{Device, DeviceTokenField};
use crate::throttle::guess::{Admitted, Guess};

request_body! {
    /// What a log-in that was answered `mfa_required` is completed with.
    pub struct Request {
        /// The `mfa_token` of that answer. It works once, for a few minutes.
        mfa_token: ChallengeField,
        /// The code of the authenticator app, or a recovery code.
        code: Code,
        /// What an earlier log-in to this account gave as `device_token`, as in the first step.
        device_token: Option<DeviceTokenField>,
    }
}

/// Answers 200 with the user and tokens, in the way that the first step asked for.
pub async fn handle(
    app: Data<App>,
    http: HttpRequest,
    from: Origin,
    Json(body): Json<Request>,
) -> Result<HttpResponse> {
    let outcome = complete(&app, &http, body, from).await;
    let label = match &outcome {
        Ok(Ok((proof, ..))) => proof.as_str(),
        Ok(Err(Refused::Failed(failure))) => failure.as_str(),
        Ok(Err(Refused::Unknown)) => "unknown",
        Ok(Err(Refused::Throttled(_))) => "too_many_requests",
        Err(error) => error.code(),
    };
    app.metrics.second_factors.with_label_values(&[label]).inc();
    let (_, opened, browser_mode) = outcome?.map_err(|refused| match refused {
        Refused::Unknown | Refused::Failed(_) => WRONG_CODE,
        Refused::Throttled(refusal) => throttle::refuse(&app, refusal),
    })?;
    app.metrics.logins.with_label_values(&["success"]).inc();
    app.mail.outbox().ring();
    opened.answer(&app, &mut HttpResponse::Ok(), browser_mode)
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Sessions, "login_mfa", "Complete a log-in with the code of a second factor")
        .json::<Request>()
        .answers::<SessionBody>(StatusCode::OK, "The user and tokens.")
        .with_header(header::SET_COOKIE, "The refresh token and a device token, if `cookie` asked for it.")
        .refuses([WRONG_CODE])
}

/// Why nobody is logged in.
enum Refused {
    /// There is no such challenge, or no more.
    Unknown,
    /// The code was looked at.
    Failed(FactorFailure),
    /// Nothing is told about it, whether it was looked at or not.
    Throttled(Refusal),
}

async fn complete(
    app: &Data<App>,
    http: &HttpRequest,
    body: Request,
    from: Origin,
) -> Result<Result<(Proof, Opened, bool), Refused>> {
    let ChallengeField(Some(token)) = body.mfa_token else { return Ok(Err(Refused::Unknown)) };
    let device = Device::of(app, http, body.device_token, false, false);
    let looked = {
        let (app, device, from) = (Data::clone(app), device.clone(), from.clone());
        app.clone().db.read("mfa.challenge", move |tx| look(tx, &app, &token, &device, &from)).await?
    };
    let Some(found) = looked else { return Ok(Err(Refused::Unknown)) };
    let admitted = match found.admitted.clone() {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(Err(Refused::Throttled(refusal))),
    };
    let attempt = Attempt::at(app, &found.factor, &body.code)?;
    let (terms, browser_mode) = found.challenge.terms(app, device);
    let outbox = app.mail.outbox();
    let concluded = app.db.tx("mfa.login", move |tx| {
        let concluded = conclude(tx, &found, &admitted, &attempt, &terms, &from, &outbox)?;
        Ok(concluded.map(|(proof, opened)| (proof, opened, browser_mode)))
    });
    Ok(concluded.await?)
}

impl Challenge {
    /// What the first step asked for.
    fn terms(&self, app: &App, device: Device) -> (Terms, bool) {
        let terms = Terms {
            client_id: self.client_id.clone(),
            requested: Some(self.scope.clone()),
            label: self.label.clone(),
            ..Terms::first_party(app, None)
        };
        (terms.with_device(Device { is_wanted: self.wants_device, ..device }), self.browser_mode)
    }
}

/// A challenge that is open, and all that its code is judged by.
struct Found {
    challenge: Challenge,
    credentials: Credentials,
    email: String,
    factor: Factor,
    /// Whether the code may be looked at.
    admitted: Result<Admitted, Refusal>,
    /// What the password counted in.
    password: Admitted,
}

fn look(
    tx: &mut Tx<'_>,
    app: &App,
    token: &ChallengeToken,
    device: &Device,
    from: &Origin,
) -> QueryResult<Option<Found>> {
    let Some(challenge) = store::find_challenge(tx, token.digest())? else { return Ok(None) };
    let user = challenge.user_id;
    let Some((credentials, address)) = accounts::find_credentials_by_id(tx, user)? else { return Ok(None) };
    // The password was right; whatever else the first step asks for, this one asks for again.
    let is_refused = !credentials.is_active_at(tx.now) || login::lacks_verification(&app.config, &credentials);
    if is_refused || PasswordDigest::of(&credentials.password_hash) != challenge.password_digest {
        return Ok(None);
    }
    let (Some(factor), Ok(email)) = (store::find_factor(tx, user)?, Email::parse(&address)) else { return Ok(None) };
    let shown = device.shown.as_ref();
    let admitted = Guess::at_factor(&app.config, user, &email, shown, from).look(tx)?;
    let password = Guess::at_account(&app.config, &email, shown, from).survey(tx)?;
    Ok(Some(Found { challenge, credentials, email: address, factor, admitted, password }))
}

type Concluded = Result<(Proof, Opened), Refused>;

fn conclude(
    tx: &mut Tx<'_>,
    found: &Found,
    admitted: &Admitted,
    attempt: &Attempt,
    terms: &Terms,
    from: &Origin,
    outbox: &Outbox,
) -> QueryResult<Concluded> {
    if let Some(refusal) = admitted.recheck(tx)? {
        return Ok(Err(Refused::Throttled(refusal)));
    }
    if !store::count_attempt(tx, found.challenge.id)? {
        return Ok(Err(Refused::Unknown));
    }
    match attempt.use_up(tx)? {
        Ok(proof) => succeed(tx, found, admitted, proof, terms, from, outbox),
        Err(failure) => fail(tx, admitted, &found.credentials, failure, from).map(Err),
    }
}

fn succeed(
    tx: &mut Tx<'_>,
    found: &Found,
    admitted: &Admitted,
    proof: Proof,
    terms: &Terms,
    from: &Origin,
    outbox: &Outbox,
) -> QueryResult<Concluded> {
    admitted.forgive(tx)?;
    found.password.forgive(tx)?;
    store::delete_challenge(tx, found.challenge.id)?;
    if proof == Proof::RecoveryCode {
        note_recovery_code(tx, outbox, found.credentials.id, &found.email, from)?;
    }
    // Since it was looked at, the password was changed or the account disabled.
    let Some(standing) = accounts::mark_login(tx, &found.credentials, None, None)? else {
        return Ok(Err(Refused::Unknown));
    };
    let opened =
        Entrance { password: &found.password, proof, terms, from, outbox }.open(tx, &found.credentials, standing)?;
    Ok(Ok((proof, opened)))
}

fn fail(
    tx: &mut Tx<'_>,
    admitted: &Admitted,
    credentials: &Credentials,
    reason: FactorFailure,
    from: &Origin,
) -> QueryResult<Refused> {
    let user = credentials.id;
    if let Some(refusal) = admitted.fail(tx, Some(user), from)? {
        return Ok(Refused::Throttled(refusal));
    }
    audit::record(tx, from, &Event::FactorFailed { user, session: None, reason })?;
    Ok(Refused::Failed(reason))
}
