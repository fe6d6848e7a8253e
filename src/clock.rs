//! Time, through one door: `Clock` outside transactions, `tx.now` inside (one reading per transaction).

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::token::schedule::CLOCK_SKEW;

/// A point in time: microseconds since 1970-01-01T00:00:00Z, the resolution both databases keep.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    diesel::expression::AsExpression,
    diesel::deserialize::FromSqlRow,
)]
#[diesel(sql_type = crate::db::types::Moment)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down: what `iat`, `exp` and `auth_time` carry.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The time that has passed since `earlier`; zero if `earlier` lies ahead, as it may when two instances' clocks differ.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// What is no date with a time of day and an offset (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", NotATime::DETAIL)]
pub struct NotATime;

impl NotATime {
    /// What a time looks like.
    pub const DETAIL: &str = "a time has a date, a time of day and an offset, as 2026-12-24T18:00:00Z (RFC 3339)";
}

/// RFC 3339, with whatever offset. The calendar behind this ends a day before the year 9999 does, for the sake of all
/// offsets; what comes later is the last time that it has.
impl std::str::FromStr for Timestamp {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let last = Self(jiff::Timestamp::MAX.as_second() * 1_000_000);
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => Ok(Self(time.as_microsecond()).min(last)),
            Err(_) if is_after_the_calendar(text) => Ok(last),
            Err(_) => Err(NotATime),
        }
    }
}

fn is_after_the_calendar(text: &str) -> bool {
    jiff::fmt::temporal::Pieces::parse(text).is_ok_and(|pieces| {
        let is_whole = pieces.time().is_some() && pieces.to_numeric_offset().is_some();
        is_whole && pieces.date() >= jiff::civil::date(9999, 12, 30)
    })
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC, for example `2026-11-21T10:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => f.write_str("(outside the calendar)"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time", "description": "RFC 3339, UTC"})
    }
}

/// What is to be said if a database's clock is so many seconds ahead of ours; tokens would be refused by other instances.
pub fn disagreement(seconds: i64) -> Option<String> {
    let apart = seconds.unsigned_abs();
    (apart > CLOCK_SKEW.as_secs()).then(|| format!("this machine's clock and the database's are {apart} s apart"))
}

/// Where the application reads the time. Clones share one clock.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::advance`] moves it: tests cross a grace window or an expiry without waiting.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.0))))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the door")]
                let now = SystemTime::now();
                Timestamp(micros(now.duration_since(UNIX_EPOCH).unwrap_or_default()))
            }
            Source::Manual(micros) => Timestamp(micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    /// On the system clock, which nobody here may set.
    pub fn advance(&self, span: Duration) {
        match &self.0 {
            Source::System => panic!("the system clock cannot be moved"),
            Source::Manual(now) => {
                now.fetch_add(micros(span), Ordering::SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_floored_before_and_after_the_epoch() {
        assert_eq!(Timestamp::from_micros(1_999_999).as_seconds(), 1);
        assert_eq!(Timestamp::from_micros(-1).as_seconds(), -1);
    }

    #[test]
    fn an_earlier_time_that_lies_ahead_counts_as_now() {
        let now = Timestamp::from_micros(10);
        assert_eq!(now.since(Timestamp::from_micros(20)), Duration::ZERO);
        assert_eq!(now.since(Timestamp::from_micros(3)), Duration::from_micros(7));
    }

    #[test]
    fn every_year_of_four_digits_is_read() {
        let read = |text: &str| text.parse::<Timestamp>().map(|time| time.to_string());
        assert_eq!(read("9999-12-30T21:59:59Z").as_deref(), Ok("9999-12-30T21:59:59Z"));
        for last in [
            "9999-12-30T22:00:00.5Z",
            "9999-12-31T00:00:00Z",
            "9999-12-31T23:59:59.999999Z",
            "9999-12-30T23:30:00-23:30",
        ] {
            assert_eq!(read(last).as_deref(), Ok("9999-12-30T22:00:00Z"), "{last}");
        }
        assert_eq!(read("0001-01-01T00:00:00Z").as_deref(), Ok("0001-01-01T00:00:00Z"));
        for bad in ["9999-12-31", "9999-12-31T00:00:00", "9999-12-32T00:00:00Z", "99999-01-01T00:00:00Z", "2026-11-21"]
        {
            assert_eq!(read(bad), Err(NotATime), "{bad}");
        }
    }

    #[test]
    fn time_prints_as_rfc_3339() {
        assert_eq!(Timestamp::from_micros(1_795_255_200_000_000).to_string(), "2026-11-21T10:00:00Z");
    }
}
