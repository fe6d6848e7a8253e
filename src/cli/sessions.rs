//! `signet sessions`: list and end sessions, a user's or everybody's.

use std::path::Path;

use super::users::forms::who;
use super::users::no_such_user;
use super::{Failure, block_on, config_of_command, open_database};
use crate::account::UserId;
use crate::audit::Actor;
use crate::clock::Clock;
use crate::db::Db;
use crate::error::Error;
use crate::http::query::{MAX_LIMIT, Page};
use crate::session::end;
use crate::session::list::{SessionItem, page_of};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List where a user is signed in, the newest first
    List {
        /// The e-mail address or the id of the user
        user: String,
        /// As JSON, one session on each line, for programs
        #[arg(long)]
        json: bool,
    },
    /// End every session of a user, or with --all everybody's, as after the restore of a backup
    End {
        /// The e-mail address or the id of the user
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        user: Option<String>,
        /// Everybody's: all who are signed in now have to log in again
        #[arg(long)]
        all: bool,
    },
}

pub(super) fn run(path: Option<&Path>, command: Command) -> Result<(), Failure> {
    let db = open_database(&config_of_command(path)?)?;
    match command {
        Command::List { user, json } => list(&db, &user, json),
        Command::End { user, .. } => {
            let ended = match user {
                Some(user) => block_on(end::of_user(&db, Actor::operator(), who(&user)?))?.map_err(no_such_user)?,
                None => block_on(end::of_everybody(&db, Clock::system().now()))??,
            };
            println!("{ended} session(s) ended");
            Ok(())
        }
    }
}

fn list(db: &Db, user: &str, json: bool) -> Result<(), Failure> {
    let who = who(user)?;
    let found = block_on(db.read("session.list_of", move |tx| who.find(tx)))??;
    let id: UserId = found.ok_or(Error::NotFound).map_err(no_such_user)?;
    let mut after = None;
    loop {
        let page = block_on(page_of(db, id, Page { after, limit: MAX_LIMIT }, None))??;
        for session in &page.sessions {
            if json { println!("{}", serde_json::to_string(session)?) } else { println!("{}", line(session)) }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn line(session: &SessionItem) -> String {
    let SessionItem { id, client_id, label, last_used_at, expires_at, address, .. } = session;
    let label = label.as_deref().map(|label| format!(" ({label})")).unwrap_or_default();
    let address = address.as_deref().unwrap_or("-");
    format!("{id}  {client_id}{label}  {address}  used {last_used_at}, until {expires_at}")
}
