//! Rights: what a user's roles carry, and how much of a grant is left of it.
//!
//! A grant never grows: what was granted at log-in, or written into an API key, is an upper bound for as long as it lives,
//! and the roles of the moment are another. A token gets what lies within both. So a role that is taken away takes its words
//! along, and one that is given takes effect with the next log-in, which is proof that the user is there to have it.

use std::collections::BTreeMap;

use super::role::Roles;
use super::scope::Scope;

/// What roles carry, by configuration.
#[derive(Debug, Clone)]
pub struct Rights {
    of_everybody: Scope,
    of_role: BTreeMap<String, Scope>,
}

impl Rights {
    /// `of_everybody` is carried by every user whatever their roles are; a role that is not in `of_role` carries nothing
    /// here, and means what siblings make of it.
    pub fn new(of_everybody: Scope, of_role: BTreeMap<String, Scope>) -> Self {
        Self { of_everybody, of_role }
    }

    /// What every user has.
    pub fn of_everybody(&self) -> &Scope {
        &self.of_everybody
    }

    /// What each configured role carries besides, by name.
    pub fn of_roles(&self) -> impl Iterator<Item = (&str, &Scope)> {
        self.of_role.iter().map(|(role, scope)| (role.as_str(), scope))
    }

    /// All that any user may have.
    pub fn all(&self) -> Scope {
        self.of_role.values().fold(self.of_everybody.clone(), |all, more| all.joined_with(more))
    }

    /// What somebody who proves to be a user with these roles is granted: what they ask for as far as they may have it
    /// (RFC 6749 §3.3), and all that they may have if they ask for nothing in particular.
    pub fn grant(&self, requested: Option<&Scope>, roles: &Roles) -> Scope {
        match requested {
            Some(requested) if !requested.is_empty() => self.left_of(requested, roles),
            Some(_) | None => self.left_of(&self.all(), roles),
        }
    }

    /// What is left of a grant now that the user has these roles.
    pub fn left_of(&self, granted: &Scope, roles: &Roles) -> Scope {
        granted.only(|word| self.are_carried(word, roles))
    }

    fn are_carried(&self, word: &str, roles: &Roles) -> bool {
        self.of_everybody.contains(word)
            || roles.iter().filter_map(|role| self.of_role.get(role)).any(|carried| carried.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().expect("a scope")
    }

    fn roles(text: &str) -> Roles {
        text.parse().expect("roles")
    }

    fn rights() -> Rights {
        let of_role = [("user", "read"), ("editor", "read write"), ("admin", "admin")];
        Rights::new(scope("account"), of_role.map(|(role, words)| (role.to_owned(), scope(words))).into())
    }

    #[test]
    fn a_user_is_granted_what_everybody_has_and_what_their_roles_carry() {
        for (own, expected) in [
            ("", "account"),
            ("user", "account read"),
            ("editor user", "account read write"),
            ("admin", "account admin"),
            ("nobody-configured-this", "account"),
        ] {
            assert_eq!(rights().grant(None, &roles(own)), scope(expected), "{own}");
            assert_eq!(rights().grant(Some(&scope("")), &roles(own)), scope(expected), "{own}");
        }
        assert_eq!(rights().all(), scope("account admin read write"));
    }

    #[test]
    fn nobody_is_granted_what_they_did_not_ask_for_or_may_not_have() {
        assert_eq!(rights().grant(Some(&scope("read")), &roles("editor")), scope("read"));
        assert_eq!(rights().grant(Some(&scope("read admin")), &roles("editor")), scope("read"));
        assert_eq!(rights().grant(Some(&scope("admin unknown")), &roles("editor")), scope(""));
    }

    #[test]
    fn a_grant_loses_what_the_roles_lost_and_gains_nothing() {
        let granted = scope("account read write");
        assert_eq!(rights().left_of(&granted, &roles("editor")), granted);
        assert_eq!(rights().left_of(&granted, &roles("user")), scope("account read"));
        assert_eq!(rights().left_of(&granted, &roles("")), scope("account"));
        assert_eq!(rights().left_of(&scope("account"), &roles("admin editor")), scope("account"));
        // A word that configuration no longer knows is gone, too.
        assert_eq!(rights().left_of(&scope("account reports"), &roles("user")), scope("account"));
    }
}
