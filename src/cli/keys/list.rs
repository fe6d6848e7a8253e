//! `signet keys list`.

use serde::Serialize;

use super::{Desk, Failure};
use crate::clock::Timestamp;
use crate::token::key_file;
use crate::token::keyring::{Keyring, State};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// One key. `until` is when the one that signs stops signing, or when a superseded one leaves the JWKS.
#[derive(Serialize)]
struct Row {
    kid: String,
    state: &'static str,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    file: String,
}

pub(super) fn run(desk: &Desk, arguments: &Arguments) -> Result<(), Failure> {
    let mut rows = rows(&desk.ring()?, desk.now);
    rows.extend(key_file::read_revoked(&desk.dir)?.into_iter().map(|key| Row {
        kid: key.kid,
        state: "revoked",
        since: key.active_from,
        until: None,
        file: key.file,
    }));
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!("{:<43}  {:<9}  {:<20}  {:<20}  FILE", "KID", "STATE", "SINCE", "UNTIL");
    for Row { kid, state, since, until, file } in rows {
        println!("{kid:<43}  {state:<9}  {:<20}  {:<20}  {file}", or_dash(since), or_dash(until));
    }
    Ok(())
}

fn rows(ring: &Keyring, now: Timestamp) -> Vec<Row> {
    let row = |(key, state): (&crate::token::keyring::Key, State)| Row {
        kid: key.kid.clone(),
        state: state.as_str(),
        since: key.active_from,
        until: ring.until(state, now),
        file: key.file.clone(),
    };
    ring.list(now).map(row).collect()
}

fn or_dash(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
}
