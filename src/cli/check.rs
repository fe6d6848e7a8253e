//! `signet check`: everything that would keep `serve` from working, before it is started.

use std::path::Path;

use super::{Failure, config_of_command};
use crate::account::breached::Breached;
use crate::app::Listeners;
use crate::clock::{Clock, Timestamp, disagreement};
use crate::config::{Config, one_line};
use crate::db::{self, Url};
use crate::machine;
use crate::mail::Mail;
use crate::token::key_file;
use crate::token::keys;

/// What was found, one line each.
#[derive(Default)]
struct Found {
    errors: Vec<String>,
    warnings: Vec<String>,
}

pub(super) fn run(path: Option<&Path>) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    let now = Clock::system().now();
    let mut found = Found { errors: config.findings(), warnings: config.warnings() };
    found.errors.extend(machine::findings(&config, now));
    if found.errors.is_empty() {
        found.errors.extend(Mail::open(&config).err());
    }
    found.errors.extend(Breached::open(&config.password.breached_file).err());
    found.errors.extend(Listeners::bind(&config).err().map(|error| error.to_string()));
    look_at_keys(&config, now, &mut found);
    if let Ok(url) = config.database.url.0.parse::<Url>() {
        look_at_database(&config, &url, now, &mut found);
    }
    for warning in &found.warnings {
        println!("warning: {}", one_line(warning));
    }
    for error in &found.errors {
        println!("finding: {}", one_line(error));
    }
    match found.errors.len() {
        0 => {
            println!("ok: serve can start");
            Ok(())
        }
        count => Err(format!("{count} finding(s)").into()),
    }
}

fn look_at_keys(config: &Config, now: Timestamp, found: &mut Found) {
    match key_file::read_folder(&config.keys.dir) {
        Ok(folder) => {
            found.warnings.extend(folder.warnings);
            let ring = keys::signing_ring(&config.keys.dir, folder.keys, config.token.access_ttl.0, now);
            found.errors.extend(ring.err().map(|error| error.to_string()));
        }
        Err(error) => found.errors.push(error.to_string()),
    }
}

fn look_at_database(config: &Config, url: &Url, now: Timestamp, found: &mut Found) {
    match db::inspect(url, config.database.pool_size) {
        Err(error) => found.errors.push(error.to_string()),
        Ok(inspection) => {
            found.errors.extend(inspection.schema.require_current(url).err().map(|error| error.to_string()));
            found.errors.extend(inspection.errors);
            found.warnings.extend(inspection.warnings);
            // `serve` only warns of this: when the server's clock is wrong the instances still agree with each other.
            let apart = inspection.time.and_then(|time| disagreement(time.as_seconds() - now.as_seconds()));
            found.errors.extend(apart);
        }
    }
}
