//! The queue before the hashing threads: bounded by the time that a job would wait, and fair between those who ask.
//!
//! Each source has a line of its own, and the lines take turns. So whoever asks a thousand times at once waits behind
//! itself, and anybody else's job comes when each line has had one turn. A job whose wait would be too long is not let in,
//! which for the same reason hits those first who have much waiting. One that nobody waits for any more leaves at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who asks, as far as fairness goes: an IPv4 address, or the /64 of an IPv6 address, which one subscriber has whole.
/// Those without an address are one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source(Option<IpAddr>);

impl Source {
    pub(super) fn of(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (!0 << 64))),
            IpAddr::V4(address) => IpAddr::V4(address),
        }))
    }
}

/// Jobs of kind `J`, waiting for one of the threads that ask for the [`next`](Self::next).
pub(super) struct Queue<J> {
    state: Mutex<State<J>>,
    /// Signalled for each job that comes, and when the queue is closed.
    changed: Condvar,
    threads: usize,
    max_wait: Duration,
}

struct State<J> {
    /// Of each source that has jobs waiting, these in the order they came. A line that was left by all stays until its
    /// turn.
    lines: HashMap<Source, BTreeMap<Ticket, J>>,
    /// Each line once, the next to be served first.
    turns: VecDeque<Source>,
    /// How many waiting jobs have this many of their own line before them.
    at_depth: Vec<usize>,
    running: usize,
    /// A moving average of what one job takes.
    job_nanos: u64,
    next_ticket: Ticket,
    is_closed: bool,
}

/// Finds a waiting job again.
type Ticket = u64;

/// Until the first job is measured; the average follows within a few.
const PRESUMED_JOB_NANOS: u64 = 20_000_000;

/// A job that takes longer counts as this many of the average: the machine stood still meanwhile, and whoever comes next is not
/// to be refused for that. Jobs that do take so long double the average each.
const MAX_TIMES_AVERAGE: u64 = 8;

impl<J> Queue<J> {
    pub(super) fn new(threads: usize, max_wait: Duration) -> Self {
        let state = State {
            lines: HashMap::new(),
            turns: VecDeque::new(),
            at_depth: Vec::new(),
            running: 0,
            job_nanos: PRESUMED_JOB_NANOS,
            next_ticket: 0,
            is_closed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), threads, max_wait }
    }

    /// How long one more job of `source` would wait, if it is too long.
    pub(super) fn refusal(&self, source: Source) -> Option<Duration> {
        let wait = self.expected_wait(&self.lock(), source);
        (wait > self.max_wait).then_some(wait)
    }

    /// Whether somebody who has nothing waiting would be refused.
    pub(super) fn is_saturated(&self) -> bool {
        self.wait_at_depth(&self.lock(), 0) > self.max_wait
    }

    /// Lets a job in; it waits until it is the next or its place is dropped.
    ///
    /// # Errors
    /// The wait, if it would be too long.
    pub(super) fn join(&self, source: Source, job: J) -> Result<Place<'_, J>, Duration> {
        let mut state = self.lock();
        let wait = self.expected_wait(&state, source);
        if wait > self.max_wait {
            return Err(wait);
        }
        let ticket = state.push(source, job);
        drop(state);
        self.changed.notify_one();
        Ok(Place { queue: self, source, ticket })
    }

    /// The job whose turn it is, once there is one; it counts as running until it is [`ended`](Self::ended). `None` when the
    /// queue is closed.
    pub(super) fn next(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(job) = state.pop() {
                state.running += 1;
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A job has ended, and took so long if it came to its end.
    pub(super) fn ended(&self, took: Option<Duration>) {
        let mut state = self.lock();
        state.running -= 1;
        if let Some(took) = took {
            let longest = state.job_nanos.saturating_mul(MAX_TIMES_AVERAGE);
            let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).min(longest);
            state.job_nanos = state.job_nanos - state.job_nanos / 8 + took / 8;
        }
    }

    /// Sends the threads home; whatever waits is not done.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Jobs that wait or run.
    #[cfg(test)]
    pub(super) fn unfinished(&self) -> usize {
        let state = self.lock();
        state.running + state.at_depth.iter().sum::<usize>()
    }

    fn expected_wait(&self, state: &State<J>, source: Source) -> Duration {
        self.wait_at_depth(state, state.lines.get(&source).map_or(0, BTreeMap::len))
    }

    /// What a job would wait that has `depth` of its own line before it. Since lines take turns, no job comes before it
    /// that stands deeper in its own line. As many as are too many for the threads are shared among them.
    fn wait_at_depth(&self, state: &State<J>, depth: usize) -> Duration {
        let ahead = state.running + state.at_depth.iter().take(depth + 1).sum::<usize>();
        let in_the_way = (ahead + 1).saturating_sub(self.threads);
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Duration::from_nanos(state.job_nanos.saturating_mul(count(in_the_way)) / count(self.threads))
    }

    /// Nothing in here panics between two changes that belong together, so the state is whole whatever happened to whoever
    /// held it.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> State<J> {
    fn push(&mut self, source: Source, job: J) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let line = self.lines.entry(source).or_insert_with(|| {
            self.turns.push_back(source);
            BTreeMap::new()
        });
        let depth = line.len();
        line.insert(ticket, job);
        if self.at_depth.len() == depth {
            self.at_depth.push(0);
        }
        self.at_depth[depth] += 1;
        ticket
    }

    fn pop(&mut self) -> Option<J> {
        loop {
            let source = self.turns.pop_front()?;
            let Some(line) = self.lines.get_mut(&source) else { continue };
            let first = line.pop_first();
            if line.is_empty() {
                self.lines.remove(&source);
            } else {
                self.turns.push_back(source);
            }
            if let Some((_, job)) = first {
                self.shorten(source);
                return Some(job);
            }
        }
    }

    fn remove(&mut self, source: Source, ticket: Ticket) -> Option<J> {
        let job = self.lines.get_mut(&source)?.remove(&ticket)?;
        self.shorten(source);
        Some(job)
    }

    /// One job less in a line is one less at the depth of its last one.
    fn shorten(&mut self, source: Source) {
        let left = self.lines.get(&source).map_or(0, BTreeMap::len);
        self.at_depth[left] -= 1;
        while self.at_depth.last() == Some(&0) {
            self.at_depth.pop();
        }
    }
}

