//! The built program, as an operator runs it.

mod check;
mod dev;
mod keys;
mod program;
mod readme;
mod serve;
mod users;
