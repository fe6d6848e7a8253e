//! `signet mfa`: the keys that second factors are sealed with.

use std::path::Path;
use std::sync::Arc;

use super::{Failure, block_on, config_of_command, open_database};
use crate::audit::Actor;
use crate::mfa::reseal::{Counts, reseal};
use crate::mfa::seal::SealingKeys;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Seal the secrets of all second factors with `mfa.secret_key`, so that those in `mfa.older_secret_keys` can go; may be
    /// run while the service does, and again after a failure
    Reseal,
}

pub(super) fn run(path: Option<&Path>, command: Command) -> Result<(), Failure> {
    let Command::Reseal = command;
    let config = config_of_command(path)?;
    if let Some(finding) = config.findings().into_iter().find(|finding| finding.starts_with("mfa.")) {
        return Err(finding.into());
    }
    let keys = SealingKeys::of(&config.mfa);
    if !keys.is_open() {
        return Err("mfa.secret_key is not set, so there is nothing to seal with".into());
    }
    let db = open_database(&config)?;
    let progress = |counts: Counts| eprintln!("{} of {} sealed anew", counts.resealed, counts.all());
    let counts = block_on(reseal(&db, Arc::new(keys), Actor::operator(), progress))??;
    println!("{} sealed anew, {} were sealed with this key", counts.resealed, counts.current);
    match counts.unopened {
        0 => Ok(()),
        unopened => Err(format!(
            "{unopened} of {} cannot be opened: the key that they were sealed with is not in mfa.older_secret_keys",
            counts.all()
        )
        .into()),
    }
}
