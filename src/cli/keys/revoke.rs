//! `signet keys revoke`: what was signed by a key that others may know must not count any more, now.
//!
//! The order of the steps is what makes it safe to be killed at any of them: the next signer is in the folder before the
//! revoked one leaves it, and each step is one rename. Whoever runs the command again finishes it.

use std::io::BufRead;
use std::time::Duration;

use super::{Desk, Failure, text};
use crate::clock::{Clock, Timestamp};
use crate::token::keyring::{Key, Keyring, State};
use crate::token::schedule::{CLOCK_SKEW, JWKS_MAX_AGE, JWKS_STALE_IF_ERROR, KEY_POLL};
use crate::token::{key_file, key_folder};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which; all that leaked, the scheduled one included
    #[arg(required = true, allow_hyphen_values = true)]
    kid: Vec<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Who signs when the revoked keys are gone.
enum Next {
    /// Whoever signs now: it is not among them.
    Unchanged,
    /// A scheduled key, before its time. Verifiers know it.
    Scheduled(String, String),
    /// A key that nobody knows yet.
    Fresh,
    /// Nothing signed before either.
    Nobody,
}

pub(super) fn run(desk: &Desk, arguments: &Arguments) -> Result<(), Failure> {
    // A folder in which a file is broken ends here: no running service would take the change either.
    let (doomed, rest): (Vec<Key>, Vec<Key>) =
        key_file::read_files(&desk.dir)?.into_iter().partition(|key| arguments.kid.contains(&key.kid));
    let revoked = key_file::read_revoked(&desk.dir)?;
    for kid in arguments.kid.iter().filter(|kid| !doomed.iter().any(|key| key.kid == **kid)) {
        if !revoked.iter().any(|key| key.kid == *kid) {
            return Err(desk.has_no_key(kid));
        }
        println!("{kid} was revoked before");
    }
    if doomed.is_empty() {
        return Ok(());
    }
    let next = next(desk, &doomed, &rest)?;
    print!("{}", consequences(desk, &doomed, &next));
    if !arguments.yes && !confirmed()? {
        return Err("nothing was done".into());
    }
    bring_forward(desk, &next, &rest)?;
    for key in &doomed {
        let name = free_name(desk, &key.file);
        key_folder::rename(&desk.dir, &key.file, &name)?;
        println!("revoked  {}  {name}", key.kid);
    }
    match desk.ring()?.signer(Clock::system().now()) {
        Some(signer) => println!("signing  {}", signer.kid),
        None => println!("no key signs: make one with `signet keys new`"),
    }
    Ok(())
}

fn next(desk: &Desk, doomed: &[Key], rest: &[Key]) -> Result<Next, Failure> {
    let ring = desk.ring()?;
    let Some(signer) = ring.signer(desk.now) else { return Ok(Next::Nobody) };
    if !doomed.iter().any(|key| key.kid == signer.kid) {
        return Ok(Next::Unchanged);
    }
    let remaining = Keyring::new(rest.to_vec(), desk.access_ttl);
    let soonest = remaining.list(desk.now).find(|(_, state)| *state == State::Scheduled);
    Ok(soonest.map_or(Next::Fresh, |(key, _)| Next::Scheduled(key.kid.clone(), key.file.clone())))
}

/// Makes sure that one of the keys that stay signs as soon as the others are gone.
fn bring_forward(desk: &Desk, next: &Next, rest: &[Key]) -> Result<(), Failure> {
    match next {
        Next::Unchanged | Next::Nobody => {}
        Next::Scheduled(_, file) => {
            key_folder::rename(&desk.dir, file, &key_file::file_name(free_time(desk, rest)))?;
        }
        Next::Fresh => drop(key_file::create_at(&desk.dir, free_time(desk, rest))?),
    }
    Ok(())
}

/// A time that has come, on clocks that are behind ours too, and later than that of any other key that stays: or else an
/// instance would find nobody to sign and keep what it has. Waits for it if need be.
fn free_time(desk: &Desk, rest: &[Key]) -> Timestamp {
    const SECOND: Duration = Duration::from_secs(1);
    let active = rest.iter().filter(|key| key.signing.is_some()).filter_map(|key| key.active_from);
    let newest = active.filter(|from| *from <= desk.now).max();
    let mut time = newest.map_or(desk.now - CLOCK_SKEW, |newest| (newest + SECOND).max(desk.now - CLOCK_SKEW));
    while desk.dir.join(key_file::file_name(time)).exists() {
        time = time + SECOND;
    }
    std::thread::sleep(time.since(desk.now));
    time
}

/// The file stays, where no ring sees it: one rename is the whole revocation, it can be undone by another, and whoever
/// investigates has the key at hand.
fn free_name(desk: &Desk, file: &str) -> String {
    let numbered = (2_u32..).map(|number| format!("{file}.{number}{}", key_file::REVOKED));
    let mut names = std::iter::once(format!("{file}{}", key_file::REVOKED)).chain(numbered);
    names.find(|name| !desk.dir.join(name).exists()).expect("there are more names than files")
}

fn consequences(desk: &Desk, doomed: &[Key], next: &Next) -> String {
    let line = |key: &Key| format!("{}  {}  will be revoked:\n", key.kid, desk.dir.join(&key.file).display());
    let doomed: String = doomed.iter().map(line).collect();
    let [poll, fresh, stale] = [KEY_POLL, JWKS_MAX_AGE, JWKS_MAX_AGE + JWKS_STALE_IF_ERROR].map(text);
    let next = match next {
        Next::Unchanged => "It does not sign now. What signs goes on.".to_owned(),
        Next::Nobody => "No key signs now, and none will.".to_owned(),
        Next::Scheduled(kid, _) => format!(
            "{kid} signs from now on, before its time.
  Whoever fetched the JWKS since it was made knows it already."
        ),
        Next::Fresh => format!(
            "A new key signs from now on, and no verifier knows it. Those that do not look for an unknown key refuse
  new tokens until they fetch the JWKS: for up to {fresh}, or as their own cache says. Instances that have not
  read the folder yet refuse them for up to {poll}. That cannot be waited for."
        ),
    };
    format!(
        "{doomed}\
- Every instance that sees this folder drops it within {poll}, at once on SIGHUP: it leaves the JWKS, and Signet
  refuses whatever it signed. Nobody is signed out: a refresh gives a token of the key that signs then.
- Other services accept what it signed until they fetch the JWKS again: for up to {fresh} if they obey our headers
  ({stale} while they cannot reach us), for as long as their own cache says otherwise. A day is common, and some
  keep a key until they are restarted. Restart those that matter.
- {next}
"
    )
}

fn confirmed() -> Result<bool, Failure> {
    println!("Type yes to go on:");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == "yes")
}
