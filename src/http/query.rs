//! Query strings, declared and parsed like bodies: of plain listings, where to go on and how much; of others, whatever fields
//! they have.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use schemars::{Schema, json_schema};

use super::body::{Fields, FromFields};
use crate::error::{Error, Result};
use crate::field::{FromField, Invalid};

/// A query string of fields, declared like a body.
pub struct Query<T>(pub T);

impl<T: FromFields> FromRequest for Query<T> {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(http.query_string()).map(Self))
    }
}

/// How many items a page has, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub u16);

impl FromField for Limit {
    fn from_field(value: Option<serde_json::Value>) -> Result<Self, Invalid> {
        match value {
            None => Ok(Self(DEFAULT_LIMIT)),
            Some(serde_json::Value::String(text)) => Self::from_text(text),
            Some(_) => Err(Self::OUT_OF_RANGE),
        }
    }

    fn from_text(text: String) -> Result<Self, Invalid> {
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.map(Self).ok_or(Self::OUT_OF_RANGE)
    }

    fn schema() -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT})
    }

    const OPTIONAL: bool = true;
}

impl Limit {
    const OUT_OF_RANGE: Invalid = Invalid::new("out_of_range", "a page has 1 to 100 items");
}

/// A page of a listing: `?limit=…&after=…`.
pub struct Page<Id> {
    /// The last item of the page before.
    pub after: Option<Id>,
    /// How many, 1 to 100.
    pub limit: u16,
}

impl<Id> Page<Id> {
    /// How many to ask for: whether there is a next page shows by one item more.
    pub(crate) fn look(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

/// Takes what was found beyond `limit` away from a page. Where to go on, if there was anything: at its last item.
pub(crate) fn cut<T, Id>(found: &mut Vec<T>, limit: usize, id: impl Fn(&T) -> Id) -> Option<Id> {
    let more = found.len() > limit;
    found.truncate(limit);
    found.last().filter(|_| more).map(id)
}

const DEFAULT_LIMIT: u16 = 20;
pub(crate) const MAX_LIMIT: u16 = 100;

impl<Id: FromField> FromFields for Page<Id> {
    fn from_fields(fields: &mut Fields) -> Result<Self> {
        let (limit, after) = (fields.take::<Limit>("limit"), fields.take::<Option<Id>>("after"));
        fields.finish()?;
        const TAKEN: &str = "a field that could not be taken is an error that finish() returns";
        Ok(Self { after: after.expect(TAKEN), limit: limit.expect(TAKEN).0 })
    }

    fn schema() -> Schema {
        let (mut limit, mut after) = (Limit::schema(), Id::schema());
        limit.insert("description".to_owned(), "How many items at most.".into());
        after.insert("description".to_owned(), "The `next` of the page before.".into());
        json_schema!({"type": "object", "properties": {"limit": limit, "after": after}})
    }
}

impl<Id: FromField> FromRequest for Page<Id> {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(http.query_string()))
    }
}

/// Parses a query string.
///
/// # Errors
/// All that is wrong, at once.
pub(crate) fn parse<T: FromFields>(query: &str) -> Result<T> {
    Fields::of_query(query).and_then(|mut fields| T::from_fields(&mut fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded() {
        let page = |query: &str| parse::<Page<i64>>(query).ok().map(|page| (page.after, page.limit));
        assert_eq!(page(""), Some((None, 20)));
        assert_eq!(page("limit=100&after=7"), Some((Some(7), 100)));
        for query in ["limit=0", "limit=101", "limit=-1", "limit=1e9", "limit=", "after=x", "page=1", "limit=1&limit=2"]
        {
            assert_eq!(page(query), None, "{query}");
        }
    }

    #[test]
    fn a_page_that_is_full_goes_on_at_its_last_item_if_there_are_more() {
        let cut = |mut found: Vec<u8>| (cut(&mut found, 2, |last| *last), found);
        assert_eq!(cut(vec![]), (None, vec![]));
        assert_eq!(cut(vec![1]), (None, vec![1]));
        assert_eq!(cut(vec![1, 2]), (None, vec![1, 2]));
        assert_eq!(cut(vec![1, 2, 3]), (Some(2), vec![1, 2]));
    }

    #[test]
    fn an_id_has_one_spelling() {
        let is_taken = |id: &str| parse::<Page<crate::session::SessionId>>(&format!("after={id}")).is_ok();
        assert!(is_taken("01a1fc6f-48d0-717a-ac6b-fd36c79547f2"));
        for other in [
            "01a1fc6f48d0717aac6bfd36c79547f2",
            "{01a1fc6f-48d0-717a-ac6b-fd36c79547f2}",
            "urn:uuid:01a1fc6f-48d0-717a-ac6b-fd36c79547f2",
        ] {
            assert!(!is_taken(other), "{other}");
        }
    }
}
