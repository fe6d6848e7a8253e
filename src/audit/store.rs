//! The queries on the trail and its chain: `audit_events`, `audit_seals` and `audit_anchors`.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel::prelude::*;

use super::EventId;
use super::chain::{self, Fields};
use super::filter::Filter;
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::db::schema::{audit_anchors, audit_events, audit_seals};
use crate::db::types::{Document, bytes_column};
use crate::db::{Tx, on};
use crate::session::SessionId;

bytes_column! {
    /// The digest of a seal.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct SealDigest(pub(super) [u8; 32]);
}

impl std::fmt::Display for SealDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for SealDigest {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        for (byte, place) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[place..place + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(digest))
    }
}

/// An event as it was recorded.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = audit_events)]
pub(super) struct Recorded {
    pub(super) id: EventId,
    pub(super) at: Timestamp,
    pub(super) kind: String,
    pub(super) subject: Option<UserId>,
    pub(super) actor: Option<UserId>,
    pub(super) session_id: Option<SessionId>,
    pub(super) address: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) detail: Document,
}

impl Recorded {
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields {
            id: self.id.to_bytes(),
            at: self.at,
            kind: &self.kind,
            subject: self.subject.map(UserId::to_bytes),
            actor: self.actor.map(UserId::to_bytes),
            session: self.session_id.map(SessionId::to_bytes),
            address: self.address.as_deref(),
            user_agent: self.user_agent.as_deref(),
            request_id: self.request_id.as_deref(),
            detail: &self.detail.0,
        }
    }
}

/// A link of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = audit_seals)]
pub(super) struct Seal {
    pub(super) position: i64,
    pub(super) event_id: EventId,
    pub(super) digest: SealDigest,
    pub(super) sealed_at: Timestamp,
}

/// Where the chain begins: after what retention has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = audit_anchors)]
pub(super) struct Anchor {
    pub(super) position: i64,
    pub(super) digest: SealDigest,
    pub(super) removed_before: Timestamp,
}

impl Anchor {
    /// Before retention has taken anything.
    const NONE: Self =
        Self { position: 0, digest: SealDigest(chain::BEGINNING), removed_before: Timestamp::from_micros(0) };
}

/// The only row of `audit_anchors`.
const ANCHOR: i64 = 1;

pub(super) fn find_anchor(tx: &mut Tx<'_>) -> QueryResult<Anchor> {
    let query = audit_anchors::table.find(ANCHOR);
    let found: Option<Anchor> = on!(tx.conn, |c| query.select(Anchor::as_select()).first(c).optional())?;
    Ok(found.unwrap_or(Anchor::NONE))
}

