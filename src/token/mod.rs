//! The product: ES256 access tokens (RFC 9068) and the JWKS that any service verifies them with.
//!
//! [`keyring`] is the schedule, [`key_file`] how a key is read, [`issue`] and [`verify`] the two uses, [`jwks`] the
//! public document.

pub mod claims;
pub mod issue;
pub mod jwks;
pub mod key_file;
pub mod keyring;
pub mod keys;
pub mod verify;
