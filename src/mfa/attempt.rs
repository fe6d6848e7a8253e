//! A code, from what was typed to what is used up: what it is good for is computed outside of the transaction, and that it is
//! good once is one guarded write within it.
//!
//! Emits: RecoveryCodeUsed.

use diesel::QueryResult;

use super::code::Code;
use super::recovery::RecoveryDigest;
use super::seal::{Sealed, Unopened};
use super::store::{self, Factor, FactorId};
use crate::access::step_up::Proof;
use crate::account::UserId;
use crate::app::App;
use crate::audit::{self, Event, FactorFailure};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::http::origin::Origin;
use crate::mail::{Notice, Outbox};

/// A code that was looked at; whether it is still to be used is not known yet.
#[derive(Clone)]
pub(super) enum Attempt {
    /// The code of this step.
    Step { factor: FactorId, step: i64, renewed: Option<Sealed> },
    /// What may be one of the user's recovery codes.
    Recovery { user: UserId, digest: RecoveryDigest },
    /// Nothing that was ever good.
    Nothing,
}

impl Attempt {
    /// Looks at a code for a factor that counts.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no configured key opens the factor's secret.
    pub(super) fn at(app: &App, factor: &Factor, code: &Code) -> Result<Self> {
        Ok(match code {
            Code::None => Self::Nothing,
            Code::Recovery(code) => Self::Recovery { user: factor.user, digest: code.digest(factor.user) },
            Code::Totp(code) => {
                let secret = app.sealing_keys.open(factor.user, &factor.sealed).map_err(|Unopened| cannot_open())?;
                match secret.step_of(code, app.clock.now()) {
                    None => Self::Nothing,
                    Some(step) => {
                        let renewed = app.sealing_keys.renew(factor.user, &factor.sealed, &secret);
                        Self::Step { factor: factor.id, step, renewed }
                    }
                }
            }
        })
    }

    /// Uses the code up, if it still can be used.
    pub(super) fn use_up(&self, tx: &mut Tx<'_>) -> QueryResult<Result<Proof, FactorFailure>> {
        Ok(match self {
            Self::Nothing => Err(FactorFailure::WrongCode),
            Self::Step { factor, step, renewed } => {
                let is_used = store::use_step(tx, *factor, *step, renewed.as_ref())?;
                if is_used { Ok(Proof::Totp) } else { Err(FactorFailure::UsedCode) }
            }
            Self::Recovery { user, digest } => {
                let is_taken = store::take_recovery_code(tx, *user, *digest)?;
                if is_taken { Ok(Proof::RecoveryCode) } else { Err(FactorFailure::WrongCode) }
            }
        })
    }
}

/// Writes down that a recovery code was used, and tells the user how many are left: whoever has found the list tries it.
pub(super) fn note_recovery_code(
    tx: &mut Tx<'_>,
    outbox: &Outbox,
    user: UserId,
    email: &str,
    from: &Origin,
) -> QueryResult<()> {
    let left = store::count_recovery_codes(tx, user)?;
    outbox.tell(tx, Notice::RecoveryCodeUsed, user, email)?;
    audit::record(tx, from, &Event::RecoveryCodeUsed { user, left })
}

/// Whoever configures the service has to act; nobody is let in meanwhile without the factor.
pub(super) fn cannot_open() -> Error {
    tracing::error!("no key in mfa.secret_key or mfa.older_secret_keys opens the secret of a second factor");
    Error::Unavailable
}
