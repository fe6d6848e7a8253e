//! `signet users import`: users of another service, with the hashes of their passwords, by the hundred thousand.
//!
//! One JSON object a line ([`line`]). What is wrong with a line is told with its number, and the others go in: in batches, so
//! that the memory is bounded and a run that was broken off is run again. An address that has an account is left as it is,
//! so the second run only adds what the first did not reach. A batch is one transaction, or several where the database is slow:
//! each takes what it can in a second, far from the time that any may take.
//!
//! Owns: users.  Emits: UserImported.

mod line;
mod store;

use std::collections::BTreeSet;
use std::io::BufRead;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::QueryResult;

use self::line::{Line, Read};
use self::store::NewRow;
use super::UserId;
use crate::access::role::Roles;
use crate::audit::{self, Event};
use crate::db::{self, Db, Tx};
use crate::http::origin::Origin;

/// Lines that are read before any goes in: some tens of milliseconds of SQLite's only writer.
const BATCH: usize = 500;
/// Lines that go in with one statement for each table.
const CHUNK: usize = 50;
/// A transaction that has lasted so long takes in no further chunk.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// How the lines fared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that were read, blank ones included.
    pub lines: u64,
    /// Users that are there now and were not before.
    pub imported: u64,
    /// Users whose address had an account.
    pub there: u64,
    /// Lines with something wrong.
    pub refused: u64,
}

/// What is told while it goes on.
#[derive(Debug)]
pub enum Told<'a> {
    /// This line is not taken in. Nothing of it is quoted but the names of its fields.
    Refused {
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        why: &'a str,
    },
    /// A batch is in.
    Progress(Counts),
}

/// What ends it before the last line.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The input's.
    #[error("stopped after line {after}: the input cannot be read: {error}")]
    Input {
        /// Everything up to here is in.
        after: u64,
        /// Why.
        error: std::io::Error,
    },
    /// The database's.
    #[error("stopped after line {after}: {error}; run it again to go on")]
    Database {
        /// Everything up to here is in.
        after: u64,
        /// Why.
        error: db::Error,
    },
}

/// What becomes of good lines.
#[derive(Clone)]
pub struct Terms {
    /// The hash of a password that nobody knows, for users who come without.
    pub nobodys_hash: Arc<str>,
    /// Only look what would be.
    pub is_dry_run: bool,
}

/// Takes users in until the input ends.
///
/// # Errors
/// See [`Failure`]: what is in stays in.
pub async fn import(
    db: &Db,
    mut input: impl BufRead,
    terms: &Terms,
    mut tell: impl FnMut(Told<'_>),
) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    loop {
        let after = counts.lines;
        let mut batch = Vec::with_capacity(BATCH);
        let mut is_over = false;
        while batch.len() < BATCH && !is_over {
            match line::read(&mut input).map_err(|error| Failure::Input { after, error })? {
                Read::End => is_over = true,
                Read::Blank => counts.lines += 1,
                Read::Line(line) => {
                    counts.lines += 1;
                    batch.push((counts.lines, *line));
                }
                Read::Refused(why) => {
                    counts.lines += 1;
                    counts.refused += 1;
                    tell(Told::Refused { line: counts.lines, why: &why });
                }
            }
        }
        let (numbers, lines): (Vec<u64>, Vec<Line>) = batch.into_iter().unzip();
        let (fates, ended) = take_in_all(db, lines, terms).await;
        let reached = numbers.get(fates.len()).copied();
        for (line, fate) in numbers.into_iter().zip(fates) {
            match fate {
                Fate::Imported => counts.imported += 1,
                Fate::There => counts.there += 1,
                Fate::IdTaken => {
                    counts.refused += 1;
                    tell(Told::Refused { line, why: "id: another user has it" });
                }
            }
        }
        ended.map_err(|error| Failure::Database { after: reached.map_or(after, |line| line - 1), error })?;
        tell(Told::Progress(counts));
        if is_over {
            return Ok(counts);
        }
    }
}

