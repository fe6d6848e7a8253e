//! Both factors once more, from somebody who is logged in: before a factor is removed, or recovery codes are made anew.
//!
//! A wrong password and a wrong code are answered alike. The password is a guess in the session, as at a change of password;
//! the code is one at the account's factor, together with those of log-ins.
//!
//! Emits: FactorFailed, RecoveryCodeUsed.

use diesel::QueryResult;

use super::attempt::{Attempt, note_recovery_code};
use super::code::Code;
use super::store;
use crate::access::Caller;
use crate::access::step_up::Proof;
use crate::account::current_password::{count_wrong, look};
use crate::account::email::Email;
use crate::account::password::Password;
use crate::app::App;
use crate::audit::{self, Event, FactorFailure};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::hasher::Verdict;
use crate::http::bearer::Account;
use crate::http::body::request_body;
use crate::http::origin::Origin;
use crate::mail::Outbox;
use crate::throttle;
use crate::throttle::bucket::Refusal;
use crate::throttle::guess::{Admitted, Guess};

request_body! {
    /// Both factors.
    pub struct Request {
        /// The password in force.
        password: Password,
        /// The code of the authenticator app, or a recovery code, which is then used.
        code: Code,
    }
}

/// The password was right, and the code was looked at.
pub(super) struct Proven {
    caller: Caller,
    email: String,
    outbox: Outbox,
    attempt: Attempt,
    /// Counts the code.
    factor: Admitted,
    /// Counted the password.
    session: Admitted,
}

/// Why nothing is changed.
pub(super) enum Refused {
    Wrong,
    Throttled(Refusal),
}

impl Refused {
    pub(super) fn into_error(self, app: &App) -> Error {
        match self {
            Self::Wrong => Error::InvalidCredentials,
            Self::Throttled(refusal) => throttle::refuse(app, refusal),
        }
    }
}

/// Checks the password and looks at the code, which is used up in the transaction that does what was asked for.
pub(super) async fn check(app: &App, account: &Account, body: Request, from: &Origin) -> Result<Proven> {
    let caller = account.caller.clone();
    let (user, session) = (caller.user_id, caller.session_id);
    let email = Email::parse(&account.user.email).map_err(|_| Error::Internal)?;
    app.hasher.admit(from.address)?;
    let guess = Guess::in_session(&app.config, session, from);
    let at_factor = Guess::at_factor(&app.config, user, &email, None, from);
    let (looked, at_factor, factor) = app
        .db
        .read("mfa.reauthenticate", move |tx| {
            Ok((look(tx, &guess, user)?, at_factor.look(tx)?, store::find_factor(tx, user)?))
        })
        .await?;
    let (in_session, stored) = looked.map_err(|refusal| throttle::refuse(app, refusal))?;
    let at_factor = at_factor.map_err(|refusal| throttle::refuse(app, refusal))?;
    let factor = factor.filter(|factor| factor.confirmed_at.is_some()).ok_or(Error::NotFound)?;
    let stored = stored.ok_or(Error::InvalidToken)?;
    if app.hasher.verify(&body.password, Some(&stored), from.address).await? == Verdict::Wrong {
        let reason = FactorFailure::WrongPassword;
        let event = Event::FactorFailed { user, session: Some(session), reason };
        return Err(count_wrong(app, in_session, user, event, from.clone()).await?);
    }
    let attempt = Attempt::at(app, &factor, &body.code)?;
    let (outbox, email) = (app.mail.outbox(), account.user.email.clone());
    Ok(Proven { caller, email, outbox, attempt, factor: at_factor, session: in_session })
}

impl Proven {
    /// Uses the code up, or counts it as wrong.
    pub(super) fn use_up(&self, tx: &mut Tx<'_>, from: &Origin) -> QueryResult<Result<(), Refused>> {
        let (user, session) = (self.caller.user_id, Some(self.caller.session_id));
        for admitted in [&self.session, &self.factor] {
            if let Some(refusal) = admitted.recheck(tx)? {
                return Ok(Err(Refused::Throttled(refusal)));
            }
        }
        match self.attempt.use_up(tx)? {
            Ok(proof) => {
                self.session.forgive(tx)?;
                self.factor.forgive(tx)?;
                if proof == Proof::RecoveryCode {
                    note_recovery_code(tx, &self.outbox, user, &self.email, from)?;
                }
                Ok(Ok(()))
            }
            Err(reason) => {
                if let Some(refusal) = self.factor.fail(tx, Some(user), from)? {
                    return Ok(Err(Refused::Throttled(refusal)));
                }
                audit::record(tx, from, &Event::FactorFailed { user, session, reason })?;
                Ok(Err(Refused::Wrong))
            }
        }
    }
}
