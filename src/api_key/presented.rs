//! A key at work: who stands behind it, and that it was used.
//!
//! One statement reads the key, its user as they are now, and whether it was used from there before; nothing is remembered
//! between two requests, so that revoking a key, disabling its user and taking a role away take effect at once. That it was
//! used is written behind the caller's back, at most once a minute: nobody waits for the disk to hear that a key is good.
//!
//! Owns: api_keys, api_key_sources.  Emits: ApiKeyRefused, ApiKeyMoved.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::ApiKeyId;
use super::key::{ApiKey, SecretDigest};
use super::rules::{Match, Refusal};
use super::store::{self, Found};
use crate::access::scope::Scope;
use crate::account::{User, UserId};
use crate::app::App;
use crate::audit::{self, Event};
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::http::origin::Origin;
use crate::throttle::source::Source;

/// Who presented a key that works, and what for.
pub(crate) struct Holder {
    pub(crate) key_id: ApiKeyId,
    /// Their account as it is now.
    pub(crate) user: User,
    /// What the key may do, as far as the user's roles carry it now.
    pub(crate) scope: Scope,
    /// When the key ends.
    pub(crate) expires_at: Timestamp,
    /// The time at which all this is so.
    pub(crate) now: Timestamp,
}

/// Judges a presented key; `None` if it does not work, whatever the reason is.
///
/// # Errors
/// The database's.
pub(crate) async fn authenticate(app: &App, text: &str, from: &Origin) -> Result<Option<Holder>> {
    let (label, judged) = match judge(app, text, from).await {
        Ok(Ok(holder)) => ("success", Ok(Some(holder))),
        Ok(Err(outcome)) => (outcome, Ok(None)),
        Err(error) => (error.code(), Err(error)),
    };
    app.metrics.api_key_uses.with_label_values(&[label]).inc();
    judged
}

/// Finds who stands behind a token that a key was exchanged for.
///
/// # Errors
/// [`Error::InvalidToken`] if the key or its user is over.
pub(crate) async fn find(app: &App, id: ApiKeyId, user_id: UserId, scope: &Scope) -> Result<(User, Scope)> {
    let found = app.db.read("api_key.caller", move |tx| store::find_alive(tx, id, user_id)).await?;
    let user = found.ok_or(Error::InvalidToken)?;
    let scope = app.rights.left_of(scope, &user.roles);
    Ok((user, scope))
}

async fn judge(app: &App, text: &str, from: &Origin) -> Result<Result<Holder, &'static str>> {
    let Ok(key) = ApiKey::parse(text) else { return Ok(Err("mangled")) };
    let source = from.address.map(|address| Source::around(address).address.to_string());
    let (handle, presented, place) = (key.handle(), key.secret_digest(), source.clone());
    let looked = app
        .db
        .read("api_key.find", move |tx| Ok((store::find_presented(tx, handle, place.as_deref())?, tx.now)))
        .await?;
    let (Some(found), now) = looked else { return Ok(Err("unknown")) };
    match found.standing.judge(&presented, now) {
        Ok(matched) => {
            app.key_notes.note_use(app, &found, matched, source, from, now);
            let scope = app.rights.left_of(&found.scope, &found.user.roles);
            let Found { id, standing, user, .. } = found;
            Ok(Ok(Holder { key_id: id, user, scope, expires_at: standing.expires_at, now }))
        }
        Err(refusal) => {
            app.key_notes.note_refusal(app, &found, refusal, from, now);
            Ok(Err(refusal.as_str()))
        }
    }
}

/// What is noted of a key is noted once in this time. A refusal that is repeated for days, as by a program that nobody gave
/// the new key, is a line a minute in the trail.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// Where a key is used from is noted again after so long.
const SEEN_EVERY: Duration = Duration::from_secs(24 * 3600);
/// From so many places a key may be used before new ones are not told from each other any more: the trail is not to be filled
/// by whoever has a key and a network to wander in.
const MAX_SOURCES: i64 = 100;

/// Writes what there is to be noted of keys, beside the requests that it is about. An instance that is killed forgets what
/// it was about to write.
#[derive(Clone, Default)]
pub struct KeyNotes {
    /// What this instance is writing: of a thousand requests in the second in which a minute is over, one writes.
    under_way: Arc<Mutex<HashSet<Subject>>>,
}

/// What a note is about. Two that are alike are one.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Subject {
    Use { key: ApiKeyId, is_due: bool, has_arrived: bool, source: Option<String> },
    Refusal { key: ApiKeyId },
}

/// What there is to be written of a use.
#[derive(Clone)]
struct Use {
    user: UserId,
    key: ApiKeyId,
    is_due: bool,
    /// The secret, if it was not used before.
    arrived: Option<SecretDigest>,
    /// Where it was used from, if that is new or was last noted long ago.
    source: Option<String>,
}

impl KeyNotes {
    fn note_use(
        &self,
        app: &App,
        found: &Found,
        matched: Match,
        source: Option<String>,
        from: &Origin,
        now: Timestamp,
    ) {
        let is_first = matched == Match::Current && !found.standing.is_current_used;
        let is_source_due = match found.source_seen_at {
            Some(seen_at) => now.since(seen_at) >= SEEN_EVERY,
            None => found.sources < MAX_SOURCES,
        };
        let noted = Use {
            user: found.user.id,
            key: found.id,
            is_due: is_due(found.last_used_at, now),
            arrived: is_first.then_some(found.standing.current),
            source: source.filter(|_| is_source_due),
        };
        if noted.is_due || noted.arrived.is_some() || noted.source.is_some() {
            let Use { key, is_due, .. } = noted;
            let subject =
                Subject::Use { key, is_due, has_arrived: noted.arrived.is_some(), source: noted.source.clone() };
            let from = from.clone();
            self.write(app, subject, "api_key.note_use", move |tx| write_use(tx, &noted, &from));
        }
    }

    fn note_refusal(&self, app: &App, found: &Found, reason: Refusal, from: &Origin, now: Timestamp) {
        if !is_due(found.last_refused_at, now) {
            return;
        }
        let (event, key) = (Event::ApiKeyRefused { user: found.user.id, key: found.id, reason }, found.id);
        let from = from.clone();
        self.write(app, Subject::Refusal { key }, "api_key.note_refusal", move |tx| {
            // Of several instances that noticed, one writes.
            if store::note_refusal(tx, key, tx.now - NOTE_EVERY)? {
                audit::record(tx, &from, &event)?;
            }
            Ok(())
        });
    }

    fn write(
        &self,
        app: &App,
        subject: Subject,
        name: &'static str,
        work: impl Fn(&mut Tx<'_>) -> diesel::QueryResult<()> + Send + 'static,
    ) {
        let under_way = Arc::clone(&self.under_way);
        if !under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(subject.clone()) {
            return;
        }
        let db = app.db.clone();
        actix_web::rt::spawn(async move {
            // What went wrong, the database layer has told; the next use tries again.
            let _ = db.tx(name, work).await;
            under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&subject);
        });
    }
}

fn is_due(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| now.since(last) >= NOTE_EVERY)
}

fn write_use(tx: &mut Tx<'_>, noted: &Use, from: &Origin) -> diesel::QueryResult<()> {
    if noted.is_due {
        store::note_use(tx, noted.key, tx.now - NOTE_EVERY)?;
    }
    if let Some(secret) = noted.arrived {
        store::note_arrival(tx, noted.key, secret)?;
    }
    if let Some(source) = &noted.source
        && store::note_source(tx, noted.key, source)?
    {
        audit::record(tx, from, &Event::ApiKeyMoved { user: noted.user, key: noted.key })?;
    }
    Ok(())
}
