//! The service over HTTP, from outside; the folders mirror `src/`.

mod account;
pub mod admin;
mod http;
mod matrix;
mod oauth;
mod session;
mod token;
