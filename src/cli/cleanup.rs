//! `signet cleanup`: remove what is over, once and now.

use std::path::Path;

use super::{Failure, block_on, config_of_command, open_database};
use crate::cleanup;
use crate::clock::Clock;
use crate::metrics::Metrics;

pub(super) fn run(path: Option<&Path>) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    // A retention that `serve` refuses must not be obeyed here either.
    if let Some(finding) = config.findings().into_iter().find(|finding| finding.starts_with("cleanup.")) {
        return Err(finding.into());
    }
    let db = open_database(&config)?;
    match block_on(cleanup::pass(&db, &config, &Clock::system(), &Metrics::default()))?? {
        Some(removed) => println!("removed: {removed}"),
        None => println!("nothing done: another instance is at it"),
    }
    Ok(())
}
