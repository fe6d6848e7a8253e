//! The service over HTTP, from outside; the folders mirror `src/`.

mod account;
mod http;
mod matrix;
mod mfa;
mod oauth;
mod session;
mod token;
