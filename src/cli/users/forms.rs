//! How people write things on a command line.

use std::str::FromStr;
use std::time::Duration;

use crate::account::UserId;
use crate::account::administer::Who;
use crate::cli::Failure;
use crate::clock::Timestamp;

/// `2026-12-24T18:00:00Z`, or so long from now: `7d`. It lies ahead.
pub(super) fn time(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let time = match (text.parse::<Timestamp>(), humantime::parse_duration(text)) {
        (Ok(time), _) => time,
        (Err(_), Ok(span)) => now + span,
        (Err(_), Err(_)) => return Err("a time reads like 2026-12-24T18:00:00Z, or 7d for so long from now".into()),
    };
    if time <= now { Err("this time is over".into()) } else { Ok(time) }
}

/// An address, or an id.
pub(in crate::cli) fn who(text: &str) -> Result<Who, Failure> {
    match text.parse::<UserId>() {
        Ok(id) => Ok(Who::Id(id)),
        Err(_) if text.contains('@') => super::address(text).map(Who::Email),
        Err(_) => Err("this is neither an e-mail address nor an id".into()),
    }
}

/// `30d`.
pub(in crate::cli) fn duration(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "a duration reads like 30s, 15m, 12h or 7d")
}

/// The id of whatever it is.
pub(in crate::cli) fn id<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "an id reads like 01a1fc6f-48d0-717a-ac6b-fd36c79547f2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_or_a_span_and_lies_ahead() {
        let now = Timestamp::from_micros(1_795_255_200_000_000);
        let said = |text: &str| time(text, now).map(|time| time.to_string()).map_err(|error| error.to_string());
        assert_eq!(said("2026-12-24T18:00:00Z").as_deref(), Ok("2026-12-24T18:00:00Z"));
        assert_eq!(said("2026-12-24T19:00:00+01:00").as_deref(), Ok("2026-12-24T18:00:00Z"));
        assert_eq!(said("7d").as_deref(), Ok("2026-11-28T10:00:00Z"));
        assert_eq!(said("2020-01-01T00:00:00Z"), Err("this time is over".to_owned()));
        assert_eq!(said("0s"), Err("this time is over".to_owned()));
        assert!(said("tomorrow").is_err());
        assert_eq!(said("9999-12-31T23:59:59Z").as_deref(), Ok("9999-12-30T22:00:00Z"));
    }
}
