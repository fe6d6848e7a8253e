//! Which events somebody wants to see: `?user=…&actor=…&kind=…&from=…&to=…&after=…&limit=…`.

use super::EventId;
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::field::{FromField, Invalid};
use crate::http::body::request_body;
use crate::http::query::Limit;

/// What an event has to be like; what is not said may be anything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Whom it concerns.
    pub user: Option<UserId>,
    /// Who did it.
    pub actor: Option<UserId>,
    /// What happened.
    pub kind: Option<String>,
    /// It was recorded then or later.
    pub from: Option<Timestamp>,
    /// It was recorded before.
    pub to: Option<Timestamp>,
    /// It is older than this one.
    pub before: Option<EventId>,
}

request_body! {
    /// Which events somebody asks for.
    pub struct Asked {
        /// Only events that concern this user.
        user: Option<UserId>,
        /// Only what this user did.
        actor: Option<UserId>,
        /// Only events of this kind.
        kind: Option<Kind>,
        /// Only events from then on.
        from: Option<Timestamp>,
        /// Only events before then.
        to: Option<Timestamp>,
        /// How many items at most.
        limit: Limit,
        /// The `next` of the page before.
        after: Option<EventId>,
    }
}

impl Asked {
    /// Which, and how many on a page.
    pub(super) fn into_filter(self) -> (Filter, usize) {
        let Self { user, actor, kind, from, to, limit: Limit(limit), after } = self;
        (Filter { user, actor, kind: kind.map(|kind| kind.0), from, to, before: after }, usize::from(limit))
    }
}

/// The longest kind that there may be.
const MAX_KIND: usize = 64;

/// What may be a kind, of this release or another one.
#[derive(Debug, Clone)]
pub struct Kind(String);

impl FromField for Kind {
    fn from_text(text: String) -> Result<Self, Invalid> {
        let is_kind = is_kind(&text);
        is_kind.then_some(Self(text)).ok_or(Invalid::new("malformed", "a kind reads like authn_login_fail"))
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[a-z_]{1,64}$"})
    }
}

/// Whether a text may be a kind.
pub(crate) fn is_kind(text: &str) -> bool {
    (1..=MAX_KIND).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Result};
    use crate::http::query;

    fn parse(text: &str) -> Result<(Filter, usize)> {
        query::parse::<Asked>(text).map(Asked::into_filter)
    }

    #[test]
    fn parameters_are_read_and_nonsense_is_refused() {
        let id = "01a1fc6f-48d0-717a-ac6b-fd36c79547f2";
        let query = format!("user={id}&actor={id}&after={id}&kind=authn_login_fail&from=2026-11-21T10:00:00Z&limit=7");
        let (filter, limit) = parse(&query).expect("good");
        assert_eq!((filter.user.map(|id| id.to_string()).as_deref(), limit), (Some(id), 7));
        assert_eq!(filter.from, Some(Timestamp::from_micros(1_795_255_200_000_000)));
        assert_eq!((filter.kind.as_deref(), filter.to), (Some("authn_login_fail"), None));
        let offset = parse("to=2026-11-21T11:00:00.000001%2B01:00").expect("good").0.to;
        assert_eq!(offset, Some(Timestamp::from_micros(1_795_255_200_000_001)));
        for bad in [
            "user=x",
            "user=%25",
            "actor=",
            "after=1",
            "kind=",
            "kind=a%25b",
            "kind=A",
            "from=yesterday",
            "from=1795255200",
            "to=2026-11-21",
            "to=9999-12-31",
            "to=9999-12-31T00:00:00",
            "to=9999-12-32T00:00:00Z",
            "to=10000-01-01T00:00:00Z",
            "limit=0",
            "limit=1e9",
            "page=-1",
            "kind=a&kind=b",
        ] {
            assert!(matches!(parse(bad), Err(Error::InvalidFields(_))), "{bad}");
        }
        let long = format!("kind={}", "a".repeat(65));
        assert!(parse(&long).is_err());
    }
}
