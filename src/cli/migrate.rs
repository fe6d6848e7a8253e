//! `signet migrate`: apply what the database's schema lacks.

use std::path::Path;

use super::{Failure, config_of_command, url_of};
use crate::db::migrations;

pub(super) fn run(path: Option<&Path>) -> Result<(), Failure> {
    let url = url_of(&config_of_command(path)?)?;
    let applied = migrations::migrate(&url)?;
    match applied.as_slice() {
        [] => println!("{url}: nothing to do"),
        versions => println!("{url}: applied {}", versions.join(", ")),
    }
    Ok(())
}
