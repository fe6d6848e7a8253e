//! What administrators say of an endpoint: its URL and what it is told.

use serde_json::Value;

use crate::audit::kinds::PublicType;
use crate::field::{FromField, Invalid};

/// A URL as it was sent; whether messages may go there is judged with the configuration at hand.
#[derive(Debug, Clone)]
pub struct Url(pub String);

impl FromField for Url {
    fn from_text(text: String) -> Result<Self, Invalid> {
        Ok(Self(text))
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "uri", "maxLength": 1024})
    }
}

/// Types of events; none means all.
#[derive(Debug, Clone, Default)]
pub struct EventTypes(Vec<PublicType>);

impl EventTypes {
    /// As it stands in the column: with a space at either end, so that each is found between two.
    pub(super) fn to_column(&self) -> String {
        let names: String = self.0.iter().map(|r#type| format!(" {}", r#type.as_str())).collect();
        if names.is_empty() { names } else { names + " " }
    }

    /// The names in a column.
    pub(super) fn names_in(column: &str) -> Vec<String> {
        column.split_whitespace().map(str::to_owned).collect()
    }
}

const NONE: Invalid = Invalid::new("unknown", "each is one of the types that docs/webhooks.md lists");

impl FromField for EventTypes {
    fn from_field(value: Option<Value>) -> Result<Self, Invalid> {
        let names = match value {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Array(names)) => names,
            Some(_) => return Err(Invalid::new("wrong_type", "this field is a list of strings")),
        };
        let named = |name: &Value| PublicType::ALL.into_iter().find(|r#type| name.as_str() == Some(r#type.as_str()));
        let mut types: Vec<PublicType> = names.iter().map(|name| named(name).ok_or(NONE)).collect::<Result<_, _>>()?;
        types.sort_unstable();
        types.dedup();
        Ok(Self(types))
    }

    fn from_text(_: String) -> Result<Self, Invalid> {
        Err(Invalid::new("wrong_type", "this field is a list of strings"))
    }

    fn schema() -> schemars::Schema {
        let names = PublicType::ALL.map(PublicType::as_str);
        schemars::json_schema!({"type": "array", "items": {"type": "string", "enum": names}, "default": []})
    }

    const OPTIONAL: bool = true;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_are_known_ones_each_once() {
        let column = |value: Value| EventTypes::from_field(Some(value)).map(|types| types.to_column());
        assert_eq!(column(json!([])).expect("good"), "");
        let some = column(json!(["session.revoked", "user.created", "user.created"])).expect("good");
        assert_eq!(some, " user.created session.revoked ");
        assert_eq!(EventTypes::names_in(&some), ["user.created", "session.revoked"]);
        for bad in [json!(["user.%"]), json!("user.created"), json!([1]), json!({}), json!([["user.created"]])] {
            assert!(column(bad.clone()).is_err(), "{bad}");
        }
    }
}
