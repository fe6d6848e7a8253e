//! What a caller may do: pure rules, known to neither HTTP nor the database.

mod caller;
pub mod rights;
pub mod role;
pub mod scope;
pub mod step_up;

pub use caller::{Caller, NoAdministrator};
