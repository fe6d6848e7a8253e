//! `POST /v1/auth/mfa/totp/confirm` — show that the app has the secret: from now on every log-in asks for a code.
//!
//! Every other session ends: each was opened without the factor. The one that asks goes on, and its tokens say what they said:
//! whoever demands the factor sends its user to log in again. Codes are limited like a current password, since whoever has
//! a stolen access token must not get at recovery codes by guessing.
//!
//! Owns: totp_factors, recovery_codes; through accounts' and sessions' verbs users and sessions.  Emits: FactorAdded,
//! FactorFailed.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use diesel::QueryResult;

use super::attempt::cannot_open;
use super::code::Code;
use super::recovery_codes::{self, RecoveryCodes};
use super::store::{self, Factor};
use super::{CONFIRMATION_TTL, WRONG_CODE};
use crate::access::Caller;
use crate::account::store as accounts;
use crate::app::App;
use crate::audit::{self, Event, FactorFailure};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::http::bearer::Account;
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::mail::{Notice, Outbox};
use crate::session::{self, RevokedReason};
use crate::throttle;
use crate::throttle::bucket::Refusal;
use crate::throttle::guess::{Admitted, Guess};

request_body! {
    /// A code of the new app.
    pub struct Request {
        /// Six digits. They are used up by this, so the first log-in takes the next ones.
        code: Code,
    }
}

/// Answers 200 with ten recovery codes, which are never shown again.
pub async fn handle(
    app: Data<App>,
    Account { caller, user }: Account,
    from: Origin,
    Json(body): Json<Request>,
) -> Result<HttpResponse> {
    let guess = Guess::in_session(&app.config, caller.session_id, &from);
    let id = caller.user_id;
    let looked = app.db.read("mfa.unconfirmed", move |tx| Ok((guess.look(tx)?, store::find_factor(tx, id)?))).await?;
    let admitted = looked.0.map_err(|refusal| throttle::refuse(&app, refusal))?;
    let factor = looked.1.ok_or(Error::NotFound)?;
    if factor.confirmed_at.is_some() {
        return Err(Error::FactorExists);
    }
    let secret = app.sealing_keys.open(id, &factor.sealed).map_err(|_| cannot_open())?;
    let step = match &body.code {
        Code::Totp(code) => secret.step_of(code, app.clock.now()),
        Code::Recovery(_) | Code::None => None,
    };
    let codes = RecoveryCodes::generate(id);
    let (outbox, digests) = (app.mail.outbox(), codes.digests());
    let confirmed = app.db.tx("mfa.confirm", move |tx| {
        let Some(step) = step else { return fail(tx, &admitted, &caller, &from) };
        if let Some(refusal) = admitted.succeed(tx)? {
            return Ok(Err(Refused::Throttled(refusal)));
        }
        if !succeed(tx, &factor, step, &caller, &user.email, &outbox, &from)? {
            return Ok(Err(Refused::Gone));
        }
        recovery_codes::put(tx, id, &digests)?;
        Ok(Ok(()))
    });
    confirmed.await?.map_err(|refused| match refused {
        Refused::Wrong => WRONG_CODE,
        Refused::Gone => Error::NotFound,
        Refused::Throttled(refusal) => throttle::refuse(&app, refusal),
    })?;
    app.mail.outbox().ring();
    Ok(HttpResponse::Ok().json(codes.shown()))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "mfa_confirm_totp", "Add the authenticator app, with a code of it")
        .json::<Request>()
        .answers::<recovery_codes::Shown>(StatusCode::OK, "It counts from now on. Ten recovery codes, shown this once.")
        .refuses([WRONG_CODE, Error::NotFound, Error::FactorExists])
}

/// Why the factor does not count.
enum Refused {
    Wrong,
    /// Another secret has taken its place, or it waited for too long, or the user was disabled.
    Gone,
    Throttled(Refusal),
}

fn succeed(
    tx: &mut Tx<'_>,
    factor: &Factor,
    step: i64,
    caller: &Caller,
    email: &str,
    outbox: &Outbox,
    from: &Origin,
) -> QueryResult<bool> {
    let user = caller.user_id;
    if !store::confirm(tx, factor.id, step, tx.now - CONFIRMATION_TTL)? {
        return Ok(false);
    }
    // From here on no log-in is done with the password alone: one that is under way finds its user changed.
    accounts::set_second_factor(tx, user, true)?;
    session::revoke_others(tx, user, caller.session_id, RevokedReason::FactorAdded)?;
    outbox.tell(tx, Notice::FactorAdded, user, email)?;
    audit::record(tx, from, &Event::FactorAdded { user, session: caller.session_id })?;
    Ok(true)
}

fn fail(tx: &mut Tx<'_>, admitted: &Admitted, caller: &Caller, from: &Origin) -> QueryResult<Result<(), Refused>> {
    let (user, session) = (caller.user_id, Some(caller.session_id));
    if let Some(refusal) = admitted.fail(tx, Some(user), from)? {
        return Ok(Err(Refused::Throttled(refusal)));
    }
    audit::record(tx, from, &Event::FactorFailed { user, session, reason: FactorFailure::WrongCode })?;
    Ok(Err(Refused::Wrong))
}
