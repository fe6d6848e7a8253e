//! How people write things on a command line.

use crate::account::UserId;
use crate::account::administer::Who;
use crate::cli::Failure;
use crate::clock::Timestamp;

/// `2026-12-24T18:00:00Z`, or so long from now: `7d`. It lies ahead.
pub(super) fn time(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let time = match (text.parse::<jiff::Timestamp>(), humantime::parse_duration(text)) {
        (Ok(time), _) => Timestamp::from_micros(time.as_microsecond()),
        (Err(_), Ok(span)) => now + span,
        (Err(_), Err(_)) => return Err("a time reads like 2026-12-24T18:00:00Z, or 7d for so long from now".into()),
    };
    if time <= now { Err("this time is over".into()) } else { Ok(time) }
}

/// An address, or an id.
pub(in crate::cli) fn who(text: &str) -> Result<Who, Failure> {
    match text.parse::<UserId>() {
        Ok(id) => Ok(Who::Id(id)),
        Err(_) => super::address(text).map(Who::Email),
    }
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
    }
}
