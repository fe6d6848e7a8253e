//! `signet keys prune`: removes what nothing needs any more, and nothing else.

use super::{Desk, Failure};
use crate::clock::Timestamp;
use crate::token::keyring::{Keyring, State};
use crate::token::{key_file, key_folder};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// These only; if one of them is still needed, nothing is removed
    #[arg(allow_hyphen_values = true)]
    kid: Vec<String>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(desk: &Desk, arguments: &Arguments) -> Result<(), Failure> {
    let ring = desk.ring()?;
    for kid in &arguments.kid {
        let (_, state) = ring.list(desk.now).find(|(key, _)| key.kid == *kid).ok_or_else(|| desk.has_no_key(kid))?;
        if let Some(need) = need(state, &ring, desk.now) {
            return Err(format!("{kid} {need}; nothing was removed").into());
        }
    }
    for (key, state) in ring.list(desk.now) {
        match need(state, &ring, desk.now) {
            Some(need) => println!("kept     {}  {}  {need}", key.kid, key.file),
            None if arguments.kid.is_empty() || arguments.kid.contains(&key.kid) => {
                remove(desk, &key.kid, arguments.dry_run)?;
            }
            None => println!("kept     {}  {}  was not named", key.kid, key.file),
        }
    }
    Ok(())
}

/// What a key is still for; `None` if nothing.
fn need(state: State, ring: &Keyring, now: Timestamp) -> Option<String> {
    Some(match state {
        State::Expired => return None,
        State::Signing => match ring.next_activation(now) {
            Some(until) => format!("signs until {until}"),
            None => "signs, and no key is scheduled after it".to_owned(),
        },
        State::Scheduled => "has yet to sign".to_owned(),
        State::Retained(Some(until)) => format!("verifies tokens that may live until {until}"),
        State::Retained(None) => "verifies, and nothing supersedes it".to_owned(),
    })
}

/// A key may be there under several names.
fn remove(desk: &Desk, kid: &str, dry_run: bool) -> Result<(), Failure> {
    for file in key_file::read_files(&desk.dir)?.into_iter().filter(|key| key.kid == kid).map(|key| key.file) {
        if dry_run {
            println!("would go {kid}  {file}");
        } else {
            key_folder::remove(&desk.dir, &file)?;
            println!("removed  {kid}  {file}");
        }
    }
    Ok(())
}
