//! Whether the database is well, for whoever asks often and cannot wait: at most one look at a time, and one in a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::inspect::{Vitals, vitals};
use super::{Db, Error, Kind, Mode};
use crate::patience::within;

/// What is known of the database now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulse {
    /// It answered.
    Vitals(Vitals),
    /// Every connection is at work, and work gets done.
    Busy,
    /// It can be read and not written.
    ReadOnly,
    /// It does not answer.
    Gone,
}

/// How long a look counts: probes from many sides cost the database one look a second.
const FRESH: Duration = Duration::from_secs(1);
/// How long a look is waited for. Kubernetes gives a probe 1 s by default.
const PATIENCE: Duration = Duration::from_millis(500);
/// While anything succeeded within this time, a look that does not get its turn means busy and not gone.
const ALIVE: Duration = Duration::from_secs(2);

/// How many connections one look tries.
const MAX_CONNECTIONS: u32 = 4;

/// The looks of one service.
pub(super) struct Watch {
    begun: Instant,
    latest: watch::Sender<Option<(Instant, Pulse)>>,
    is_looking: AtomicBool,
    /// Milliseconds from `begun` to the last success of any work, plus 1; 0: none yet.
    last_success: AtomicU64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            latest: watch::Sender::new(None),
            is_looking: AtomicBool::new(false),
            last_success: AtomicU64::new(0),
        }
    }
}

impl Watch {
    /// Some work has just succeeded.
    pub(super) fn succeeded(&self) {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last_success.store(millis + 1, Ordering::Relaxed);
    }

    fn without_answer(&self) -> Pulse {
        let last = self.last_success.load(Ordering::Relaxed);
        let is_alive = last > 0 && self.begun.elapsed() < Duration::from_millis(last - 1) + ALIVE;
        if is_alive { Pulse::Busy } else { Pulse::Gone }
    }
}

impl Db {
    /// How the database is, within [`PATIENCE`], whatever it does.
    pub async fn pulse(&self) -> Pulse {
        let watch = &self.shared.watch;
        let mut latest = watch.latest.subscribe();
        if let Some((at, pulse)) = &*latest.borrow_and_update()
            && at.elapsed() < FRESH
        {
            return pulse.clone();
        }
        if !watch.is_looking.swap(true, Ordering::SeqCst) {
            // On its own: whoever asked may be gone before it ends, and it must not be begun twice.
            drop(tokio::task::spawn(look(self.clone())));
        }
        match within(PATIENCE, latest.changed()).await {
            Some(Ok(())) => latest.borrow().as_ref().map_or(Pulse::Gone, |(_, pulse)| pulse.clone()),
            Some(Err(_)) | None => watch.without_answer(),
        }
    }
}

async fn look(db: Db) {
    let _end = EndOfLook(db.clone());
    // SQLite has no other way to tell whether it can be written than to take the lock.
    let mode = if db.shared.writer.is_some() { Mode::Transaction } else { Mode::Read };
    let mut connections = 0;
    let pulse = loop {
        connections += 1;
        match db.run("health.ready", mode, |tx| vitals(tx.conn, tx.now)).await {
            Ok(vitals) => break Pulse::Vitals(vitals),
            // One that died while nobody used it says nothing about the next.
            Err(Error::Unavailable(outage)) if outage.kind.ends_connection() && connections < MAX_CONNECTIONS => {}
            Err(Error::Unavailable(outage)) if outage.kind == Kind::ReadOnly => break Pulse::ReadOnly,
            Err(Error::Overloaded) => break db.shared.watch.without_answer(),
            Err(Error::Unavailable(_) | Error::Failed(_)) => break Pulse::Gone,
        }
    };
    db.shared.watch.latest.send_replace(Some((Instant::now(), pulse)));
}

/// Lets the next look begin, also when this one panicked.
struct EndOfLook(Db);

impl Drop for EndOfLook {
    fn drop(&mut self) {
        Arc::as_ref(&self.0.shared).watch.is_looking.store(false, Ordering::SeqCst);
    }
}
