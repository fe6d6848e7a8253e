//! `signet check`: everything that would keep `serve` from working, before it is started.

use std::path::Path;
use std::time::Duration;

use super::{Failure, config_of_command};
use crate::app::Listeners;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::migrations::{self, SchemaState};
use crate::db::{Url, server_time};
use crate::token::key_file;
use crate::token::keyring::{CLOCK_SKEW, Keyring};

pub(super) fn run(path: Option<&Path>) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    let mut findings = config.findings();
    findings.extend(of_listeners(&config));
    findings.extend(of_keys(&config));
    if let Ok(url) = config.database.url.0.parse::<Url>() {
        findings.extend(of_database(&url));
    }
    for warning in config.warnings().into_iter().chain(key_warnings(&config)) {
        println!("warning: {warning}");
    }
    for finding in &findings {
        println!("finding: {finding}");
    }
    match findings.len() {
        0 => {
            println!("ok: serve can start");
            Ok(())
        }
        count => Err(format!("{count} finding(s)").into()),
    }
}

fn of_listeners(config: &Config) -> Option<String> {
    Listeners::bind(config).err().map(|error| error.to_string())
}

fn of_keys(config: &Config) -> Option<String> {
    let folder = match key_file::read_folder(&config.keys.dir) {
        Ok(folder) => folder,
        Err(error) => return Some(error.to_string()),
    };
    let ring = Keyring::new(folder.keys, config.token.access_ttl.0);
    let can_sign = ring.signer(Clock::system().now()).is_some();
    (!can_sign).then(|| {
        format!("{}: has no private key that may sign now; make one with `signet keys new`", config.keys.dir.display())
    })
}

fn key_warnings(config: &Config) -> Vec<String> {
    key_file::read_folder(&config.keys.dir).map(|folder| folder.warnings).unwrap_or_default()
}

fn of_database(url: &Url) -> Vec<String> {
    let mut findings = Vec::new();
    match migrations::state(url) {
        Ok(SchemaState::Current) => {}
        Ok(SchemaState::Behind(missing)) => {
            findings.push(format!("the database {url} lacks {missing} migration(s): run `signet migrate`"));
        }
        Ok(SchemaState::Newer(version)) => findings.push(migrations::Error::Newer(version).to_string()),
        Err(error) => {
            findings.push(error.to_string());
            return findings;
        }
    }
    let here = Clock::system().now();
    if let Ok(Some(there)) = server_time(url) {
        let apart = here.since(there).max(there.since(here));
        if apart > CLOCK_SKEW {
            findings.push(format!("this machine's clock and the database's are {} s apart", apart.as_secs()));
        }
    }
    if here.since(RELEASED) == Duration::ZERO {
        findings.push(format!("this machine's clock says {here}, which is before this release was made"));
    }
    findings
}

/// No honest clock is behind this: 2026-11-01.
const RELEASED: crate::clock::Timestamp = crate::clock::Timestamp::from_micros(1_793_491_200_000_000);
