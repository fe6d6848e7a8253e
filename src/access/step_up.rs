//! How a user proved who they are, and what a route may demand of it (RFC 9470), pure.
//!
//! A demand is judged by the claims of the token, `auth_time` and `amr`, as a sibling service would judge it. A client meets
//! it by having its user log in again: a refresh hands on both claims as they were.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::StepUpConfig;

/// With what a session was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A password.
    Password,
    /// A password and the code of an authenticator app.
    Totp,
    /// A password and a recovery code.
    RecoveryCode,
}

/// In `amr`: more than one factor (RFC 8176 §2).
const MFA: &str = "mfa";

impl Proof {
    /// In the words of RFC 8176 §2, space-separated. It has none for a recovery code, so that is only more than one factor.
    pub const fn amr(self) -> &'static str {
        match self {
            Self::Password => "pwd",
            Self::Totp => "pwd otp mfa",
            Self::RecoveryCode => "pwd mfa",
        }
    }

    /// The name in the trail and in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery_code",
        }
    }
}

/// `acr` of a log-in with a second factor, and what a demand for one names.
const ACR_MFA: &str = "urn:signet:acr:mfa";

/// `acr` of a log-in, if there is anything to say: that a second factor was used.
pub fn acr<'a>(mut amr: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    amr.any(|method| method == MFA).then_some(ACR_MFA)
}

/// When and how the user behind a token proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authentication {
    /// `auth_time`.
    pub at: Timestamp,
    /// Whether more than one factor was used.
    pub with_second_factor: bool,
}

impl Authentication {
    /// Nobody proved anything: no demand is met.
    #[cfg(test)]
    pub(super) const NONE: Self = Self { at: Timestamp::from_micros(0), with_second_factor: false };

    /// As the claims say.
    pub fn of_claims(auth_time: i64, amr: &[String]) -> Self {
        Self {
            at: Timestamp::from_micros(auth_time.saturating_mul(1_000_000)),
            with_second_factor: acr(amr.iter().map(String::as_str)).is_some(),
        }
    }
}

/// What a route demands of the log-in behind a token: a column of the table of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: any log-in will do.
    Nothing,
    /// That it is no older than `step_up.max_age`.
    Recent,
    /// For routes of administrators: a second factor, if `step_up.demand_mfa_for_admins` is set.
    Administration,
}

impl Demand {
    /// What that is, as configured.
    pub fn freshness(self, config: &StepUpConfig) -> Freshness {
        match self {
            Self::Nothing => Freshness { max_age: None, second_factor: false },
            Self::Recent => {
                Freshness { max_age: Some(config.max_age.0).filter(|age| !age.is_zero()), second_factor: false }
            }
            Self::Administration => Freshness { max_age: None, second_factor: config.demand_mfa_for_admins },
        }
    }
}

/// How fresh and how strong a log-in must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// It is no older than this.
    pub max_age: Option<Duration>,
    /// More than one factor was used.
    pub second_factor: bool,
}

impl Freshness {
    /// One to describe the answer with.
    pub const EXAMPLE: Self = Self { max_age: Some(Duration::from_secs(900)), second_factor: false };

    /// Whether a log-in is good enough at `now`. `auth_time` was rounded down to a second, so up to a second is missing from
    /// `max_age`; a log-in of another instance, whose clock is ahead, is no older than now.
    pub fn admits(&self, authentication: Authentication, now: Timestamp) -> bool {
        let is_fresh = self.max_age.is_none_or(|age| now.since(authentication.at) <= age);
        is_fresh && (authentication.with_second_factor || !self.second_factor)
    }

    /// The parameters of the challenge (RFC 9470 §3).
    pub fn challenge(&self) -> String {
        let max_age = self.max_age.map(|age| format!(r#", max_age="{}""#, age.as_secs())).unwrap_or_default();
        let acr = if self.second_factor { format!(r#", acr_values="{ACR_MFA}""#) } else { String::new() };
        format!(r#"error="insufficient_user_authentication"{max_age}{acr}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    const NOON: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);
    const QUARTER: Duration = Duration::from_secs(900);

    fn logged_in(proof: Proof, ago: Duration) -> Authentication {
        let amr: Vec<String> = proof.amr().split(' ').map(str::to_owned).collect();
        Authentication::of_claims((NOON - ago).as_seconds(), &amr)
    }

    #[test]
    fn a_log_in_is_fresh_until_it_is_older_than_demanded() {
        let fresh = Freshness { max_age: Some(QUARTER), second_factor: false };
        assert!(fresh.admits(logged_in(Proof::Password, QUARTER), NOON));
        assert!(!fresh.admits(logged_in(Proof::Password, QUARTER + Duration::from_secs(1)), NOON));
        assert!(fresh.admits(Authentication { at: NOON + QUARTER, with_second_factor: false }, NOON), "another clock");
        assert!(!fresh.admits(Authentication::NONE, NOON));
    }

    #[test]
    fn only_a_second_factor_is_a_second_factor() {
        let strong = Freshness { max_age: None, second_factor: true };
        let admitted = [Proof::Password, Proof::Totp, Proof::RecoveryCode]
            .map(|proof| strong.admits(logged_in(proof, QUARTER * 1000), NOON));
        assert_eq!(admitted, [false, true, true]);
        assert!(!strong.admits(Authentication::NONE, NOON));
    }

    #[test]
    fn what_is_demanded_is_configured() {
        let config = |seconds, demand_mfa_for_admins| StepUpConfig {
            max_age: Period(Duration::from_secs(seconds)),
            demand_mfa_for_admins,
        };
        let free = Freshness { max_age: None, second_factor: false };
        assert_eq!(Demand::Nothing.freshness(&config(900, true)), free);
        assert_eq!(Demand::Recent.freshness(&config(900, true)), Freshness { max_age: Some(QUARTER), ..free });
        assert_eq!(Demand::Recent.freshness(&config(0, true)), free, "0s switches it off");
        assert_eq!(Demand::Administration.freshness(&config(900, true)), Freshness { second_factor: true, ..free });
        assert_eq!(Demand::Administration.freshness(&config(900, false)), free);
    }

    #[test]
    fn the_challenge_names_what_is_missing() {
        let challenge = |max_age, second_factor| Freshness { max_age, second_factor }.challenge();
        assert_eq!(challenge(Some(QUARTER), false), r#"error="insufficient_user_authentication", max_age="900""#);
        assert_eq!(
            challenge(None, true),
            r#"error="insufficient_user_authentication", acr_values="urn:signet:acr:mfa""#
        );
    }

    #[test]
    fn methods_have_their_registered_names() {
        let methods = [Proof::Password, Proof::Totp, Proof::RecoveryCode].map(Proof::amr);
        assert_eq!(methods, ["pwd", "pwd otp mfa", "pwd mfa"]);
        let names = [Proof::Password, Proof::Totp, Proof::RecoveryCode].map(Proof::as_str);
        assert_eq!(names, ["password", "totp", "recovery_code"], "which are kept in the trail");
        assert_eq!(acr("pwd otp mfa".split(' ')), Some(ACR_MFA));
        assert_eq!(acr("pwd".split(' ')), None);
    }
}