/// A job's place in the queue. Dropping it takes the job out, if it still waits.
pub(super) struct Place<'a, J> {
    queue: &'a Queue<J>,
    source: Source,
    ticket: Ticket,
}

impl<J> Place<'_, J> {
    /// Takes the job out. `false` if it is running or has ended.
    pub(super) fn leave(&self) -> bool {
        let job = self.queue.lock().remove(self.source, self.ticket);
        job.is_some() // dropped when the lock no longer is held
    }
}

impl<J> Drop for Place<'_, J> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of(Some(IpAddr::from([192, 0, 2, last])))
    }

    /// One thread, jobs of 10 ms, and a queue of a second.
    fn queue() -> Queue<&'static str> {
        let queue = Queue::new(1, Duration::from_secs(1));
        queue.lock().job_nanos = 10_000_000;
        queue
    }

    /// Lets in as many as are taken.
    fn flood<'a>(queue: &'a Queue<&'static str>, source: Source, name: &'static str) -> Vec<Place<'a, &'static str>> {
        std::iter::from_fn(|| queue.join(source, name).ok()).collect()
    }

    #[test]
    fn a_source_is_an_address_or_the_network_of_one_subscriber() {
        let of = |text: &str| Source::of(Some(text.parse().expect("an address")));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_ne!(of("192.0.2.1"), Source::of(None));
    }

    #[test]
    fn the_wait_is_foreseen_from_what_comes_before_a_job() {
        let waits = |threads| {
            let queue = Queue::new(threads, Duration::from_secs(1));
            let mut places = Vec::new();
            let mut wait = || {
                queue.lock().job_nanos = 10_000_000;
                let wait = queue.expected_wait(&queue.lock(), source(1)).as_millis();
                places.push(queue.join(source(1), ()));
                wait
            };
            [wait(), wait(), wait(), wait(), wait()]
        };
        assert_eq!(waits(1), [0, 10, 20, 30, 40], "each job ahead is waited for");
        assert_eq!(waits(2), [0, 0, 5, 10, 15], "two threads share them");
    }

    #[test]
    fn what_runs_is_waited_for_too() {
        let queue = queue();
        let _place = queue.join(source(1), "first");
        assert_eq!(queue.next(), Some("first"));
        assert_eq!(queue.expected_wait(&queue.lock(), source(2)).as_millis(), 10);
        queue.ended(None);
        assert_eq!(queue.expected_wait(&queue.lock(), source(2)).as_millis(), 0);
    }

    #[test]
    fn a_wait_of_exactly_the_limit_is_still_taken() {
        let queue = Queue::new(1, Duration::from_millis(10));
        queue.lock().job_nanos = 10_000_000;
        let _first = queue.join(source(1), "first");
        assert_eq!(queue.next(), Some("first"));
        assert_eq!((queue.refusal(source(2)), queue.is_saturated()), (None, false));
        let _second = queue.join(source(2), "second").expect("taken");
        assert_eq!((queue.refusal(source(3)), queue.is_saturated()), (Some(Duration::from_millis(20)), true));
    }

    #[test]
    fn one_source_that_fills_the_queue_delays_another_by_one_job_and_is_itself_refused() {
        let queue = queue();
        let flood = flood(&queue, source(1), "flood");
        assert_eq!(flood.len(), 101, "a second's worth");
        assert!(queue.refusal(source(1)).is_some_and(|wait| wait > Duration::from_secs(1)));
        assert_eq!(queue.refusal(source(2)), None);
        assert!(!queue.is_saturated());
        let place = queue.join(source(2), "other").expect("there is room for others");
        assert_eq!([queue.next(), queue.next()], [Some("flood"), Some("other")]);
        assert!(!place.leave(), "it was served");
    }

    #[test]
    fn sources_are_served_by_turns_and_each_in_its_order() {
        let queue = queue();
        let asked = [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (2, "b2"), (3, "c1")];
        let places: Vec<_> = asked.into_iter().map(|(from, name)| queue.join(source(from), name)).collect();
        let served: Vec<_> = asked.iter().filter_map(|_| queue.next()).collect();
        assert_eq!(served, ["a1", "b1", "c1", "a2", "b2", "a3"]);
        drop(places);
    }

    #[test]
    fn many_sources_fill_the_queue_for_everybody() {
        let queue = queue();
        let places: Vec<_> = (0..=200).map_while(|from| queue.join(source(from), "one each").ok()).collect();
        assert_eq!(places.len(), 101);
        assert!(queue.is_saturated());
        assert!(queue.refusal(source(201)).is_some());
    }

    #[test]
    fn a_job_that_is_left_takes_no_turn_and_counts_no_more() {
        let queue = queue();
        let (left, stays) = (queue.join(source(1), "left"), queue.join(source(2), "stays"));
        let flood = flood(&queue, source(3), "flood");
        drop((left, flood));
        assert_eq!(queue.expected_wait(&queue.lock(), source(4)).as_millis(), 10);
        assert_eq!(queue.next(), Some("stays"));
        assert!(queue.lock().pop().is_none());
        let state = queue.lock();
        assert!(state.lines.is_empty() && state.turns.is_empty() && state.at_depth.is_empty());
        drop(state);
        drop(stays);
    }

    #[test]
    fn whoever_leaves_and_comes_again_has_one_turn_in_each_round() {
        let queue = queue();
        drop(queue.join(source(1), "left"));
        let _places = ["a1", "a2", "a3"].map(|name| queue.join(source(1), name));
        let _other = queue.join(source(2), "b1");
        assert_eq!([queue.next(), queue.next(), queue.next()], [Some("a1"), Some("b1"), Some("a2")]);
    }

    #[test]
    fn the_average_follows_what_jobs_take() {
        let queue = queue();
        let job_takes = |nanos| {
            queue.lock().running += 1;
            queue.ended(Some(Duration::from_nanos(nanos)));
            queue.lock().job_nanos
        };
        assert_eq!(job_takes(18_000_000), 11_000_000);
        let last = (0..99).fold(0, |_, _| job_takes(800));
        assert!((750..=900).contains(&last), "{last}");
    }

    #[test]
    fn a_job_during_which_the_machine_stood_still_keeps_nobody_out() {
        let queue = queue();
        let job_takes = |took| {
            queue.lock().running += 1;
            queue.ended(Some(took));
            queue.lock().job_nanos
        };
        assert!(job_takes(Duration::from_secs(600)) < 20_000_000);
        // They do take so long.
        let last = (0..30).fold(0, |_, _| job_takes(Duration::from_millis(800)));
        assert!(last > 700_000_000, "{last}");
    }

    #[test]
    fn a_closed_queue_sends_the_threads_home() {
        let queue = queue();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.next());
            queue.close();
            assert_eq!(waiting.join().expect("ends"), None);
        });
    }

    proptest::proptest! {
        /// Whatever comes and goes: the depths add up to what waits, and no source is served twice while another waits.
        #[test]
        fn depths_and_turns_stay_true(steps in proptest::collection::vec((0u8..4, 0u8..3), 0..200)) {
            let queue: Queue<u8> = Queue::new(1, Duration::MAX);
            let mut places = Vec::new();
            let mut waiting = [0usize; 4];
            for (from, step) in steps {
                match step {
                    0 | 1 => {
                        places.push((from, queue.join(source(from), from).expect("never full")));
                        waiting[usize::from(from)] += 1;
                    }
                    _ => if let Some(position) = places.iter().position(|(owner, _)| *owner == from) {
                        let (owner, place) = places.swap_remove(position);
                        waiting[usize::from(owner)] -= usize::from(place.leave());
                    },
                }
                let state = queue.lock();
                let mut depths = Vec::new();
                for depth in 0..waiting.into_iter().max().unwrap_or(0) {
                    depths.push(waiting.iter().filter(|length| **length > depth).count());
                }
                proptest::prop_assert_eq!(&state.at_depth, &depths);
            }
            while waiting.iter().sum::<usize>() > 0 {
                let mut served = [false; 4];
                for _ in 0..waiting.iter().filter(|length| **length > 0).count() {
                    let from = usize::from(queue.next().expect("open"));
                    proptest::prop_assert!(!served[from], "served twice in a round");
                    served[from] = true;
                    waiting[from] -= 1;
                }
            }
        }
    }
}
