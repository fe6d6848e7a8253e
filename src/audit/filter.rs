//! Which events somebody wants to see: `?user=…&actor=…&kind=…&from=…&to=…&after=…&limit=…`.

use std::collections::BTreeSet;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::EventId;
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::error::{Error, FieldError, Result};
use crate::http::query::{DEFAULT_LIMIT, MAX_LIMIT};

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

/// A filter and how many of its events go on a page.
pub struct Query {
    /// Which.
    pub filter: Filter,
    /// How many, 1 to 100.
    pub limit: u16,
}

/// The longest kind that there may be.
const MAX_KIND: usize = 64;

impl FromRequest for Query {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(http.query_string()))
    }
}

fn parse(query: &str) -> Result<Query> {
    let (mut filter, mut limit, mut seen) = (Filter::default(), DEFAULT_LIMIT, BTreeSet::new());
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if !seen.insert(name.clone()) {
            return Err(refusal(&name, "repeated", "this parameter comes twice"));
        }
        match name.as_ref() {
            "user" => filter.user = Some(id("user", &value)?),
            "actor" => filter.actor = Some(id("actor", &value)?),
            "after" => filter.before = Some(id("after", &value)?),
            "kind" if is_kind(&value) => filter.kind = Some(value.into_owned()),
            "kind" => return Err(refusal("kind", "malformed", "a kind reads like authn_login_fail")),
            "from" => filter.from = Some(time("from", &value)?),
            "to" => filter.to = Some(time("to", &value)?),
            "limit" => {
                let number = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                limit = number.ok_or_else(|| refusal("limit", "out_of_range", "a page has 1 to 100 items"))?;
            }
            _ => return Err(refusal(&name, "unknown", "there is no such parameter")),
        }
    }
    Ok(Query { filter, limit })
}

/// Whether a text may be a kind, of this release or another one.
pub(crate) fn is_kind(text: &str) -> bool {
    (1..=MAX_KIND).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn id<Id: FromStr>(name: &str, value: &str) -> Result<Id> {
    value.parse().map_err(|_| refusal(name, "malformed", "this is not an id"))
}

fn time(name: &str, value: &str) -> Result<Timestamp> {
    value.parse().map_err(|_| refusal(name, "malformed", "a time reads like 2026-11-21T10:00:00Z"))
}

fn refusal(field: &str, code: &'static str, detail: &'static str) -> Error {
    let field = field.chars().take(64).collect();
    Error::InvalidFields(vec![FieldError { field, code, detail: detail.into() }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_nonsense_is_refused() {
        let id = "01a1fc6f-48d0-717a-ac6b-fd36c79547f2";
        let query = format!("user={id}&actor={id}&after={id}&kind=authn_login_fail&from=2026-11-21T10:00:00Z&limit=7");
        let Query { filter, limit } = parse(&query).expect("good");
        assert_eq!((filter.user.map(|id| id.to_string()).as_deref(), limit), (Some(id), 7));
        assert_eq!(filter.from, Some(Timestamp::from_micros(1_795_255_200_000_000)));
        assert_eq!((filter.kind.as_deref(), filter.to), (Some("authn_login_fail"), None));
        let offset = parse("to=2026-11-21T11:00:00.000001%2B01:00").expect("good").filter.to;
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
