//! What a caller may do: pure rules, known to neither HTTP nor the database.

mod caller;
pub mod role;
pub mod scope;

pub use caller::{Caller, NoAdministrator};
