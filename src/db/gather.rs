//! Asks of one kind that one statement answers: what comes while others are under way waits, and is answered together.
//!
//! A small statement costs less than what is around it: the way to another thread and back, the round trip, the commit.
//! Whoever asks alone is served at once; under load all that costs is shared by those who wait anyway.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel::QueryResult;
use tokio::sync::oneshot;
use tracing::Instrument;

use super::{DEADLINE, Db, Error, Tx};
use crate::patience::within;

/// Answers each of the asks, in their order; runs on a connection outside of any transaction, as in [`Db::single`], and
/// perhaps several times.
type Work<A, T> = dyn Fn(&mut Tx<'_>, &[A]) -> QueryResult<Vec<T>> + Send + Sync;

/// Where asks of one kind wait; clones share it.
pub struct Gather<A, T> {
    shared: Arc<Gathered<A, T>>,
}

impl<A, T> Clone for Gather<A, T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Gathered<A, T> {
    name: &'static str,
    work: Box<Work<A, T>>,
    state: Mutex<State<A, T>>,
}

struct State<A, T> {
    /// How many run rounds.
    running: usize,
    /// The number of the next ask.
    next: u64,
    /// In order of arrival.
    waiting: VecDeque<Waiting<A, T>>,
}

struct Waiting<A, T> {
    number: u64,
    ask: A,
    reply: oneshot::Sender<Result<T, Error>>,
}

/// The asks of a round, and where their answers go.
type Round<A, T> = (Vec<A>, Vec<oneshot::Sender<Result<T, Error>>>);

/// So many rounds are under way at the most. One more begins at once while another waits for the disk; with many, each
/// would be small, and little shared.
const MAX_ROUNDS: usize = 3;

/// So many asks are answered together at the most: when the database fails, it fails for all of them.
const MAX_TOGETHER: usize = 64;

impl<A: Send + Sync + 'static, T: Send + 'static> Gather<A, T> {
    /// `name` is that of the unit of work, `work` what answers.
    pub fn new(
        name: &'static str,
        work: impl Fn(&mut Tx<'_>, &[A]) -> QueryResult<Vec<T>> + Send + Sync + 'static,
    ) -> Self {
        let state = State { running: 0, next: 0, waiting: VecDeque::new() };
        Self { shared: Arc::new(Gathered { name, work: Box::new(work), state: Mutex::new(state) }) }
    }

    /// Queues an ask; tells whether whoever did so must begin a round, since nobody will otherwise come to take it.
    fn queue(&self, ask: A) -> (u64, oneshot::Receiver<Result<T, Error>>, bool) {
        let (reply, answer) = oneshot::channel();
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.waiting.push_back(Waiting { number, ask, reply });
        let begins = state.running < MAX_ROUNDS;
        state.running += usize::from(begins);
        (number, answer, begins)
    }

    /// Takes back what no round has taken; tells whether it could.
    fn withdraw(&self, number: u64) -> bool {
        let mut state = self.state();
        let place = state.waiting.iter().position(|waiting| waiting.number == number);
        place.is_some_and(|place| state.waiting.remove(place).is_some())
    }
}

impl<A, T> Gather<A, T> {
    fn state(&self) -> MutexGuard<'_, State<A, T>> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Db {
    /// The answer to `ask`, found together with those to others.
    ///
    /// # Errors
    /// See [`Error`]. An error is everybody's whose ask was in the round.
    pub async fn gathered<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        gather: &Gather<A, T>,
        ask: A,
    ) -> Result<T, Error> {
        let (number, mut answer, begins) = gather.queue(ask);
        if begins {
            // A request that goes away must not take the others' answers with it.
            let rounds = rounds(self.clone(), gather.clone()).in_current_span();
            drop(tokio::spawn(rounds));
        }
        let name = gather.shared.name;
        let answered = match within(self.shared.max_wait, &mut answer).await {
            Some(answered) => answered,
            None if gather.withdraw(number) => return Err(Error::Overloaded),
            None => match within(DEADLINE, answer).await {
                Some(answered) => answered,
                None => return Err(Error::silent(name)),
            },
        };
        answered.unwrap_or_else(|_| Err(Error::Failed(format!("{name} did not finish"))))
    }
}

/// Who runs one round after another.
struct Runner<'g, A, T> {
    gather: &'g Gather<A, T>,
    is_over: bool,
}

impl<A, T> Runner<'_, A, T> {
    /// What the next round answers. With nothing left to do, this was the last.
    fn take(&mut self) -> Option<Round<A, T>> {
        let mut state = self.gather.state();
        // Nobody waits for the answers of these any more.
        state.waiting.retain(|waiting| !waiting.reply.is_closed());
        if state.waiting.is_empty() {
            state.running -= 1;
            self.is_over = true;
            return None;
        }
        let together = state.waiting.len().min(MAX_TOGETHER);
        Some(state.waiting.drain(..together).map(|Waiting { ask, reply, .. }| (ask, reply)).unzip())
    }
}

impl<A, T> Drop for Runner<'_, A, T> {
    /// The runtime that it ran on is no more: whoever comes next takes its place.
    fn drop(&mut self) {
        if !self.is_over {
            self.gather.state().running -= 1;
        }
    }
}

/// Answers what waits, until nothing does.
async fn rounds<A: Send + Sync + 'static, T: Send + 'static>(db: Db, gather: Gather<A, T>) {
    let mut runner = Runner { gather: &gather, is_over: false };
    while let Some((asks, replies)) = runner.take() {
        let shared = Arc::clone(&gather.shared);
        let answers = db.single(gather.shared.name, move |tx| (shared.work)(tx, &asks)).await;
        // Whose other end is gone wants no answer.
        match answers {
            Ok(answers) => replies.into_iter().zip(answers).for_each(|(reply, answer)| drop(reply.send(Ok(answer)))),
            Err(error) => replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone())))),
        }
    }
}
