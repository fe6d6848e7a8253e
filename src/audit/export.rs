//! The trail as JSON lines, in the order of the chain: any amount of it, a page at a time.
//!
//! A line has the event, its place and its digest, so that a copy that is kept elsewhere is also a noted head. Only what is
//! sealed is exported: nothing comes later in front of what was exported already, so an export goes on where the last one
//! ended.

use std::io::Write;

use serde::Serialize;

use super::EventId;
use super::list::AuditEvent;
use super::store;
use crate::db::{self, Db};

/// Links that are read with one statement.
const LOOK: i64 = 500;

/// Why an export ended early; what was written until then is good.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event to go on from is not in the chain.
    #[error("the event {0} is not sealed, or has left by retention")]
    Unknown(EventId),
    /// The database's.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The reader's.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
}

#[derive(Serialize)]
struct Line {
    position: i64,
    digest: String,
    #[serde(flatten)]
    event: AuditEvent,
}

/// Writes everything that is sealed, or what came after `after`; how many events that were.
///
/// # Errors
/// See [`Error`].
pub async fn export(db: &Db, after: Option<EventId>, out: &mut impl Write) -> Result<u64, Error> {
    let (mut position, mut count) = (0, 0);
    if let Some(event) = after {
        let found = db.read("audit.position", move |tx| store::find_position(tx, event)).await?;
        position = found.ok_or(Error::Unknown(event))?;
    }
    loop {
        let links = db.read("audit.export", move |tx| store::read_chain(tx, position, LOOK)).await?;
        if links.is_empty() {
            out.flush()?;
            return Ok(count);
        }
        for (seal, event) in links {
            position = seal.position;
            // One that was removed is `verify`'s to tell of.
            let Some(event) = event else { continue };
            let line = Line { position, digest: seal.digest.to_string(), event: event.into() };
            serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
            count += 1;
        }
    }
}
