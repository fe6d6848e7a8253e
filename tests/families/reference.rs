//! The state table once more, as small as it can be said: the executable specification that the service is held to.
//!
//! It knows nothing of secrets, digests or databases. A token is a number; what counts is which one is current, which one
//! is its parent, and when that came about.

use std::time::Duration;

/// A token, by the order of its issue.
pub type Token = usize;

/// One session.
#[derive(Debug, Clone)]
pub struct Family {
    pub current: Token,
    pub parent: Option<Token>,
    pub rotated_at: Duration,
    pub idle_end: Duration,
    pub end: Duration,
    pub is_revoked: bool,
    pub user: usize,
}

/// What configuration sets.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub grace: Duration,
    pub recovery: Option<Duration>,
    pub idle_ttl: Duration,
    pub max_ttl: Duration,
}

/// What a refresh must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A token that was never seen before.
    Fresh,
    /// The current token, once more.
    Same,
    /// 401, and nothing that was alive has changed.
    Refused,
    /// 401, and the family is dead from now on.
    RefusedAndRevoked,
}

impl Family {
    pub fn new(token: Token, user: usize, now: Duration, rules: &Rules) -> Self {
        Self {
            current: token,
            parent: None,
            rotated_at: now,
            idle_end: now + rules.idle_ttl,
            end: now + rules.max_ttl,
            is_revoked: false,
            user,
        }
    }

    pub fn is_alive(&self, now: Duration, is_user_active: bool) -> bool {
        !self.is_revoked && now < self.idle_end && now < self.end && is_user_active
    }

    /// Presents a token of this family; `fresh` is the number of a new token, should one be issued.
    pub fn present(
        &mut self,
        token: Token,
        fresh: Token,
        now: Duration,
        is_user_active: bool,
        rules: &Rules,
    ) -> Expected {
        if !self.is_alive(now, is_user_active) {
            return Expected::Refused;
        }
        let age = now - self.rotated_at;
        if token == self.current {
            self.parent = Some(token);
        } else if Some(token) != self.parent {
            self.is_revoked = true;
            return Expected::RefusedAndRevoked;
        } else if age < rules.grace {
            return Expected::Same;
        } else if rules.recovery.is_some_and(|recovery| age >= recovery) {
            self.is_revoked = true;
            return Expected::RefusedAndRevoked;
        }
        self.current = fresh;
        self.rotated_at = now;
        self.idle_end = now + rules.idle_ttl;
        Expected::Fresh
    }
}
