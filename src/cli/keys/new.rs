//! `signet keys new` and `signet keys rotate`.

use std::time::Duration;

use super::{Desk, Failure, text};
use crate::cli::users::forms::duration;
use crate::config::Period;
use crate::token::key_file;
use crate::token::keyring::State;
use crate::token::schedule::{self, DEFAULT_LEAD, MIN_LEAD};

#[derive(clap::Args)]
pub(crate) struct New {
    #[command(flatten)]
    lead: Lead,
    /// Allow less than 15m: verifiers that have cached the JWKS will refuse tokens for a while
    #[arg(long)]
    force: bool,
    /// Do nothing if the folder has a key already
    #[arg(long)]
    if_empty: bool,
}

#[derive(clap::Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    lead: Lead,
    /// Allow less than 15m, and a second key while one is scheduled
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
struct Lead {
    /// How long until the key signs, like 24h
    #[arg(long, value_name = "DURATION", default_value_t = Period(DEFAULT_LEAD), value_parser = period)]
    activate_in: Period,
}

fn period(text: &str) -> Result<Period, &'static str> {
    duration(text).map(Period)
}

impl Lead {
    fn checked(&self, force: bool) -> Result<Duration, Failure> {
        let Period(lead) = self.activate_in;
        if lead < MIN_LEAD && !force {
            let least = text(MIN_LEAD);
            return Err(format!(
                "verifiers need at least {least} to learn of a key before it signs; --force if yours do not"
            )
            .into());
        }
        Ok(lead)
    }
}

pub(super) fn run(desk: &Desk, arguments: &New) -> Result<(), Failure> {
    let Desk { dir, now, .. } = desk;
    let is_empty = !dir.exists() || key_file::read_files(dir)?.is_empty();
    if arguments.if_empty && !is_empty {
        println!("{}: has a key already", dir.display());
        return Ok(());
    }
    let lead = arguments.lead.checked(arguments.force || is_empty)?;
    let key = if is_empty {
        key_file::create(dir, *now, lead)?
    } else {
        key_file::create_at(dir, key_file::after(*now, lead))?
    };
    let from = key.active_from.map(|from| from.to_string()).unwrap_or_default();
    println!("{}  {}  signs from {from}", key.kid, dir.join(&key.file).display());
    Ok(())
}

/// Schedules the successor of the key that signs now.
pub(super) fn rotate(desk: &Desk, arguments: &Rotate) -> Result<(), Failure> {
    let Desk { dir, access_ttl, now } = desk;
    let ring = desk.ring()?;
    let present = ring.signer(*now).ok_or("no key signs now, so there is none to rotate; see `signet keys new`")?.kid;
    let scheduled = ring.list(*now).find(|(_, state)| *state == State::Scheduled);
    if let (Some((key, _)), false) = (scheduled, arguments.force) {
        let from = key.active_from.map(|from| from.to_string()).unwrap_or_default();
        return Err(format!("{} is scheduled already and signs from {from}; --force makes another", key.kid).into());
    }
    let lead = arguments.lead.checked(arguments.force)?;
    let key = key_file::create_at(dir, key_file::after(*now, lead))?;
    let from = key.active_from.expect("the name of its file is a time");
    let until = from + schedule::retention(*access_ttl);
    println!("{}  {}", key.kid, dir.join(&key.file).display());
    println!("  is published from now on and signs from {from}, in {}", text(lead));
    match ring.next_activation(*now).filter(|other| *other < from) {
        None => println!("  {present} signs until then and stays in the JWKS until {until}"),
        Some(other) => {
            println!("  {present} signs until {other}, when another key takes over that was scheduled before")
        }
    }
    Ok(())
}
