//! `signet keys`: make, list and export signing keys. The folder is all there is; a running service follows it.

use std::path::Path;
use std::time::Duration;

use super::{Failure, config_of_command};
use crate::clock::Clock;
use crate::token::jwks::Jwk;
use crate::token::key_file;
use crate::token::keyring::{Keyring, State};

/// A key that is published later than this before it signs is unknown to some verifiers when it does: several look
/// again only after ten minutes.
const MIN_LEAD: Duration = Duration::from_secs(15 * 60);

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a key; it is published at once and signs after a while, so that every verifier knows it by then
    New {
        /// How long until it signs, like 24h; the first key of an empty folder signs at once
        #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
        activate_in: Duration,
        /// Allow less than 15m: verifiers that have cached the JWKS will refuse tokens for a while
        #[arg(long)]
        force: bool,
        /// Do nothing if the folder has a key already
        #[arg(long)]
        if_empty: bool,
    },
    /// List the keys, oldest first: id, state, since when, until when, file
    List,
    /// Print the public half of a key
    Export {
        /// Which; the one that signs now if none is named
        #[arg(allow_hyphen_values = true)]
        kid: Option<String>,
        /// As PEM or as a JWK
        #[arg(long, value_enum, default_value_t = Format::Pem)]
        format: Format,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Format {
    Pem,
    Jwk,
}

pub(super) fn run(path: Option<&Path>, command: Command) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    let dir = &config.keys.dir;
    let now = Clock::system().now();
    let ring = || -> Result<Keyring, Failure> {
        Ok(Keyring::new(key_file::read_folder(dir)?.keys, config.token.access_ttl.0))
    };
    match command {
        Command::New { activate_in, force, if_empty } => {
            let is_empty = !dir.exists() || key_file::read_folder(dir)?.keys.is_empty();
            if if_empty && !is_empty {
                println!("{}: has a key already", dir.display());
                return Ok(());
            }
            if activate_in < MIN_LEAD && !is_empty && !force {
                return Err(
                    "verifiers need at least 15m to learn of a key before it signs; --force if yours do not".into()
                );
            }
            let key = key_file::create(dir, now, activate_in)?;
            let from = key.active_from.map(|from| from.to_string()).unwrap_or_default();
            println!("{}  {}  signs from {from}", key.kid, dir.join(&key.file).display());
        }
        Command::List => {
            println!("{:<43}  {:<9}  {:<20}  {:<20}  FILE", "KID", "STATE", "SINCE", "UNTIL");
            let time =
                |time: Option<crate::clock::Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
            for (key, state) in ring()?.list(now) {
                let until = if let State::Retained(until) = state { until } else { None };
                let (since, until) = (time(key.active_from), time(until));
                println!("{:<43}  {:<9}  {since:<20}  {until:<20}  {}", key.kid, state.as_str(), key.file);
            }
        }
        Command::Export { kid, format } => {
            let ring = ring()?;
            let kid = match kid {
                Some(kid) => kid,
                None => ring.signer(now).ok_or("no key may sign now; name one")?.kid.to_owned(),
            };
            let found = ring.list(now).find(|(key, _)| key.kid == kid);
            let (key, _) = found.ok_or_else(|| format!("{}: has no key {kid}", dir.display()))?;
            match format {
                Format::Pem => print!("{}", key_file::public_pem(key)),
                Format::Jwk => println!("{}", serde_json::to_string(&Jwk::from(key))?),
            }
        }
    }
    Ok(())
}