/// What became of a good line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Imported,
    There,
    IdTaken,
}

/// Takes in good lines; what became of those that were reached.
async fn take_in_all(db: &Db, lines: Vec<Line>, terms: &Terms) -> (Vec<Fate>, Result<(), db::Error>) {
    let lines = Arc::new(lines);
    let mut fates = Vec::with_capacity(lines.len());
    while fates.len() < lines.len() {
        match take_in(db, Arc::clone(&lines), fates.len(), terms).await {
            Ok(more) => fates.extend(more),
            Err(error) => return (fates, Err(error)),
        }
    }
    (fates, Ok(()))
}

/// Takes in some of the lines from `begin` on, at least a chunk.
async fn take_in(db: &Db, lines: Arc<Vec<Line>>, begin: usize, terms: &Terms) -> Result<Vec<Fate>, db::Error> {
    if terms.is_dry_run {
        return db.read("account.import", move |tx| foresee(tx, &lines[begin..])).await;
    }
    let nobodys_hash = Arc::clone(&terms.nobodys_hash);
    db.tx("account.import", move |tx| {
        let begun = Instant::now();
        let mut fates = Vec::new();
        for chunk in lines[begin..].chunks(CHUNK) {
            fates.extend(insert(tx, chunk, &nobodys_hash)?);
            if begun.elapsed() >= LONG_ENOUGH {
                break;
            }
        }
        Ok(fates)
    })
    .await
}

fn foresee(tx: &mut Tx<'_>, lines: &[Line]) -> QueryResult<Vec<Fate>> {
    let keys: Vec<&str> = lines.iter().map(|line| line.email.key()).collect();
    let there: BTreeSet<String> = store::find_keys(tx, &keys)?.into_iter().collect();
    let fate = |key: &str| if there.contains(key) { Fate::There } else { Fate::Imported };
    Ok(lines.iter().map(|line| fate(line.email.key())).collect())
}

fn insert(tx: &mut Tx<'_>, lines: &[Line], nobodys_hash: &str) -> QueryResult<Vec<Fate>> {
    let now = tx.now;
    let rows: Vec<NewRow<'_>> = lines
        .iter()
        .map(|line| NewRow {
            id: line.id.map_or_else(|| UserId::new(now), |id| id.0),
            email: line.email.address(),
            email_key: line.email.key(),
            name: line.name.as_ref().map(|name| name.as_str()),
            password_hash: line
                .password_hash
                .as_ref()
                .map_or_else(|| nobodys_hash.to_owned(), |hash| hash.0.to_column()),
            roles: line.roles.as_ref().map_or_else(Roles::user, |roles| roles.0.clone()),
            is_active: !line.disabled.unwrap_or_default(),
            is_verified: line.email_verified.unwrap_or_default(),
            access_version: 0,
            // Nobody came here before there was time.
            created_at: line.created_at.map_or(now, |created| created.0.min(now)),
        })
        .collect();
    let mut inserted: BTreeSet<UserId> = store::insert_new(tx, &rows)?.into_iter().collect();
    let left: Vec<&str> = rows.iter().filter(|row| !inserted.contains(&row.id)).map(|row| row.email_key).collect();
    let there: BTreeSet<String> =
        if left.is_empty() { BTreeSet::new() } else { store::find_keys(tx, &left)?.into_iter().collect() };
    let (mut fates, mut events) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        // Removed, because an id that comes twice was inserted once.
        fates.push(if inserted.remove(&row.id) {
            events.push(Event::UserImported { user: row.id, roles: row.roles.clone() });
            Fate::Imported
        } else if there.contains(row.email_key) {
            Fate::There
        } else {
            Fate::IdTaken
        });
    }
    if !events.is_empty() {
        audit::record_all(tx, &Origin::command_line(), &events)?;
    }
    Ok(fates)
}
