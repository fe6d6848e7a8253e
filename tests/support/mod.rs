//! What tests stand on: a throw-away Postgres, services to talk to, a client to talk with.

pub mod client;
pub mod collector;
pub mod mailbox;
pub mod personal;
pub mod phone;
pub mod ports;
pub mod postgres;
pub mod program;
pub mod prometheus;
pub mod secrets;
pub mod server;
pub mod token;
pub mod wait;

use std::io::Write;

pub use client::{Answer, Client};
pub use serde_json::{Value, json};
pub use server::{Backend, Server};

/// Runs each test on both databases, as `NAME::sqlite` and `NAME::postgres`.
macro_rules! on_both {
    ($($(#[$meta:meta])* fn $name:ident($backend:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            fn test($backend: Backend) $body

            #[test]
            fn sqlite() {
                test(Backend::Sqlite)
            }

            #[test]
            fn postgres() {
                if crate::support::postgres::is_available() {
                    test(Backend::Postgres)
                }
            }
        }
    )*};
}
pub(crate) use on_both;

/// A password that the rules accept.
pub const PASSWORD: &str = "correct horse battery";

/// Runs something asynchronous to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Straight to standard error, where the test runner does not swallow it.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "\n{line}\n");
}
