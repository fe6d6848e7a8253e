//! SQLite's one turn to write, and those who take it together.
//!
//! A commit waits for the disk, which is most of what a small decision costs, and SQLite has one writer at a time. So
//! whoever gets the turn takes along what waits for it: each unit of work in a savepoint of its own, all in one transaction
//! with one commit. Nothing is answered before that commit is on disk, and none of them notices that another failed,
//! unless the database itself does.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel::QueryResult;
use diesel::result::Error::QueryBuilderError;
use prometheus::{Histogram, HistogramTimer, IntCounter};
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Span;

use super::failure::{self, Kind};
use super::{DEADLINE, Db, Error, Mode, OPEN, Shared, Tx};
use crate::patience::within;

/// The turn, and what waits for it in order of arrival. Whoever queues something also waits for the turn, so that nothing
/// is left behind.
pub(super) struct Writer {
    turn: Arc<Semaphore>,
    queue: Mutex<VecDeque<Box<dyn Unit>>>,
}

/// So many units are committed together at the most: when the database fails, it fails for all of them.
const MAX_TOGETHER: usize = 64;

/// Work that waits for the turn.
trait Unit: Send {
    /// Nobody waits for its result any more.
    fn is_abandoned(&self) -> bool;
    /// Its turn has come: it cannot be withdrawn any more.
    fn begin(&mut self);
    /// Does it, in a savepoint; it may be done again.
    fn run(&mut self, tx: &mut Tx<'_>) -> QueryResult<()>;
    /// Hands over its result, or the reason why there is none. `retries`: how often all was begun afresh.
    fn answer(self: Box<Self>, outcome: Result<(), Error>, retries: u32);
}

/// What is noted of a unit of work.
pub(super) struct Notes {
    pub(super) span: Span,
    pub(super) wait: HistogramTimer,
    pub(super) duration: Histogram,
    pub(super) retries: IntCounter,
}

/// Where its result will be.
struct Ticket<T> {
    answer: oneshot::Receiver<Result<T, Error>>,
    is_begun: Arc<AtomicBool>,
}

impl Db {
    /// With whatever else waits for SQLite's turn to write.
    pub(super) async fn run_together<T: Send + 'static>(
        &self,
        writer: &Writer,
        name: &'static str,
        mode: Mode,
        work: impl Fn(&mut Tx<'_>) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        let mut ticket = writer.queue(self.shared.notes(name, mode), work);
        let begun = within(self.shared.max_wait, self.await_turn(writer, &mut ticket)).await;
        let answer = match begun {
            Some(Some(answer)) => answer,
            None if writer.withdraw(&mut ticket) => return Err(Error::Overloaded),
            Some(None) | None => match within(DEADLINE, ticket.answer).await {
                Some(answer) => answer,
                None => return Err(Error::silent(name)),
            },
        };
        answer.unwrap_or_else(|_| Err(Error::Failed(format!("{name} did not finish"))))
    }

    /// Until another's turn brought the answer, or until our own has begun.
    async fn await_turn<T>(
        &self,
        writer: &Writer,
        ticket: &mut Ticket<T>,
    ) -> Option<Result<Result<T, Error>, RecvError>> {
        let turn = async { (writer.turn().await, self.connection().await) };
        let turn = tokio::select! {
            biased;
            answer = &mut ticket.answer => return Some(answer),
            turn = turn => turn,
        };
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            shared.write_together();
        });
        None
    }
}

