//! `signet statistics`: how much of everything there is.

use std::path::Path;

use super::{Failure, block_on, config_of_command, open_database};
use crate::admin::statistics;

pub(super) fn run(path: Option<&Path>) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    let db = open_database(&config)?;
    let counted = block_on(statistics::count(&db, config.cleanup.session_retention.0))??;
    println!("{}", serde_json::to_string_pretty(&counted)?);
    Ok(())
}
