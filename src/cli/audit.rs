//! `signet audit`: list, export and verify the trail.

use std::io::Write;
use std::path::Path;

use super::users::forms::id;
use super::{Failure, block_on, config_of_command, open_database};
use crate::account::UserId;
use crate::audit::EventId;
use crate::audit::export;
use crate::audit::filter::{Filter, is_kind};
use crate::audit::list::read_page;
use crate::audit::verify::{Noted, verify};
use crate::clock::Timestamp;
use crate::db::Db;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Print events as JSON lines, newest first
    List {
        /// Only events that concern the user with this id
        #[arg(long, value_name = "ID", value_parser = id::<UserId>)]
        user: Option<UserId>,
        /// Only what the user with this id did
        #[arg(long, value_name = "ID", value_parser = id::<UserId>)]
        actor: Option<UserId>,
        /// Only events of this kind, such as authn_login_fail
        #[arg(long)]
        kind: Option<String>,
        /// Only events from then on, such as 2026-11-21T10:00:00Z
        #[arg(long, value_name = "TIME")]
        from: Option<Timestamp>,
        /// Only events before then
        #[arg(long, value_name = "TIME")]
        to: Option<Timestamp>,
        /// Only events that are older than the one with this id
        #[arg(long, value_name = "ID", value_parser = id::<EventId>)]
        after: Option<EventId>,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Print everything that is sealed as JSON lines, oldest first
    Export {
        /// Go on after the event with this id, the last one of an earlier export
        #[arg(long, value_name = "ID", value_parser = id::<EventId>)]
        after: Option<EventId>,
    },
    /// Compute the chain over the trail anew and compare; exit code 1 if anything was changed, removed or put in between
    Verify {
        /// A head that was noted earlier, which must still be in the chain; may be given several times
        #[arg(long, value_name = "POSITION:DIGEST")]
        noted: Vec<Noted>,
    },
}

pub(super) fn run(path: Option<&Path>, command: Command) -> Result<(), Failure> {
    let db = open_database(&config_of_command(path)?)?;
    match command {
        Command::List { user, actor, kind, from, to, after, limit } => {
            if kind.as_deref().is_some_and(|kind| !is_kind(kind)) {
                return Err("a kind reads like authn_login_fail".into());
            }
            block_on(print(&db, Filter { user, actor, kind, from, to, before: after }, limit))?
        }
        Command::Export { after } => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            let count = block_on(export::export(&db, after, &mut out))??;
            eprintln!("{count} event(s) exported");
            Ok(())
        }
        Command::Verify { noted } => check(&db, &noted),
    }
}

/// Pages of events, so that any number fits into memory.
async fn print(db: &Db, mut filter: Filter, mut left: usize) -> Result<(), Failure> {
    const PAGE: usize = 500;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    while left > 0 {
        let (events, next) = read_page(db, filter.clone(), left.min(PAGE)).await?;
        for event in &events {
            serde_json::to_writer(&mut out, event)?;
            out.write_all(b"\n")?;
        }
        left -= events.len();
        match next {
            Some(next) => filter.before = Some(next),
            None => break,
        }
    }
    Ok(out.flush()?)
}

fn check(db: &Db, noted: &[Noted]) -> Result<(), Failure> {
    let whole = block_on(verify(db, noted))??;
    println!(
        "{} event(s) checked, from position {} on: nothing was changed, removed or put in between",
        whole.events, whole.first
    );
    match whole.head {
        Some(head) => println!("head {}:{}, sealed {}", head.position, head.digest, head.sealed_at),
        None => println!("nothing is sealed"),
    }
    println!("{} newer event(s) not sealed yet", whole.unsealed);
    for noted in noted.iter().filter(|noted| noted.position + 1 < whole.first) {
        println!("position {} was not compared: retention has removed it", noted.position);
    }
    Ok(())
}