impl Shared {
    /// Does what waits for SQLite's turn, in one transaction.
    fn write_together(&self) {
        let mut units = self.writer.as_ref().map_or_else(Vec::new, Writer::take);
        if units.is_empty() {
            return;
        }
        let all = |tx: &mut Tx<'_>| units.iter_mut().map(|unit| in_savepoint(unit.as_mut(), tx)).collect();
        let (outcomes, retries): (Result<Vec<_>, _>, _) = self.run(Mode::Transaction, all);
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => return units.into_iter().for_each(|unit| unit.answer(Err(error.clone()), retries)),
        };
        for (unit, outcome) in units.into_iter().zip(outcomes) {
            unit.answer(outcome.map_err(|error| Error::of_statement(&error)), retries);
        }
    }
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), queue: Mutex::default() }
    }

    fn queue<T: Send + 'static>(
        &self,
        notes: Notes,
        work: impl Fn(&mut Tx<'_>) -> QueryResult<T> + Send + 'static,
    ) -> Ticket<T> {
        let (reply, answer) = oneshot::channel();
        let is_begun = Arc::new(AtomicBool::new(false));
        let Notes { span, wait, duration, retries } = notes;
        let unit = Asked {
            work,
            value: None,
            reply,
            is_begun: Arc::clone(&is_begun),
            span,
            wait: Some(wait),
            duration,
            timer: None,
            retries,
        };
        self.waiting().push_back(Box::new(unit));
        Ticket { answer, is_begun }
    }

    /// The turn. Whoever has it does what [`Writer::take`] gives.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.turn).acquire_owned().await.expect(OPEN)
    }

    /// What is to be done now, in order of arrival.
    fn take(&self) -> Vec<Box<dyn Unit>> {
        let mut waiting = self.waiting();
        waiting.retain(|unit| !unit.is_abandoned());
        let together = waiting.len().min(MAX_TOGETHER);
        let mut units: Vec<_> = waiting.drain(..together).collect();
        units.iter_mut().for_each(|unit| unit.begin());
        units
    }

    /// Takes back what has not begun; tells whether it could.
    fn withdraw<T>(&self, ticket: &mut Ticket<T>) -> bool {
        let _nobody_takes_meanwhile = self.waiting();
        let is_begun = ticket.is_begun.load(Ordering::Relaxed);
        if !is_begun {
            ticket.answer.close();
        }
        !is_begun
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Box<dyn Unit>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does `unit` in a savepoint. The inner result is its own; the outer one is everybody's, since nothing is left to commit
/// into, or all is to be begun afresh.
fn in_savepoint(unit: &mut dyn Unit, tx: &mut Tx<'_>) -> QueryResult<QueryResult<()>> {
    tx.conn.begin_savepoint()?;
    match unit.run(tx) {
        Ok(()) => tx.conn.commit().map(Ok),
        Err(error) => {
            // On a full disk SQLite may have rolled everything back by itself; then there is nothing to go back to.
            let is_undone = tx.conn.rollback().is_ok();
            let kind = failure::of_statement(&error);
            if is_undone && kind != Kind::Conflict && !kind.ends_connection() { Ok(Err(error)) } else { Err(error) }
        }
    }
}

struct Asked<T, W> {
    work: W,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, Error>>,
    is_begun: Arc<AtomicBool>,
    span: Span,
    wait: Option<HistogramTimer>,
    duration: Histogram,
    timer: Option<HistogramTimer>,
    retries: IntCounter,
}

impl<T: Send, W: Fn(&mut Tx<'_>) -> QueryResult<T> + Send> Unit for Asked<T, W> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn begin(&mut self) {
        self.is_begun.store(true, Ordering::Relaxed);
        if let Some(wait) = self.wait.take() {
            self.span.record("signet.wait_us", wait.stop_and_record() * 1e6);
        }
        self.timer = Some(self.duration.start_timer());
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> QueryResult<()> {
        let work = || self.span.in_scope(|| (self.work)(tx));
        // The others' work is in the same transaction.
        let done = catch_unwind(AssertUnwindSafe(work));
        self.value = Some(done.unwrap_or_else(|_| Err(QueryBuilderError("the work panicked".into())))?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Error>, retries: u32) {
        let Self { value, reply, span, timer, retries: counter, .. } = *self;
        drop(timer);
        counter.inc_by(retries.into());
        span.record("signet.retries", retries);
        if outcome.is_err() {
            span.record("otel.status_code", "error");
        }
        // The other end may be gone; then nobody wants the result.
        drop(reply.send(outcome.map(|()| value.expect("work that succeeded has a value"))));
    }
}
