//! The product: ES256 access tokens (RFC 9068) and the JWKS that any service verifies them with.
//!
//! [`keyring`] says which key signs and which verify, [`schedule`] holds the times that this hangs on, [`key_file`] how a
//! key is read, [`key_folder`] how one is put there; [`issue`] and [`verify`] the two uses, [`signing`]
//! the signature itself, [`jwks`] the public document.

pub mod claims;
pub mod issue;
pub mod jwks;
pub mod key_file;
pub mod key_folder;
pub mod keyring;
pub mod keys;
pub mod schedule;
pub mod signing;
pub mod verify;
