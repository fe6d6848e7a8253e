//! The built program, as an operator runs it.

mod administration;
mod api_keys;
mod check;
mod dev;
mod healthcheck;
mod import;
mod key_changes;
mod key_folder;
mod keys;
mod mail;
mod mistakes;
mod readme;
mod serve;
mod sessions;
mod shutdown;
mod traces;
mod users;
