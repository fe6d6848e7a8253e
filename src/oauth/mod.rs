//! The OAuth 2 face: the token endpoint for clients that speak RFC 6749, and the metadata that tells them what works.

mod client;
mod grant;
pub mod metadata;
pub mod token;
