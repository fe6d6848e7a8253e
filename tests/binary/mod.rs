//! The built program, as an operator runs it.

mod administration;
mod check;
mod dev;
mod healthcheck;
mod key_changes;
mod key_folder;
mod keys;
mod mail;
mod readme;
mod serve;
mod sessions;
mod shutdown;
mod traces;
mod users;
