//! `signet sessions`: end sessions, a user's or everybody's.

use std::path::Path;

use super::users::{address, no_such_user};
use super::{Failure, block_on, config_of_command, open_database};
use crate::audit::Actor;
use crate::clock::Clock;
use crate::session::end;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// End every session of a user, or with --all everybody's, as after the restore of a backup
    End {
        /// The e-mail address of the user
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        email: Option<String>,
        /// Everybody's: all who are signed in now have to log in again
        #[arg(long)]
        all: bool,
    },
}

pub(super) fn run(path: Option<&Path>, command: Command) -> Result<(), Failure> {
    let db = open_database(&config_of_command(path)?)?;
    let Command::End { email, .. } = command;
    let ended = match email {
        Some(email) => block_on(end::of_user(&db, Actor::operator(), address(&email)?))?.map_err(no_such_user)?,
        None => block_on(end::of_everybody(&db, Clock::system().now()))??,
    };
    println!("{ended} session(s) ended");
    Ok(())
}
