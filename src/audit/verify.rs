//! Whether the trail is what was sealed: `signet audit verify`.
//!
//! What this proves: nothing between the anchor and the head was changed, removed, put in between or reordered since it was
//! sealed, *unless* whoever did it computed every digest from there on anew. Whoever can write to the database can do that.
//! So it proves more with a head that was noted elsewhere: the chain must still have that digest in that place.

use super::chain::{self, Fields};
use super::seal::Head;
use super::store::{self, Anchor, Recorded, Seal, SealDigest};
use super::{EventId, LATE};
use crate::clock::Timestamp;
use crate::db::{self, Db, Tx};

/// A place in the chain and the digest that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// The place.
    pub position: i64,
    /// What was there.
    pub digest: SealDigest,
}

/// `POSITION:DIGEST`, as it is printed.
impl std::str::FromStr for Noted {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once(':').and_then(|(position, digest)| {
            Some(Self { position: position.parse().ok()?, digest: digest.parse().ok()? })
        });
        parsed.ok_or("reads POSITION:DIGEST, as `signet audit verify` prints the head")
    }
}

/// What was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// Where the chain begins: what was before has left by retention. 1 if nothing has.
    pub first: i64,
    /// How many events were looked at.
    pub events: i64,
    /// Its end; `None` if there is no seal.
    pub head: Option<Head>,
    /// Events that are not sealed yet, about which nothing can be said.
    pub unsealed: usize,
}

/// Why the trail is not what was sealed.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// An event is gone.
    #[error("position {position}: the event {event} was removed")]
    EventRemoved {
        /// Where.
        position: i64,
        /// Which.
        event: EventId,
    },
    /// Links are gone.
    #[error("position {expected}: the seal was removed; the next one is at position {found}")]
    SealRemoved {
        /// What should come.
        expected: i64,
        /// What came.
        found: i64,
    },
    /// The digest is another.
    #[error("position {position}: the event {event} was changed, or is not the one that was sealed here")]
    Differs {
        /// Where.
        position: i64,
        /// Which is there now.
        event: EventId,
    },
    /// The id of an event says another time than the event.
    #[error("position {position}: the event {event} says {at}, and its id another time")]
    Misdated {
        /// Where.
        position: i64,
        /// Which.
        event: EventId,
        /// When it says to have happened.
        at: Timestamp,
    },
    /// An event that is older than what is sealed has no seal.
    #[error(
        "the event {event} ({kind}, {at}) was inserted after its time: everything until then is sealed, and it is not"
    )]
    Inserted {
        /// Which.
        event: EventId,
        /// What it says.
        kind: String,
        /// When it says to have happened.
        at: Timestamp,
    },
    /// A noted head is not in the chain.
    #[error("position {position}: the digest that was noted is not the one that is there: the chain was written anew")]
    OtherChain {
        /// Where.
        position: i64,
    },
    /// A noted head lies beyond the chain.
    #[error("position {position}: was noted, and the chain ends before it: its end was removed")]
    CutOff {
        /// Where.
        position: i64,
    },
    /// The database's.
    #[error(transparent)]
    Database(#[from] db::Error),
}

/// Links that are looked at with one statement.
const LOOK: i64 = 500;

/// Walks over the whole chain.
///
/// # Errors
/// The first thing that is wrong.
pub async fn verify(db: &Db, noted: &[Noted]) -> Result<Whole, Broken> {
    loop {
        let anchor = db.read("audit.anchor", store::find_anchor).await?;
        let outcome = walk(db, &anchor, noted).await;
        // Retention may have taken, meanwhile, what was being looked at.
        if outcome.is_err() && db.read("audit.anchor", store::find_anchor).await? != anchor {
            continue;
        }
        return outcome;
    }
}

async fn walk(db: &Db, anchor: &Anchor, noted: &[Noted]) -> Result<Whole, Broken> {
    let (mut last, mut events) = (Link { position: anchor.position, digest: anchor.digest }, 0);
    let mut head = None;
    last.agrees_with(noted)?;
    loop {
        let after = last.position;
        let links = db.read("audit.verify", move |tx| store::read_chain(tx, after, LOOK)).await?;
        if links.is_empty() {
            break;
        }
        for (seal, event) in &links {
            last = last.next(seal, event.as_ref())?;
            last.agrees_with(noted)?;
            events += 1;
            head = Some(Head::from(*seal));
        }
    }
    if let Some(beyond) = noted.iter().find(|noted| noted.position > last.position) {
        return Err(Broken::CutOff { position: beyond.position });
    }
    let (frontier, unsealed) = db
        .read("audit.unsealed", |tx| {
            let frontier = store::find_frontier(tx, LATE)?;
            Ok((frontier, store::count_unsealed(tx, frontier)?))
        })
        .await?;
    match find_inserted(db, frontier).await? {
        Some(Recorded { id, kind, at, .. }) => Err(Broken::Inserted { event: id, kind, at }),
        None => Ok(Whole { first: anchor.position + 1, events, head, unsealed }),
    }
}

/// The first event that should have a seal and has none.
async fn find_inserted(db: &Db, frontier: EventId) -> Result<Option<Recorded>, Broken> {
    let mut after = EventId::least(Timestamp::from_micros(0));
    loop {
        let look = move |tx: &mut Tx<'_>| store::look_for_never_sealed(tx, after, frontier);
        let Some((last, inserted)) = db.read("audit.look_for_inserted", look).await? else { return Ok(None) };
        after = last;
        if let Some(id) = inserted {
            return Ok(db.read("audit.event", move |tx| store::find_event(tx, id)).await?);
        }
    }
}

/// A place that was reached.
#[derive(Clone, Copy)]
struct Link {
    position: i64,
    digest: SealDigest,
}

impl Link {
    /// The next place, if what is there follows from this one.
    fn next(self, seal: &Seal, event: Option<&Recorded>) -> Result<Self, Broken> {
        let position = self.position + 1;
        if seal.position != position {
            return Err(Broken::SealRemoved { expected: position, found: seal.position });
        }
        let event = event.ok_or(Broken::EventRemoved { position, event: seal.event_id })?;
        let fields = event.fields();
        if chain::link(&self.digest.0, position, seal.sealed_at, &fields) != seal.digest.0 {
            return Err(Broken::Differs { position, event: event.id });
        }
        if !is_dated_well(&fields, event.id) {
            return Err(Broken::Misdated { position, event: event.id, at: event.at });
        }
        Ok(Self { position, digest: seal.digest })
    }

    fn agrees_with(self, noted: &[Noted]) -> Result<(), Broken> {
        let differs = noted.iter().any(|noted| noted.position == self.position && noted.digest != self.digest);
        if differs { Err(Broken::OtherChain { position: self.position }) } else { Ok(()) }
    }
}

/// An id carries its event's millisecond: whoever gives an event of today a time of last year is found out by it.
fn is_dated_well(fields: &Fields<'_>, id: EventId) -> bool {
    fields.at.since(id.time()) < LATE && id.time().since(fields.at) < LATE
}
