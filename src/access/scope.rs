//! Scopes (RFC 6749 §3.3): a set of case-sensitive words. A grant may be narrowed, never widened.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::db::types::text_column;

/// A set of scope words, kept sorted and separated by single spaces.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    diesel::expression::AsExpression,
    diesel::deserialize::FromSqlRow,
)]
#[diesel(sql_type = diesel::sql_types::Text)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

/// The most bytes of a scope.
const MAX_BYTES: usize = 512;

/// The text is not a scope: a character that RFC 6749 §3.3 excludes, or too long.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a scope is a list of words separated by spaces")]
pub struct Malformed;

/// More was asked for than was granted.
#[derive(Debug, PartialEq, Eq)]
pub struct Exceeded;

impl Scope {
    /// Opens the user's own account at Signet: profile, password, sessions.
    pub const ACCOUNT: &'static str = "account";
    /// Administers Signet, in the hands of whoever has the role [`Roles::ADMIN`](super::role::Roles::ADMIN).
    pub const ADMIN: &'static str = "admin";

    /// Just [`Scope::ACCOUNT`].
    pub fn account() -> Self {
        Self(Self::ACCOUNT.to_owned())
    }

    /// The words, separated by spaces.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether no word is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `word` is in it.
    pub fn contains(&self, word: &str) -> bool {
        self.0.split(' ').any(|own| own == word)
    }

    /// What is left when only `requested` is wanted; all of it if nothing in particular is.
    ///
    /// # Errors
    /// If `requested` has a word that is not granted (RFC 6749 §6: `invalid_scope`).
    pub fn narrowed_to(&self, requested: Option<&Self>) -> Result<Self, Exceeded> {
        match requested {
            None => Ok(self.clone()),
            Some(requested) if requested.is_empty() => Ok(self.clone()),
            Some(requested) if requested.0.split(' ').all(|word| self.contains(word)) => Ok(requested.clone()),
            Some(_) => Err(Exceeded),
        }
    }

    pub(crate) fn from_column(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

text_column!(Scope);

impl FromStr for Scope {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if text.len() > MAX_BYTES || !text.bytes().all(|b| b == b' ' || allowed(b)) {
            return Err(Malformed);
        }
        let words: std::collections::BTreeSet<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        Ok(Self(words.into_iter().collect::<Vec<_>>().join(" ")))
    }
}

impl TryFrom<String> for Scope {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

impl schemars::JsonSchema for Scope {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scope".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "words separated by spaces (RFC 6749 §3.3)"})
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().expect("a scope")
    }

    #[test]
    fn words_are_a_set() {
        assert_eq!(scope("b a  b").as_str(), "a b");
        assert!(scope("").is_empty());
        assert!(!scope("accounts").contains("account"));
    }

    #[test]
    fn a_scope_can_only_shrink() {
        let granted = scope("account read write");
        assert_eq!(granted.narrowed_to(None), Ok(granted.clone()));
        assert_eq!(granted.narrowed_to(Some(&scope(""))), Ok(granted.clone()));
        assert_eq!(granted.narrowed_to(Some(&scope("write read"))), Ok(scope("read write")));
        assert_eq!(granted.narrowed_to(Some(&scope("read admin"))), Err(Exceeded));
    }

    #[test]
    fn a_scope_has_at_most_512_bytes() {
        let longest = "x".repeat(512);
        assert_eq!(scope(&longest).to_string(), longest);
        assert_eq!(format!("{longest}x").parse::<Scope>(), Err(Malformed));
    }

    #[test]
    fn characters_outside_the_grammar_are_refused() {
        for text in ["a\"b", "a\\b", "é", "a\tb", "a\nb", &"x".repeat(513)] {
            assert_eq!(text.parse::<Scope>(), Err(Malformed), "{text:?}");
        }
    }
}
