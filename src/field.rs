//! Values that arrive as fields of a request: parsed once at the edge, into types that cannot be wrong afterwards.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

use crate::clock::{NotATime, Timestamp};

/// Why a field's value is refused. Neither part quotes the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// For programs, `snake_case`.
    pub code: &'static str,
    /// For people.
    pub detail: Cow<'static, str>,
}

impl Invalid {
    /// With a fixed text.
    pub const fn new(code: &'static str, detail: &'static str) -> Self {
        Self { code, detail: Cow::Borrowed(detail) }
    }

    const MISSING: Self = Self::new("missing", "this field is required");
}

/// A type that a JSON field can be parsed into. Most are made of text and implement only `from_text`.
pub trait FromField: Sized {
    /// From a JSON value; `None` if the field is absent.
    ///
    /// # Errors
    /// If it is missing, of another JSON type, or refused by `from_text`.
    fn from_field(value: Option<Value>) -> Result<Self, Invalid> {
        match value {
            None => Err(Invalid::MISSING),
            Some(Value::String(text)) => Self::from_text(text),
            Some(_) => Err(Invalid::new("wrong_type", "this field is a string")),
        }
    }

    /// From text.
    ///
    /// # Errors
    /// If the text is not one of these.
    fn from_text(text: String) -> Result<Self, Invalid>;

    /// What the API description says about the field.
    fn schema() -> schemars::Schema;

    /// Whether the field may be left out.
    const OPTIONAL: bool = false;
}

/// Absent and `null` are the same.
impl<T: FromField> FromField for Option<T> {
    fn from_field(value: Option<Value>) -> Result<Self, Invalid> {
        match value {
            None | Some(Value::Null) => Ok(None),
            some => T::from_field(some).map(Some),
        }
    }

    fn from_text(text: String) -> Result<Self, Invalid> {
        T::from_text(text).map(Some)
    }

    fn schema() -> schemars::Schema {
        let inner = T::schema();
        schemars::json_schema!({"anyOf": [inner, {"type": "null"}]})
    }

    const OPTIONAL: bool = true;
}

/// A member of a change: absent leaves the value as it is, `null` removes it (RFC 7396).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patch<T> {
    /// As it is.
    Keep,
    /// None any more.
    Remove,
    /// This one.
    Set(T),
}

impl<T: FromField> FromField for Patch<T> {
    fn from_field(value: Option<Value>) -> Result<Self, Invalid> {
        match value {
            None => Ok(Self::Keep),
            Some(Value::Null) => Ok(Self::Remove),
            some => T::from_field(some).map(Self::Set),
        }
    }

    fn from_text(text: String) -> Result<Self, Invalid> {
        T::from_text(text).map(Self::Set)
    }

    fn schema() -> schemars::Schema {
        Option::<T>::schema()
    }

    const OPTIONAL: bool = true;
}

/// A flag; absent is `false`.
impl FromField for bool {
    fn from_field(value: Option<Value>) -> Result<Self, Invalid> {
        match value {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(Invalid::new("wrong_type", "this field is true or false")),
        }
    }

    fn from_text(text: String) -> Result<Self, Invalid> {
        text.parse().map_err(|_| Invalid::new("wrong_type", "this field is true or false"))
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "boolean", "default": false})
    }

    const OPTIONAL: bool = true;
}

/// A place in a sequence, in a query string.
impl FromField for i64 {
    fn from_text(text: String) -> Result<Self, Invalid> {
        text.parse().map_err(|_| Invalid::new("malformed", "this field is a whole number"))
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "integer", "format": "int64"})
    }
}

/// A point in time (RFC 3339).
impl FromField for Timestamp {
    fn from_text(text: String) -> Result<Self, Invalid> {
        text.parse().map_err(|_| Invalid::new("malformed", NotATime::DETAIL))
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

/// A span of time in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

/// More than anything here may take: ten years.
const MAX_SECONDS: u64 = 3650 * 24 * 3600;

impl FromField for Seconds {
    fn from_field(value: Option<Value>) -> Result<Self, Invalid> {
        let Some(value) = value else { return Err(Invalid::MISSING) };
        if !value.is_number() {
            return Err(Invalid::new("wrong_type", "this field is a number of seconds"));
        }
        let seconds = value.as_u64().filter(|seconds| *seconds <= MAX_SECONDS);
        let seconds = seconds
            .ok_or(Invalid::new("out_of_range", "this field is a whole number of seconds, at most ten years"))?;
        Ok(Self(Duration::from_secs(seconds)))
    }

    fn from_text(_: String) -> Result<Self, Invalid> {
        Err(Invalid::new("wrong_type", "this field is a number of seconds"))
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "integer", "minimum": 0, "maximum": MAX_SECONDS})
    }
}

/// Text for people: a name, a label. Trimmed, NFC, 1 to 200 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

/// The most characters of a [`Text`].
const MAX_TEXT_CHARS: usize = 200;

impl Text {
    /// The text, to look at.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text itself.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl FromField for Text {
    fn from_text(text: String) -> Result<Self, Invalid> {
        use unicode_normalization::UnicodeNormalization;
        let text: String = text.trim().nfc().take(MAX_TEXT_CHARS + 1).collect();
        match text.chars().count() {
            0 => Err(Invalid::new("too_short", "this field must not be blank")),
            1..=MAX_TEXT_CHARS if text.chars().any(char::is_control) => {
                Err(Invalid::new("control_character", "this field has no control characters"))
            }
            1..=MAX_TEXT_CHARS => Ok(Self(text)),
            _ => Err(Invalid::new("too_long", "this field has at most 200 characters")),
        }
    }

    fn schema() -> schemars::Schema {
        // Something visible in it, and no control character.
        let pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x1f\x7f-\x9f\s][^\x00-\x1f\x7f-\x9f]*$";
        schemars::json_schema!({"type": "string", "maxLength": MAX_TEXT_CHARS, "pattern": pattern})
    }
}
