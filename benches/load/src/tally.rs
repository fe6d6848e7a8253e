//! What was answered, and how fast.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::client::Answered;

/// The answers to each call.
#[derive(Default)]
pub struct Tally {
    pub calls: BTreeMap<String, CallTally>,
    /// Answers of any kind, whether they count or not.
    pub answered: u64,
}

/// The answers to one call.
pub struct CallTally {
    /// Of those that were expected, in nanoseconds from when the request was meant to begin: a refusal is often faster and
    /// would flatter.
    pub latency: Histogram<u64>,
    /// How many of each kind, of the requests that were meant to begin while it counts.
    pub answers: BTreeMap<String, u64>,
    /// How many expected answers came while it counts.
    pub completed: u64,
    /// How many answers of any kind came while it counts.
    pub ended: u64,
}

/// The longest latency that is told apart, in nanoseconds: longer than anything waits for an answer.
const LONGEST: u64 = 120_000_000_000;

impl Default for CallTally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1_000, LONGEST, 3).expect("three digits within fixed bounds");
        Self { latency, answers: BTreeMap::new(), completed: 0, ended: 0 }
    }
}

impl Tally {
    /// Counts an answer; `counts` says from when until when.
    pub fn record(&mut self, call: &str, start: Instant, end: Instant, counts: (Instant, Instant), answered: Answered) {
        if !self.calls.contains_key(call) {
            self.calls.insert(call.to_owned(), CallTally::default());
        }
        self.answered += 1;
        let own = self.calls.get_mut(call).expect("put there above");
        let counted = |at: Instant| counts.0 <= at && at < counts.1;
        if counted(end) {
            own.ended += 1;
            own.completed += u64::from(answered.is_expected);
        }
        if counted(start) {
            if answered.is_expected {
                let nanos = u64::try_from((end - start).as_nanos()).unwrap_or(LONGEST);
                own.latency.saturating_record(nanos);
            }
            *own.answers.entry(answered.label).or_default() += 1;
        }
    }

    /// Answers of any kind while it counted.
    pub fn ended(&self) -> u64 {
        self.calls.values().map(|call| call.ended).sum()
    }
}

impl CallTally {
    /// The latency that this share of the expected answers did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_and_what_ends_in_the_window_are_counted_apart() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let window = (at(100), at(200));
        let mut tally = Tally::default();
        for (start, end, is_expected) in
            [(50, 99, true), (90, 110, true), (120, 150, true), (130, 140, false), (190, 230, true), (200, 210, true)]
        {
            let label = if is_expected { "200" } else { "503 overloaded" }.to_owned();
            tally.record("me", at(start), at(end), window, Answered { label, is_expected });
        }
        let me = &tally.calls["me"];
        assert_eq!((me.ended, me.completed), (3, 2));
        assert_eq!(me.answers, BTreeMap::from([("200".to_owned(), 2), ("503 overloaded".to_owned(), 1)]));
        assert_eq!(me.latency.len(), 2, "only what was expected");
        assert!((39..=41).contains(&me.quantile(1.0).as_millis()));
    }
}
