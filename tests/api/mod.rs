//! The service over HTTP, from outside; the folders mirror `src/`.

mod access;
mod account;
pub mod admin;
pub mod api_key;
mod http;
mod matrix;
mod mfa;
mod oauth;
mod rights_first;
mod session;
mod states;
mod token;
