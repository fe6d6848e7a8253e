//! Second factors: an authenticator app (TOTP), and recovery codes for the day on which it is lost. `docs/second-factors.md`
//! says what they protect from, and what not.
//!
//! [`totp`] is the arithmetic, [`seal`] keeps its secrets, [`recovery`] and [`challenge`] are the formats of what is shown
//! once; [`attempt`] is a code's way from the request to being used up; the other files are one route or verb each.
//!
//! Owns: totp_factors, recovery_codes, mfa_challenges.  Emits: what each file says.

mod attempt;
pub(crate) mod challenge;
pub mod code;
pub mod confirm;
pub mod enrol;
pub mod login;
mod reauthenticate;
pub mod recovery;
pub mod recovery_codes;
pub mod remove;
pub mod reseal;
pub mod reset;
pub mod seal;
pub mod status;
mod store;
pub mod totp;

use std::time::Duration;

use diesel::QueryResult;

pub use self::challenge::Pending;
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Error;

/// How long a factor waits to be confirmed.
const CONFIRMATION_TTL: Duration = Duration::from_secs(3600);

/// The answer to a code that is wrong, that was used, or that belongs to nothing; the caller is not told which.
const WRONG_CODE: Error = Error::InvalidCode;

/// Removes all that a user has of factors, and challenges; for whoever removes the user, too.
pub(crate) fn forget(tx: &mut Tx<'_>, user: UserId) -> QueryResult<()> {
    store::delete_all(tx, user)
}

/// Removes at most `limit` challenges that were over at `before`, and factors that were never confirmed until then.
pub(crate) fn delete_over(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> QueryResult<usize> {
    store::delete_over(tx, before, before - CONFIRMATION_TTL, limit)
}
