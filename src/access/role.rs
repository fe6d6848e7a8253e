//! Roles: names that a user carries and that siblings decide by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::db::types::text_column;

/// A user's roles: a set of names, kept sorted.
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
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Roles(String);

/// The most roles of one user, so that a token keeps its size.
const MAX_ROLES: usize = 16;

/// The text is no list of roles.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a role is 1 to 32 of a-z, 0-9, - and _, beginning with a letter; a user has at most {MAX_ROLES}")]
pub struct Malformed;

impl Roles {
    /// What everybody who registers gets.
    pub const USER: &'static str = "user";
    /// Administers Signet.
    pub const ADMIN: &'static str = "admin";

    /// Just [`Roles::USER`].
    pub fn user() -> Self {
        Self(Self::USER.to_owned())
    }

    /// Whether the user has `role`.
    pub fn contains(&self, role: &str) -> bool {
        self.iter().any(|own| own == role)
    }

    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|role| !role.is_empty())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_column(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

text_column!(Roles);

/// Names separated by spaces or commas.
impl FromStr for Roles {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let names: std::collections::BTreeSet<&str> = text.split([' ', ',']).filter(|name| !name.is_empty()).collect();
        if names.len() > MAX_ROLES || !names.iter().all(|name| is_role(name)) {
            return Err(Malformed);
        }
        Ok(Self(names.into_iter().collect::<Vec<_>>().join(" ")))
    }
}

fn is_role(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

impl TryFrom<Vec<String>> for Roles {
    type Error = Malformed;
    fn try_from(names: Vec<String>) -> Result<Self, Malformed> {
        names.join(" ").parse()
    }
}

impl From<Roles> for Vec<String> {
    fn from(roles: Roles) -> Self {
        roles.iter().map(str::to_owned).collect()
    }
}

impl schemars::JsonSchema for Roles {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Roles".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "array", "items": {"type": "string"}})
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_a_set_and_print_as_a_list() {
        let roles: Roles = "user,admin user".parse().expect("roles");
        assert!(roles.contains("admin") && !roles.contains("adm"));
        assert_eq!(serde_json::to_string(&roles).expect("plain"), r#"["admin","user"]"#);
        assert_eq!("".parse::<Roles>().map(|none| none.iter().count()), Ok(0));
    }

    #[test]
    fn a_role_may_have_digits_hyphens_and_underscores() {
        let roles: Roles = "team-2 on_call".parse().expect("roles");
        assert_eq!(roles.to_string(), "on_call team-2");
        assert_eq!(roles.as_str(), "on_call team-2");
    }

    #[test]
    fn a_user_has_at_most_sixteen_roles() {
        let roles = |count: usize| (0..count).map(|n| format!("r{n}")).collect::<Vec<_>>().join(" ").parse::<Roles>();
        assert_eq!(roles(16).map(|roles| roles.iter().count()), Ok(16));
        assert_eq!(roles(17), Err(Malformed));
    }

    #[test]
    fn malformed_roles_are_refused() {
        let many = (0..17).map(|n| format!("r{n}")).collect::<Vec<_>>().join(" ");
        for text in ["Admin", "1st", "a\"b", "é", &"a".repeat(33), &many] {
            assert_eq!(text.parse::<Roles>(), Err(Malformed), "{text}");
        }
    }
}
