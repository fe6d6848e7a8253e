//! `[roles]`: the scope that each role carries.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{self, Deserialize, Deserializer};
use serde_json::json;

use super::Config;
use crate::access::rights::Rights;
use crate::access::role::Roles;
use crate::access::scope::Scope;

/// What each role carries. A role that a file leaves out keeps its default.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct RolesConfig(pub BTreeMap<String, Scope>);

impl Default for RolesConfig {
    fn default() -> Self {
        Self(BTreeMap::from([(Roles::ADMIN.to_owned(), Scope::admin()), (Roles::USER.to_owned(), Scope::default())]))
    }
}

impl<'de> Deserialize<'de> for RolesConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut roles = Self::default();
        for (name, scope) in BTreeMap::<String, Scope>::deserialize(deserializer)? {
            let is_one = name.parse::<Roles>().is_ok_and(|roles| roles.iter().eq([name.as_str()]));
            if !is_one {
                return Err(de::Error::custom(format!("roles: `{name}` is no name of a role")));
            }
            roles.0.insert(name, scope);
        }
        Ok(roles)
    }
}

impl JsonSchema for RolesConfig {
    fn schema_name() -> Cow<'static, str> {
        "RolesConfig".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let role = |default: &str, description: &str| json!({"type": "string", "default": default, "description": description});
        schemars::json_schema!({
            "type": "object",
            "properties": {
                "admin": role("admin", "What the role `admin` carries. Without the word `admin` nobody administers over HTTP."),
                "user": role("", "What the role `user` carries, besides `oauth.scope`, which everybody has."),
            },
            "additionalProperties": role("", "What a role carries."),
        })
    }
}

impl RolesConfig {
    /// What is wrong with these values, one line each.
    pub(super) fn findings(&self, of_everybody: &Scope) -> Vec<String> {
        let mut findings = Vec::new();
        if of_everybody.contains(Scope::ADMIN) {
            findings.push("oauth.scope: everybody has it, and `admin` is for administrators".to_owned());
        }
        for (name, scope) in &self.0 {
            if name != Roles::ADMIN && scope.contains(Scope::ADMIN) {
                findings.push(format!("roles.{name}: only the role `admin` carries `admin`"));
            }
        }
        let length: usize = self.0.values().chain([of_everybody]).map(|scope| scope.as_str().len() + 1).sum();
        if length > Scope::MAX_BYTES {
            findings.push(format!("roles: all scopes together have more than {} bytes", Scope::MAX_BYTES));
        }
        findings
    }

    /// What is unwise about them, one line each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let carries = self.0.get(Roles::ADMIN).is_some_and(|scope| scope.contains(Scope::ADMIN));
        let warning = "roles.admin: without `admin` nobody administers over HTTP";
        if carries { Vec::new() } else { vec![warning.to_owned()] }
    }
}

impl Config {
    /// What users may do, by their roles.
    pub fn rights(&self) -> Rights {
        Rights::new(self.oauth.scope.clone(), self.roles.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(file)
    }

    #[test]
    fn a_role_that_a_file_leaves_out_keeps_its_default() {
        let config = read("[roles]\nuser = 'read'\non_call-2 = 'read page'").expect("valid");
        let carried: Vec<_> = config.roles.0.iter().map(|(name, scope)| (name.as_str(), scope.as_str())).collect();
        assert_eq!(carried, [("admin", "admin"), ("on_call-2", "page read"), ("user", "read")]);
    }

    #[test]
    fn what_is_no_role_or_no_scope_is_refused() {
        for file in ["Admin = 'x'", "'a b' = 'x'", "'' = 'x'", "user = 1", "user = 'a\"b'"] {
            assert!(read(&format!("[roles]\n{file}")).is_err(), "{file}");
        }
    }

    #[test]
    fn administration_is_for_the_role_of_that_name() {
        let findings = |file: &str| {
            let config = read(file).expect("parses");
            config.roles.findings(&config.oauth.scope)
        };
        assert_eq!(findings(""), Vec::<String>::new());
        assert!(findings("oauth.scope = 'account admin'")[0].starts_with("oauth.scope: "));
        assert!(findings("roles.support = 'admin'")[0].starts_with("roles.support: "));
        let long = format!("roles.a = '{}'\nroles.b = '{}'", "x".repeat(260), "y".repeat(260));
        assert!(findings(&long)[0].starts_with("roles: "));
        assert!(read("roles.admin = 'reports'").expect("parses").roles.warnings()[0].starts_with("roles.admin: "));
    }
}
