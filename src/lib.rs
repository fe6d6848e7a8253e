//! Signet: an identity and token service.
//!
//! A signet ring presses a seal that anybody can check without asking its owner. Signet keeps users and their sessions,
//! signs short ES256 access tokens, and publishes the keys with which every sibling service verifies them offline.
//!
//! # One request, from the row to the SQL
//!
//! ```text
//! POST /v1/auth/refresh
//!   routes.rs              the row: method, path, who may call, handler
//!   session/refresh.rs     handle → refresh: the happy path; if it is not that, `decide` under the row's lock
//!     session/rotation/      one guarded UPDATE, for all who come at the same time
//!     session/family.rs      … by the state table, which is pure
//!     session/store.rs       … and writes what was decided, with its audit event, in one transaction
//!   token/issue.rs         signs the access token with the key whose time it is
//!   http/respond.rs        adds the request's id and the headers; makes an error a problem document
//! ```
//!
//! # Where things are
//!
//! Features: [`account`], [`admin`], [`mail`], [`mfa`], [`session`], [`token`], [`oauth`], [`api_key`], [`throttle`],
//! [`audit`], [`webhook`], [`cleanup`]. Rules that know neither HTTP nor SQL: [`access`], [`session::family`],
//! [`token::keyring`], [`api_key::rules`], [`throttle::rules`]. Mechanics: [`http`], [`db`],
//! [`hasher`], [`jobs`], [`machine`], `patience`, `token_text`. What holds it together: [`app`], [`routes`], [`error`], [`config`], [`metrics`],
//! [`telemetry`], [`cli`].

pub mod access;
pub mod account;
pub mod admin;
pub mod api_key;
pub mod app;
pub mod audit;
pub mod cleanup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod field;
#[cfg(test)]
mod generated;
pub mod hasher;
pub mod http;
pub mod jobs;
pub mod machine;
pub mod mail;
pub mod metrics;
pub mod mfa;
pub mod oauth;
mod patience;
mod random;
pub mod routes;
pub mod session;
pub mod telemetry;
pub mod throttle;
pub mod token;
mod token_text;
pub mod webhook;
