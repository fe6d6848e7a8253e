//! The built program, as an operator runs it.

mod check;
mod dev;
mod keys;
pub mod program;
mod readme;
mod serve;
mod users;
