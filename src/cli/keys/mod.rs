//! `signet keys`: make, rotate, list, export, prune and revoke signing keys. The folder is all there is; running services
//! follow it.

mod export;
mod list;
mod new;
mod prune;
mod revoke;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Failure, config_of_command};
use crate::clock::{Clock, Timestamp};
use crate::token::key_file;
use crate::token::keyring::Keyring;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a key; it is published at once and signs after a while, so that every verifier knows it by then. The first key
    /// of an empty folder signs at once
    New(new::New),
    /// Make the key that takes over from the present one, and say when it does
    Rotate(new::Rotate),
    /// List the keys, oldest first: id, state, since when, until when, file
    List(list::Arguments),
    /// Remove the files of keys whose tokens have all expired
    Prune(prune::Arguments),
    /// Emergency: drop keys that others may know, at once, and sign with the next one
    Revoke(revoke::Arguments),
    /// Print the public half of a key
    Export(export::Arguments),
}

/// Where the keys are, how long tokens live, and what time it is.
struct Desk {
    dir: PathBuf,
    access_ttl: Duration,
    now: Timestamp,
}

impl Desk {
    fn ring(&self) -> Result<Keyring, Failure> {
        Ok(Keyring::new(key_file::read_folder(&self.dir)?.keys, self.access_ttl))
    }

    fn has_no_key(&self, kid: &str) -> Failure {
        format!("{}: has no key {kid}", self.dir.display()).into()
    }
}

pub(super) fn run(path: Option<&Path>, command: Command) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    let desk = Desk { dir: config.keys.dir, access_ttl: config.token.access_ttl.0, now: Clock::system().now() };
    match command {
        Command::New(arguments) => new::run(&desk, &arguments),
        Command::Rotate(arguments) => new::rotate(&desk, &arguments),
        Command::List(arguments) => list::run(&desk, &arguments),
        Command::Prune(arguments) => prune::run(&desk, &arguments),
        Command::Revoke(arguments) => revoke::run(&desk, &arguments),
        Command::Export(arguments) => export::run(&desk, &arguments),
    }
}

/// As people write it: `24h`, `5m`.
fn text(span: Duration) -> String {
    crate::config::Period(span).to_string()
}
