//! The built program, as an operator runs it.

mod check;
mod dev;
mod healthcheck;
mod keys;
mod readme;
mod serve;
mod sessions;
mod shutdown;
mod traces;
mod users;
