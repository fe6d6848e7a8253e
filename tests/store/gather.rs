//! Asks that are answered together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::result::Error as DieselError;
use futures_util::FutureExt;
use futures_util::future::join_all;
use signet::clock::{Clock, Timestamp};
use signet::db::{Db, Error, Gather};
use signet::metrics::Metrics;

use crate::support::{Backend, on_both};

const NAME: &str = "test.gather";

/// How many are asked; more than are ever answered together.
const MANY: usize = 200;

on_both! {
    fn everybody_gets_the_answer_to_their_own_ask(backend) {
        let world = World::start(backend);
        let (rounds, largest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, measured) = (Arc::clone(&rounds), Arc::clone(&largest));
        let squares = Gather::new(NAME, move |_, asks: &[usize]| {
            counted.fetch_add(1, Ordering::Relaxed);
            measured.fetch_max(asks.len(), Ordering::Relaxed);
            Ok(asks.iter().map(|ask| ask * ask).collect())
        });
        let answers = world.block_on(join_all((0..MANY).map(|ask| world.db.gathered(&squares, ask))));
        for (ask, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.expect("an answer"), ask * ask);
        }
        assert!(rounds.load(Ordering::Relaxed) <= 10, "{rounds:?} rounds");
        assert_eq!(largest.load(Ordering::Relaxed), 64);
        let alone = world.block_on(world.db.gathered(&squares, 12)).expect("an answer");
        assert_eq!(alone, 144);
    }

    fn a_round_that_fails_or_panics_fails_for_its_own_and_nobody_else(backend) {
        let world = World::start(backend);
        let picky = Gather::new(NAME, |_, asks: &[usize]| {
            assert!(!asks.contains(&13), "made up");
            if asks.contains(&7) { Err(DieselError::NotFound) } else { Ok(asks.to_vec()) }
        });
        let ask = |number| world.db.gathered(&picky, number);
        let together = world.block_on(async { tokio::join!(ask(1), ask(7)) });
        assert!(matches!(together, (Err(Error::Failed(_)), Err(Error::Failed(_)))), "{together:?}");
        assert!(matches!(world.block_on(ask(13)), Err(Error::Failed(_))));
        // More often than there are rounds at once: none of them was lost.
        for number in 20..30 {
            assert!(world.block_on(ask(13)).is_err());
            assert_eq!(world.block_on(ask(number)).expect("an answer"), number);
        }
    }

    fn whoever_goes_away_takes_nobodys_answer_along(backend) {
        let world = World::start(backend);
        let echo = Gather::new(NAME, |_, asks: &[usize]| Ok(asks.to_vec()));
        world.block_on(async {
            // Begun, and given up before it is answered: the others' round was its own to run.
            let mut first = Box::pin(world.db.gathered(&echo, 1));
            assert!((&mut first).now_or_never().is_none());
            let others = join_all((2..20).map(|ask| world.db.gathered(&echo, ask)));
            drop(first);
            let answers: Vec<usize> = others.await.into_iter().map(|answer| answer.expect("an answer")).collect();
            assert_eq!(answers, (2..20).collect::<Vec<_>>());
        });
    }

    fn whoever_waits_too_long_is_told_so_and_is_not_answered_later(backend) {
        let world = World::start(backend);
        let done = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&done);
        let slow = Gather::new(NAME, move |_, asks: &[u64]| {
            std::thread::sleep(Duration::from_millis(*asks.iter().max().expect("an ask")));
            counted.fetch_add(asks.len(), Ordering::Relaxed);
            Ok(asks.to_vec())
        });
        world.block_on(async {
            // As many as run at once, one after the other so that none takes two along.
            let mut busy = Vec::new();
            for _ in 0..3 {
                let mut asked = Box::pin(world.db.gathered(&slow, 1_500));
                assert!((&mut asked).now_or_never().is_none());
                tokio::time::sleep(Duration::from_millis(20)).await;
                busy.push(asked);
            }
            let late = world.db.gathered(&slow, 0).await;
            assert!(matches!(late, Err(Error::Overloaded)), "{late:?}");
            // SQLite has one turn to write, so there all but the first waited for it in vain.
            let answers = join_all(busy).await;
            assert!(answers[0].is_ok(), "{answers:?}");
        });
        assert!(done.load(Ordering::Relaxed) <= 3, "the late one was not asked any more");
    }
}

struct World {
    db: Db,
    runtime: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

impl World {
    fn start(backend: Backend) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let url = backend.database(dir.path()).parse().expect("our own URL");
        let clock = Clock::manual(Timestamp::from_micros(1_795_255_200_000_000));
        let db = Db::open(url, 4, Duration::from_millis(500), clock, Metrics::default());
        // One thread, so that all that is begun together waits before the first is answered.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { db, runtime, _dir: dir }
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}
