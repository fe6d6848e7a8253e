//! Fields that only administrators send.

use schemars::{Schema, json_schema};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use crate::access::role::Roles;
use crate::account::search::Cursor;
use crate::field::{FromField, Invalid};

/// The beginning of an e-mail address.
#[derive(Debug, Clone)]
pub struct EmailPrefix(pub(super) String);

/// The most bytes of a prefix: those of an address.
const MAX_PREFIX_BYTES: usize = 254;

impl FromField for EmailPrefix {
    /// As addresses are kept: in lower case. A domain with letters beyond ASCII is found by its ASCII form (`xn--…`).
    fn from_text(text: String) -> Result<Self, Invalid> {
        prefix(&text).map(|text| Self(text.to_lowercase()))
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": MAX_PREFIX_BYTES})
    }
}

/// The beginning of a name.
#[derive(Debug, Clone)]
pub struct NamePrefix(pub(super) String);

impl FromField for NamePrefix {
    fn from_text(text: String) -> Result<Self, Invalid> {
        prefix(&text).map(Self)
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": MAX_PREFIX_BYTES})
    }
}

fn prefix(text: &str) -> Result<String, Invalid> {
    if text.len() > MAX_PREFIX_BYTES {
        return Err(Invalid::new("too_long", "a prefix has at most 254 bytes"));
    }
    let text: String = text.trim().nfc().collect();
    if text.is_empty() {
        return Err(Invalid::new("too_short", "a prefix must not be blank"));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new("control_character", "a prefix has no control characters"));
    }
    Ok(text)
}

/// One role.
#[derive(Debug, Clone)]
pub struct RoleName(pub(super) String);

impl FromField for RoleName {
    fn from_text(text: String) -> Result<Self, Invalid> {
        let is_one = Roles::try_from(vec![text.clone()]).is_ok_and(|roles| roles.iter().eq([text.as_str()]));
        if is_one { Ok(Self(text)) } else { Err(MALFORMED_ROLE) }
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": ROLE_PATTERN})
    }
}

const ROLE_PATTERN: &str = "^[a-z][a-z0-9_-]{0,31}$";
const MALFORMED_ROLE: Invalid =
    Invalid::new("malformed", "a role is 1 to 32 of a-z, 0-9, - and _, beginning with a letter");

/// All roles of a user, at most sixteen.
#[derive(Debug, Clone)]
pub struct RoleList(pub(super) Roles);

impl FromField for RoleList {
    fn from_field(value: Option<Value>) -> Result<Self, Invalid> {
        const WRONG_TYPE: Invalid = Invalid::new("wrong_type", "this field is a list of strings");
        let Some(Value::Array(values)) = value else { return Err(WRONG_TYPE) };
        let names: Option<Vec<String>> = values.into_iter().map(|value| value.as_str().map(str::to_owned)).collect();
        let names = names.ok_or(WRONG_TYPE)?;
        if names.iter().any(|name| RoleName::from_text(name.clone()).is_err()) {
            return Err(MALFORMED_ROLE);
        }
        Roles::try_from(names).map(Self).map_err(|_| Invalid::new("too_many", "a user has at most 16 roles"))
    }

    fn from_text(_: String) -> Result<Self, Invalid> {
        Err(Invalid::new("wrong_type", "this field is a list of strings"))
    }

    fn schema() -> Schema {
        json_schema!({"type": "array", "items": {"type": "string", "pattern": ROLE_PATTERN}, "maxItems": 16})
    }
}

/// True or false, where absent is neither.
#[derive(Debug, Clone, Copy)]
pub struct Flag(pub(super) bool);

impl FromField for Flag {
    fn from_field(value: Option<Value>) -> Result<Self, Invalid> {
        match value {
            Some(Value::Bool(flag)) => Ok(Self(flag)),
            Some(Value::String(text)) => Self::from_text(text),
            _ => Err(Self::WRONG_TYPE),
        }
    }

    fn from_text(text: String) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| Self::WRONG_TYPE)
    }

    fn schema() -> Schema {
        json_schema!({"type": "boolean"})
    }
}

impl Flag {
    const WRONG_TYPE: Invalid = Invalid::new("wrong_type", "this field is true or false");
}

impl FromField for Cursor {
    fn from_text(text: String) -> Result<Self, Invalid> {
        text.parse().map_err(|_| NO_CURSOR)
    }

    fn schema() -> Schema {
        json_schema!({"type": "string"})
    }
}

pub(super) const NO_CURSOR: Invalid = Invalid::new("malformed", "this is not the `next` of a page of this search");
