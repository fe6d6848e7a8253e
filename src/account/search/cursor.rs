//! A place in a listing of users, as text that clients hand back and do not read: the order, then the last user's place in it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::account::UserId;

/// After whom a page begins.
#[derive(Clone, PartialEq, Eq)]
pub enum Cursor {
    /// Newest first.
    Id(UserId),
    /// By address, in the form in which it is looked up.
    Email(String),
    /// By name in lower case; of one name, by id.
    Name(String, UserId),
}

/// The text is no cursor.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Id(id) => format!("i{id}"),
            Self::Email(key) => format!("e{key}"),
            Self::Name(name, id) => format!("n{id}{name}"),
        };
        f.write_str(&URL_SAFE_NO_PAD.encode(text))
    }
}

/// Addresses and names do not belong into logs.
impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(place in a listing)")
    }
}

/// Characters of an id as text.
const ID_CHARS: usize = 36;

impl FromStr for Cursor {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed)?;
        let text = String::from_utf8(bytes).map_err(|_| Malformed)?;
        // Postgres has no text with a NUL in it.
        if text.contains('\0') {
            return Err(Malformed);
        }
        match (text.get(..1), text.get(1..)) {
            (Some("i"), Some(id)) => id.parse().map(Self::Id).map_err(|_| Malformed),
            (Some("e"), Some(key)) => Ok(Self::Email(key.to_owned())),
            (Some("n"), Some(rest)) => {
                let (id, name) = rest.split_at_checked(ID_CHARS).ok_or(Malformed)?;
                Ok(Self::Name(name.to_owned(), id.parse().map_err(|_| Malformed)?))
            }
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_cursor_survives_the_round_trip() {
        let id = UserId::new(Timestamp::from_micros(0));
        for cursor in [Cursor::Id(id), Cursor::Email("a%_\\'@x".to_owned()), Cursor::Name("émile\"".to_owned(), id)] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        }
    }

    #[test]
    fn whatever_else_is_refused() {
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for text in
            ["", "%", "AAAA", "x=", &encoded("i1"), &encoded("nx"), &encoded("e\0"), &encoded("zx"), &encoded("é")]
        {
            assert_eq!(text.parse::<Cursor>(), Err(Malformed), "{text:?}");
        }
    }
}
