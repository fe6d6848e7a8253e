//! `signet check`: everything that would keep `serve` from working, before it is started.

use std::path::Path;
use std::time::Duration;

use super::{Failure, config_of_command};
use crate::app::Listeners;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::migrations;
use crate::db::{Url, server_time};
use crate::token::key_file;
use crate::token::keyring::CLOCK_SKEW;
use crate::token::keys;

pub(super) fn run(path: Option<&Path>) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    let mut findings = config.findings();
    findings.extend(of_listeners(&config));
    let mut warnings = config.warnings();
    match key_file::read_folder(&config.keys.dir) {
        Ok(folder) => {
            warnings.extend(folder.warnings);
            let (dir, now) = (&config.keys.dir, Clock::system().now());
            let ring = keys::signing_ring(dir, folder.keys, config.token.access_ttl.0, now);
            findings.extend(ring.err().map(|error| error.to_string()));
        }
        Err(error) => findings.push(error.to_string()),
    }
    if let Ok(url) = config.database.url.0.parse::<Url>() {
        findings.extend(of_database(&url));
    }
    for warning in warnings {
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

fn of_database(url: &Url) -> Vec<String> {
    let schema = migrations::require_current(url);
    let is_reachable = !matches!(schema, Err(migrations::Error::Connect { .. } | migrations::Error::Failed(_)));
    let mut findings: Vec<String> = schema.err().map(|error| error.to_string()).into_iter().collect();
    if !is_reachable {
        return findings;
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
