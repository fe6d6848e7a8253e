//! Every test that looks at Signet from outside: over HTTP, as a program, through its stores.
//!
//! Each test of behaviour runs on SQLite and on Postgres; see `support` for how the latter is found.

mod abuse;
mod api;
mod architecture;
mod audit;
mod binary;
mod cleanup;
mod deploy;
mod families;
mod hostile;
mod interop;
mod mail;
mod resilience;
mod standards;
mod store;
mod support;
mod webhook;
