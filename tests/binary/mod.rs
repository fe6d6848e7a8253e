//! The built program, as an operator runs it.

mod check;
mod dev;
mod keys;
mod readme;
mod serve;
mod sessions;
mod traces;
mod users;