fn upsert_anchor(tx: &mut Tx<'_>, anchor: &Anchor) -> QueryResult<()> {
    let set = (
        audit_anchors::position.eq(anchor.position),
        audit_anchors::digest.eq(anchor.digest),
        audit_anchors::removed_before.eq(anchor.removed_before),
    );
    let insert = diesel::insert_into(audit_anchors::table)
        .values((audit_anchors::id.eq(ANCHOR), set))
        .on_conflict(audit_anchors::id)
        .do_update()
        .set(set);
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

/// The last link of the chain, if any is left.
pub(super) fn find_head(tx: &mut Tx<'_>) -> QueryResult<Option<Seal>> {
    let query = audit_seals::table.order(audit_seals::position.desc());
    on!(tx.conn, |c| query.select(Seal::as_select()).first(c).optional())
}

/// From which id on there may be events without a seal, if none commits later than `behind` after its time. Beyond [`LATE`](super::LATE) none is
/// sealed: earlier than that, nothing is ever added to what is sealed.
pub(super) fn find_frontier(tx: &mut Tx<'_>, behind: Duration) -> QueryResult<EventId> {
    let query = audit_seals::table.order(audit_seals::event_id.desc()).select(audit_seals::event_id);
    let newest: Option<EventId> = on!(tx.conn, |c| query.first(c).optional())?;
    let newest = newest.map_or(Timestamp::from_micros(0), EventId::time);
    Ok(EventId::least(newest.min(tx.now) - behind))
}

/// The ids of a page of events after `after` and before `until` that have no seal, and where the page ends; nothing if there is no
/// event any more.
///
/// Two ranges of two indexes, compared here: asked for what the one has and the other has not, Postgres may read both tables
/// whole, since it cannot know how short the ranges are.
fn page_of_unsealed(tx: &mut Tx<'_>, after: EventId, until: EventId) -> QueryResult<Option<(EventId, Vec<EventId>)>> {
    let events = audit_events::table
        .filter(audit_events::id.gt(after))
        .filter(audit_events::id.lt(until))
        .order(audit_events::id)
        .limit(PAGE)
        .select(audit_events::id);
    let events: Vec<EventId> = on!(tx.conn, |c| events.load(c))?;
    let Some(last) = events.last().copied() else { return Ok(None) };
    let sealed = audit_seals::table
        .filter(audit_seals::event_id.gt(after))
        .filter(audit_seals::event_id.le(last))
        .order(audit_seals::event_id)
        .select(audit_seals::event_id);
    let sealed: BTreeSet<EventId> = on!(tx.conn, |c| sealed.load(c))?.into_iter().collect();
    Ok(Some((last, events.into_iter().filter(|id| !sealed.contains(id)).collect())))
}

/// Events that are looked at with one statement.
const PAGE: i64 = 2_000;

/// Later than every event: the year 9999.
fn end_of_time() -> EventId {
    EventId::least(Timestamp::from_micros(253_402_300_799_000_000))
}

/// The first `limit` events from `frontier` on that have no seal.
pub(super) fn look_for_unsealed(tx: &mut Tx<'_>, frontier: EventId, limit: usize) -> QueryResult<Vec<EventId>> {
    let (mut after, mut unsealed) = (frontier, Vec::new());
    while unsealed.len() < limit {
        let Some((last, ids)) = page_of_unsealed(tx, after, end_of_time())? else { break };
        unsealed.extend(ids);
        after = last;
    }
    unsealed.truncate(limit);
    Ok(unsealed)
}

/// Those of the events that are still there and still have no seal, by id.
pub(super) fn find_unsealed(tx: &mut Tx<'_>, ids: &[EventId]) -> QueryResult<Vec<Recorded>> {
    let sealed = audit_seals::table.filter(audit_seals::event_id.eq_any(ids)).select(audit_seals::event_id);
    let sealed: BTreeSet<EventId> = on!(tx.conn, |c| sealed.load(c))?.into_iter().collect();
    let events = audit_events::table.filter(audit_events::id.eq_any(ids)).order(audit_events::id);
    let events: Vec<Recorded> = on!(tx.conn, |c| events.select(Recorded::as_select()).load(c))?;
    Ok(events.into_iter().filter(|event| !sealed.contains(&event.id)).collect())
}

pub(super) fn insert_seals(tx: &mut Tx<'_>, seals: &[Seal]) -> QueryResult<()> {
    let row = |seal: &Seal| {
        (
            audit_seals::position.eq(seal.position),
            audit_seals::event_id.eq(seal.event_id),
            audit_seals::digest.eq(seal.digest),
            audit_seals::sealed_at.eq(seal.sealed_at),
        )
    };
    let rows: Vec<_> = seals.iter().map(row).collect();
    let insert = diesel::insert_into(audit_seals::table).values(&rows);
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

/// The first `limit` links after a position, each with its event if that is there.
pub(super) fn read_chain(tx: &mut Tx<'_>, after: i64, limit: i64) -> QueryResult<Vec<(Seal, Option<Recorded>)>> {
    let query = audit_seals::table
        .left_join(audit_events::table.on(audit_events::id.eq(audit_seals::event_id)))
        .filter(audit_seals::position.gt(after))
        .order(audit_seals::position)
        .limit(limit);
    on!(tx.conn, |c| query.select((Seal::as_select(), Option::<Recorded>::as_select())).load(c))
}

/// The place of an event in the chain.
pub(super) fn find_position(tx: &mut Tx<'_>, event: EventId) -> QueryResult<Option<i64>> {
    let query = audit_seals::table.filter(audit_seals::event_id.eq(event)).select(audit_seals::position);
    on!(tx.conn, |c| query.first(c).optional())
}

/// The first event in a page of those after `after` and before `frontier` that has no seal and never will, and where the page
/// ends; nothing if there is no event any more.
pub(super) fn look_for_never_sealed(
    tx: &mut Tx<'_>,
    after: EventId,
    frontier: EventId,
) -> QueryResult<Option<(EventId, Option<EventId>)>> {
    Ok(page_of_unsealed(tx, after, frontier)?.map(|(last, unsealed)| (last, unsealed.first().copied())))
}

pub(super) fn find_event(tx: &mut Tx<'_>, id: EventId) -> QueryResult<Option<Recorded>> {
    let query = audit_events::table.find(id);
    on!(tx.conn, |c| query.select(Recorded::as_select()).first(c).optional())
}

/// How many events wait for a seal.
pub(super) fn count_unsealed(tx: &mut Tx<'_>, frontier: EventId) -> QueryResult<usize> {
    let (mut after, mut count) = (frontier, 0);
    while let Some((last, unsealed)) = page_of_unsealed(tx, after, end_of_time())? {
        (after, count) = (last, count + unsealed.len());
    }
    Ok(count)
}

/// Events that a filter lets through, newest first, at most `limit`.
pub(super) fn list(tx: &mut Tx<'_>, filter: &Filter, limit: i64) -> QueryResult<Vec<Recorded>> {
    let Filter { user, actor, kind, from, to, before } = filter;
    on!(tx.conn, |c| {
        let mut query = audit_events::table.select(Recorded::as_select()).into_boxed();
        if let Some(user) = user {
            query = query.filter(audit_events::subject.eq(user));
        }
        if let Some(actor) = actor {
            query = query.filter(audit_events::actor.eq(actor));
        }
        if let Some(kind) = kind {
            query = query.filter(audit_events::kind.eq(kind));
        }
        if let Some(from) = from {
            query = query.filter(audit_events::id.ge(EventId::least(*from)));
        }
        if let Some(to) = to {
            query = query.filter(audit_events::id.lt(EventId::least(*to)));
        }
        if let Some(before) = before {
            query = query.filter(audit_events::id.lt(before));
        }
        query.order(audit_events::id.desc()).limit(limit).load(c)
    })
}

/// The links at the beginning of the chain whose events were recorded before `before`, at most `limit`: what retention may
/// take without leaving a hole.
fn look_for_old_links(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> QueryResult<Vec<Seal>> {
    // From the anchor on: from the beginning, each look would wade through the remains of those before it.
    let anchor = find_anchor(tx)?;
    let query =
        audit_seals::table.filter(audit_seals::position.gt(anchor.position)).order(audit_seals::position).limit(limit);
    let first: Vec<Seal> = on!(tx.conn, |c| query.select(Seal::as_select()).load(c))?;
    Ok(first.into_iter().take_while(|seal| seal.event_id < EventId::least(before)).collect())
}

/// Removes at most `limit` links from the beginning of the chain, with their events, and puts the anchor where they end.
pub(crate) fn delete_old_links(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> QueryResult<usize> {
    let links = look_for_old_links(tx, before, limit)?;
    let Some(last) = links.last() else { return Ok(0) };
    upsert_anchor(tx, &Anchor { position: last.position, digest: last.digest, removed_before: before })?;
    let seals = diesel::delete(audit_seals::table.filter(audit_seals::position.le(last.position)));
    on!(tx.conn, |c| seals.execute(c))?;
    let ids: Vec<EventId> = links.iter().map(|seal| seal.event_id).collect();
    let events = diesel::delete(audit_events::table.filter(audit_events::id.eq_any(ids)));
    on!(tx.conn, |c| events.execute(c))?;
    Ok(links.len())
}

/// A page of events after `after`, by id, that were recorded before `before`, and of the last of them whether it has no link, as of
/// all others that are named: from before there was a chain, or written by a clock that was far behind.
pub(crate) fn look_for_old_unsealed(
    tx: &mut Tx<'_>,
    after: EventId,
    before: Timestamp,
) -> QueryResult<Vec<(EventId, bool)>> {
    let Some((last, unsealed)) = page_of_unsealed(tx, after, EventId::least(before))? else { return Ok(Vec::new()) };
    let has_last = unsealed.last() == Some(&last);
    let mut found: Vec<(EventId, bool)> = unsealed.into_iter().map(|id| (id, true)).collect();
    if !has_last {
        found.push((last, false));
    }
    Ok(found)
}

/// Removes events that no link holds.
pub(crate) fn delete_unsealed(tx: &mut Tx<'_>, ids: &[EventId], before: Timestamp) -> QueryResult<usize> {
    let anchor = find_anchor(tx)?;
    if anchor.removed_before < before {
        upsert_anchor(tx, &Anchor { removed_before: before, ..anchor })?;
    }
    let delete = diesel::delete(audit_events::table.filter(audit_events::id.eq_any(ids)));
    on!(tx.conn, |c| delete.execute(c))
}
