//! Kinds of values that TOML and the environment do not have: spans of time, secrets, networks.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::de::{self, Deserialize, Deserializer};

use crate::throttle::rules::Rate;

/// A span of time, written `30s`, `15m`, `12h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|_| de::Error::custom("a duration reads like 30s, 15m, 12h or 7d"))
    }
}

/// As it is written in a file.
impl serde::Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "duration"})
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            _ if self.0.subsec_nanos() > 0 => humantime::format_duration(self.0).fmt(f),
            0 => f.write_str("0s"),
            s if s % 86_400 == 0 => write!(f, "{}d", s / 86_400),
            s if s % 3_600 == 0 => write!(f, "{}h", s / 3_600),
            s if s % 60 == 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

/// So many in so much time, written `20/1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota(pub Rate);

impl Quota {
    /// So many in so much time.
    pub const fn of(count: u32, per: Duration) -> Self {
        Self(Rate { count, per })
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.split_once('/').and_then(|(count, per)| {
            let count = count.trim().parse::<u32>().ok().filter(|count| *count > 0)?;
            let per = humantime::parse_duration(per.trim()).ok().filter(|per| *per >= Duration::from_secs(1))?;
            Some(Self(Rate { count, per }))
        });
        // What is admitted only after ages is a mistake, and times must not leave the calendar.
        let parsed = parsed.filter(|Self(rate)| rate.per <= Duration::from_secs(366 * 24 * 3600));
        parsed.ok_or_else(|| de::Error::custom("a quota reads like 20/1h: a count from 1, and a time from 1s to 366d"))
    }
}

/// As it is written in a file.
impl serde::Serialize for Quota {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Quota {
    fn schema_name() -> Cow<'static, str> {
        "Quota".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "quota"})
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.count, Period(self.0.per))
    }
}

/// A configured value that is never printed, and never written either: a key that has one says its default itself.
#[derive(Clone, Default, PartialEq, Eq, serde::Deserialize, zeroize::ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(secret)" })
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "password"})
    }
}

/// Networks, of which an address is the smallest.
pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| {
            text.parse::<IpNet>()
                .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| de::Error::custom(format!("`{text}` is neither an address nor a network like 10.0.0.0/8")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_print_as_they_are_written() {
        for text in ["30s", "15m", "12h", "7d", "0s", "90s", "1s 500ms"] {
            let period: Period = serde_json::from_value(text.into()).expect("parses");
            assert_eq!(period.to_string(), text);
        }
    }

    #[test]
    fn quotas_print_as_they_are_written_and_nonsense_is_refused() {
        let parse = |text: &str| serde_json::from_value::<Quota>(text.into());
        for text in ["20/1h", "1/1s", "1000/4h"] {
            assert_eq!(parse(text).expect("parses").to_string(), text);
        }
        for text in ["", "20", "0/1h", "-1/1h", "20/", "20/0s", "20/1ms", "20/367d", "/1h", "20/1h/2"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
