//! The W3C's Trace Context: which trace a request belongs to, if its caller says so.
//!
//! Strict, as the recommendation asks (§3.2.2, §4.3): what is not well-formed is as good as absent, and the trace begins
//! here.

use std::fmt;

use actix_web::http::header::HeaderMap;

/// The id of a trace; prints as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The caller's span, to which ours is a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The whole trace's.
    pub trace_id: TraceId,
    /// The caller's own.
    pub span_id: u64,
    /// Whether the caller records the trace, and so whether we do.
    pub is_sampled: bool,
}

impl Parent {
    /// What `traceparent` says. `None`: nothing, nothing well-formed, or two things.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent");
        let (only, None) = (values.next()?, values.next()) else { return None };
        Self::parse(only.as_bytes())
    }

    /// `00-<trace id>-<parent id>-<flags>`. A later version may have more after a dash, and is read as far as this one
    /// goes; `ff` is none.
    fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(55)?;
        let [version, trace_id, span_id, flags] = [0..2, 3..35, 36..52, 53..55].map(|part| hex(&known[part]));
        let version = version?;
        let dashes = [2, 35, 52].iter().all(|&at| known[at] == b'-');
        let ends = rest.is_empty() || (version > 0 && rest[0] == b'-');
        let (trace_id, span_id, flags) = (trace_id?, u64::try_from(span_id?).ok()?, flags?);
        let valid = version != 0xff && dashes && ends && trace_id != 0 && span_id != 0;
        valid.then_some(Self { trace_id: TraceId(trace_id), span_id, is_sampled: flags & 1 == 1 })
    }
}

/// Lower-case digits only, at most 32.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

/// `tracestate`, the lines of it joined (§3.3.1): what other systems along the way want to be handed on.
pub fn trace_state(headers: &HeaderMap) -> String {
    let lines: Vec<&str> = headers.get_all("tracestate").filter_map(|value| value.to_str().ok()).collect();
    lines.join(",")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn parse(text: &str) -> Option<Parent> {
        Parent::parse(text.as_bytes())
    }

    #[test]
    fn a_well_formed_traceparent_is_understood() {
        let parent = parse(&format!("00-{TRACE}-{SPAN}-01")).expect("well-formed");
        assert_eq!((parent.trace_id.to_string().as_str(), parent.span_id), (TRACE, 0x00f0_67aa_0ba9_02b7));
        assert!(parent.is_sampled);
        for (flags, is_sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-{flags}")).map(|parent| parent.is_sampled), Some(is_sampled));
        }
        for later in [format!("01-{TRACE}-{SPAN}-01"), format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like")] {
            assert_eq!(parse(&later).map(|parent| parent.is_sampled), Some(true), "{later}");
        }
    }

    #[test]
    fn anything_else_is_ignored() {
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-011"),
            format!("01-{TRACE}-{SPAN}-01.more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("FF-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-001"),
            format!("+0-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{TRACE}-{SPAN}-0A"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}_{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}_01"),
            format!("00-{}g-{SPAN}-01", &TRACE[1..]),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-é"),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn two_parents_are_none() {
        let (name, value) = (HeaderName::from_static("traceparent"), format!("00-{TRACE}-{SPAN}-01"));
        let value = HeaderValue::from_str(&value).expect("a value");
        let mut headers = HeaderMap::new();
        assert_eq!(Parent::of(&headers), None);
        headers.append(name.clone(), value.clone());
        assert!(Parent::of(&headers).is_some());
        headers.append(name, value);
        assert_eq!(Parent::of(&headers), None);
    }
}
