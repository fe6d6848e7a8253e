//! What administrators do over HTTP: find people, open accounts, change and disable them, end their sessions, manage their API
//! keys, act for them; and what they look at. One file per route or few of them; the verbs are those of the command line
//! ([`account::administer`](crate::account::administer), [`api_key::administer`](crate::api_key::administer),
//! [`session`](crate::session)).
//!
//! Every route demands the role `admin` as of now and a token that was issued for it ([`Admin`](crate::http::bearer::Admin)); what
//! is done is written down with both names, the administrator's and the user's.
//!
//! Owns: nothing.  Emits: what the verbs say.

pub mod api_key;
pub mod api_keys;
pub mod create_user;
pub mod disable;
mod fields;
mod handover;
pub mod impersonate;
pub mod invitations;
pub mod keys;
pub mod list_users;
pub mod reset_mfa;
pub mod reset_password;
pub mod restore;
pub mod roles;
pub mod sessions;
pub mod statistics;
pub mod user;

use actix_web::HttpRequest;

use crate::account::UserId;
use crate::error::{Error, Result};

/// Whom a path names. What is no id names nobody.
fn user_in_path(http: &HttpRequest) -> Result<UserId> {
    http.match_info().query("id").parse().map_err(|_| Error::NotFound)
}
