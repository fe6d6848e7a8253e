//! One line of an import: what it may say, and how it is read within bounds. `docs/import.md` lists the fields.

use std::io::{self, BufRead, Read as _};

use serde_json::Value;

use crate::access::role::Roles;
use crate::account::UserId;
use crate::account::email::Email;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::field::{FromField, Invalid, Text};
use crate::hasher::foreign::ForeignHash;
use crate::http::body::{Fields, FromFields, request_body};

/// No honest line is longer.
const MAX_LINE_BYTES: u64 = 16 * 1024;

request_body! {
    /// A user of another service.
    pub struct Line {
        /// Their address.
        email: Email,
        /// What they are called.
        name: Option<Text>,
        /// As the other service stored it. Without, they choose a password by mail.
        password_hash: Option<HashField>,
        /// Whether the other service had them show that the address is theirs.
        email_verified: Option<bool>,
        /// `["user"]` if there are none.
        roles: Option<RolesField>,
        /// When they came to the other service, RFC 3339.
        created_at: Option<TimeField>,
        /// Their `sub`: a UUID, if siblings know them by it already.
        id: Option<IdField>,
        /// Whether nobody may log in to it.
        disabled: Option<bool>,
    }
}

/// What was read.
pub(super) enum Read {
    Line(Box<Line>),
    Blank,
    /// Why it is not taken in.
    Refused(String),
    End,
}

/// Reads the next line.
pub(super) fn read(input: &mut impl BufRead) -> io::Result<Read> {
    let mut bytes = Vec::new();
    if input.take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(Read::End);
    }
    if bytes.len() as u64 > MAX_LINE_BYTES && !bytes.ends_with(b"\n") {
        pass_over(input)?;
        return Ok(Read::Refused("is longer than 16384 bytes".to_owned()));
    }
    if bytes.trim_ascii().is_empty() {
        return Ok(Read::Blank);
    }
    let parsed = Fields::parse(bytes.trim_ascii()).and_then(|mut fields| Line::from_fields(&mut fields));
    Ok(parsed.map_or_else(|error| Read::Refused(why(error)), |line| Read::Line(Box::new(line))))
}

/// The rest of a line that is too long.
fn pass_over(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (length, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(place) => (place + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(length);
        if is_end {
            return Ok(());
        }
    }
}

fn why(error: Error) -> String {
    match error {
        Error::InvalidFields(errors) => {
            let each = errors.iter().map(|error| format!("{}: {}", error.field, error.detail));
            each.collect::<Vec<_>>().join("; ")
        }
        _ => "is not a JSON object, or has a field twice".to_owned(),
    }
}

/// See [`ForeignHash`].
pub struct HashField(pub(super) ForeignHash);

impl FromField for HashField {
    fn from_text(text: String) -> Result<Self, Invalid> {
        ForeignHash::parse(&text)
            .map(Self)
            .map_err(|refused| Invalid { code: "refused", detail: refused.to_string().into() })
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string"})
    }
}

/// A list of names.
pub struct RolesField(pub(super) Roles);

impl FromField for RolesField {
    fn from_field(value: Option<Value>) -> Result<Self, Invalid> {
        let names: Vec<String> = value
            .and_then(|value| serde_json::from_value(value).ok())
            .ok_or(Invalid::new("wrong_type", "this field is a list of names"))?;
        Roles::try_from(names)
            .map(Self)
            .map_err(|error| Invalid { code: "malformed", detail: error.to_string().into() })
    }
    fn from_text(text: String) -> Result<Self, Invalid> {
        Self::from_field(Some(Value::String(text)))
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "array", "items": {"type": "string"}})
    }
}

/// A time.
#[derive(Clone, Copy)]
pub struct TimeField(pub(super) Timestamp);

impl FromField for TimeField {
    fn from_text(text: String) -> Result<Self, Invalid> {
        let time: jiff::Timestamp =
            text.parse().map_err(|_| Invalid::new("malformed", "this field reads like 2026-11-21T10:00:00Z"))?;
        // Not every database has times as early as can be written.
        if time < jiff::Timestamp::UNIX_EPOCH {
            return Err(Invalid::new("out_of_range", "nobody came to a service like this before 1970"));
        }
        Ok(Self(Timestamp::from_micros(time.as_microsecond())))
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

/// A user's id.
#[derive(Clone, Copy)]
pub struct IdField(pub(super) UserId);

impl FromField for IdField {
    fn from_text(text: String) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| Invalid::new("malformed", "this field is a UUID with hyphens"))
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "uuid"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of each line, in a word.
    fn read_all(mut input: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        loop {
            match read(&mut input).expect("bytes can be read") {
                Read::Line(line) => found.push(line.email.key().to_owned()),
                Read::Blank => found.push("blank".to_owned()),
                Read::Refused(why) => found.push(why),
                Read::End => return found,
            }
        }
    }

    #[test]
    fn each_line_is_read_and_a_bad_one_costs_nothing_but_itself() {
        let long = format!("{{\"email\": \"{}\"}}", "a".repeat(40_000));
        let input = format!(
            "{{\"email\": \"A@x\"}}\r\n\n  \n{long}\nnonsense\n{{\"email\": \"b@x\", \"email\": \"c@x\"}}\n{{\"email\": \"d@x\"}}"
        );
        let object = "is not a JSON object, or has a field twice";
        assert_eq!(
            read_all(input.as_bytes()),
            ["a@x", "blank", "blank", "is longer than 16384 bytes", object, object, "d@x"]
        );
        assert_eq!(read_all(long.as_bytes()), ["is longer than 16384 bytes"]);
        assert_eq!(read_all(b"\xff\xfe"), [object]);
        assert_eq!(read_all(b""), Vec::<String>::new());
    }

    #[test]
    fn whatever_is_wrong_is_named_and_not_quoted() {
        let line = r#"{"email": "sekret", "name": "", "password_hash": "sekret", "email_verified": "sekret", "roles": "sekret", "created_at": "sekret", "id": "sekret", "disabled": 1, "admin": "sekret"}"#;
        let why = read_all(line.as_bytes()).join("");
        for field in [
            "email: ",
            "name: ",
            "password_hash: ",
            "email_verified: ",
            "roles: ",
            "created_at: ",
            "id: ",
            "disabled: ",
            "admin: there is no such field",
        ] {
            assert!(why.contains(field), "{field}: {why}");
        }
        assert!(!why.contains("sekret"), "{why}");
    }
}
