//! The mechanics of HTTP, and nothing that knows what the service is for.

pub mod bearer;
pub mod body;
pub mod cookie;
pub mod form;
pub mod health;
pub mod idempotency;
pub mod openapi;
pub mod origin;
pub mod progress;
pub mod query;
pub mod respond;
pub mod span;
pub mod tick;
