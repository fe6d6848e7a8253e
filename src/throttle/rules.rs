//! The arithmetic of throttling, pure: what a bucket remembers, when it admits the next attempt, what an attempt adds.
//!
//! A bucket is two times, whatever happens to it. What was counted is forgotten one by one at a steady pace, so the time
//! at which all of it is forgotten says how much is remembered now (the generic cell rate algorithm, ITU-T I.371).

use std::time::Duration;

use crate::clock::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is remembered of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// When all that was counted is forgotten.
    pub clear_at: Timestamp,
    /// [`Rule::Guesses`]: nothing is admitted before. [`Rule::Rate`]: that it is full has been told until then.
    pub closed_until: Timestamp,
}

impl State {
    /// Nothing was ever counted.
    pub const EMPTY: Self = Self { clear_at: Timestamp::from_micros(0), closed_until: Timestamp::from_micros(0) };
}

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Guesses at one secret: some are free, then each is followed by a longer wait.
    Guesses(Guesses),
    /// So many at once, and as many again spread over each period.
    Rate(Rate),
}

/// Progressive delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guesses {
    /// So many are followed by no wait.
    pub free: u32,
    /// The wait after the last free one; each further one doubles it.
    pub first_wait: Duration,
    /// No wait is longer, until [`Guesses::IN_A_ROW`] are remembered.
    pub longest_wait: Duration,
    /// One is forgotten each time this has passed.
    pub forget: Duration,
}

/// A quota over a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

impl Rule {
    /// How long an attempt has to wait; zero if it is admitted.
    pub fn wait(&self, state: State, now: Timestamp) -> Duration {
        match self {
            Self::Guesses(_) => state.closed_until.since(now),
            Self::Rate(rate) => state.clear_at.since(now + rate.pace() * (rate.count - 1)),
        }
    }

    /// The bucket once an attempt that was admitted has been counted.
    pub fn count(&self, state: State, now: Timestamp) -> State {
        let clear_at = state.clear_at.max(now) + self.pace();
        match self {
            Self::Guesses(guesses) => {
                let wait = guesses.wait_after(level(clear_at, now, guesses.forget));
                State { clear_at, closed_until: now + wait }
            }
            Self::Rate(_) => State { clear_at, ..state },
        }
    }

    /// The bucket without `number` attempts that were counted and should not have been.
    pub fn take_back(&self, state: State, number: u32, now: Timestamp) -> State {
        let clear_at = (state.clear_at - self.pace() * number).max(now.min(state.clear_at));
        State { clear_at, ..state }
    }

    /// How many attempts are remembered.
    pub fn level(&self, state: State, now: Timestamp) -> u32 {
        level(state.clear_at, now, self.pace())
    }

    /// Whether this is news: the bucket admits nothing now, and nobody has been told during this period. If so, the state
    /// says that somebody has.
    pub fn closed_anew(&self, state: &mut State, now: Timestamp) -> Option<Duration> {
        let wait = self.wait(*state, now);
        match self {
            _ if wait.is_zero() => None,
            // Each guess makes the wait longer, and there are few of them.
            Self::Guesses(_) => Some(wait),
            Self::Rate(_) if state.closed_until > now => None,
            Self::Rate(rate) => {
                state.closed_until = now + rate.per;
                Some(wait)
            }
        }
    }

    /// The most that are admitted in how many seconds, for clients (`RateLimit-Policy`).
    pub fn policy(&self) -> (u32, u64) {
        match self {
            Self::Guesses(guesses) => (guesses.in_a_day(), DAY.as_secs()),
            Self::Rate(rate) => (rate.count, rate.per.as_secs().max(1)),
        }
    }

    fn pace(&self) -> Duration {
        match self {
            Self::Guesses(guesses) => guesses.forget,
            Self::Rate(rate) => rate.pace(),
        }
    }
}

impl Guesses {
    /// Once so many are remembered, the next is a day away. NIST SP 800-63B allows no more consecutive failures.
    pub const IN_A_ROW: u32 = 100;

    /// The wait after a wrong guess, by how many are remembered with it.
    pub fn wait_after(&self, remembered: u32) -> Duration {
        if remembered >= Self::IN_A_ROW {
            return DAY.max(self.longest_wait);
        }
        match remembered.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(doublings) => {
                let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
                self.first_wait.saturating_mul(factor).min(self.longest_wait)
            }
        }
    }

    /// The most guesses of a day, for somebody who never misses a moment: a bucket of which nothing is remembered admits
    /// most.
    pub fn in_a_day(&self) -> u32 {
        let (rule, begin) = (Rule::Guesses(*self), Timestamp::from_micros(0));
        let (mut state, mut now, mut admitted) = (State::EMPTY, begin, 0);
        // Nobody needs to know more than this.
        while now.since(begin) < DAY && admitted < 10_000 {
            state = rule.count(state, now);
            admitted += 1;
            now = now.max(state.closed_until);
        }
        admitted
    }
}

impl Rate {
    /// The time after which one more is admitted.
    fn pace(&self) -> Duration {
        self.per / self.count
    }
}

fn level(clear_at: Timestamp, now: Timestamp, pace: Duration) -> u32 {
    u32::try_from(clear_at.since(now).as_nanos().div_ceil(pace.as_nanos().max(1))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    const NOON: Timestamp = Timestamp::from_micros(1_795_255_200_123_456);
    const GUESSES: Guesses =
        Guesses { free: 5, first_wait: MINUTE, longest_wait: HOUR, forget: Duration::from_secs(6 * 3600) };
    const TEN_A_MINUTE: Rule = Rule::Rate(Rate { count: 10, per: MINUTE });

    #[test]
    fn waits_double_from_the_first_to_the_longest_and_end_at_a_day() {
        let waits: Vec<u64> = (1..=12).map(|n| GUESSES.wait_after(n).as_secs() / 60).collect();
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!((GUESSES.wait_after(99), GUESSES.wait_after(100), GUESSES.wait_after(u32::MAX)), (HOUR, DAY, DAY));
    }

    #[test]
    fn the_documented_number_of_guesses_a_day() {
        assert_eq!(GUESSES.in_a_day(), 33);
        assert_eq!(Rule::Guesses(GUESSES).policy(), (33, 86_400));
    }

    /// A whole year of somebody who guesses at every moment at which it is allowed.
    #[test]
    fn no_more_than_a_hundred_are_ever_remembered_and_then_as_many_as_are_forgotten() {
        let rule = Rule::Guesses(GUESSES);
        let (mut state, mut now, mut times) = (State::EMPTY, NOON, Vec::new());
        while now.since(NOON) < 365 * DAY {
            assert!(rule.wait(state, now).is_zero());
            state = rule.count(state, now);
            times.push(now);
            assert!(rule.level(state, now) <= Guesses::IN_A_ROW);
            now = now.max(state.closed_until);
        }
        let most = times
            .iter()
            .enumerate()
            .map(|(i, begin)| times[i..].iter().take_while(|t| t.since(*begin) < DAY).count())
            .max();
        assert_eq!(most, Some(33));
        assert!((1_460..1_700).contains(&times.len()), "{} in a year", times.len());
    }

    #[test]
    fn what_was_counted_is_forgotten_one_by_one() {
        let rule = Rule::Guesses(GUESSES);
        let state = (0..3).fold(State::EMPTY, |state, _| rule.count(state, NOON));
        assert_eq!(rule.level(state, NOON), 3);
        assert_eq!(rule.level(state, NOON + 6 * HOUR), 2);
        assert_eq!(rule.level(state, NOON + 18 * HOUR), 0);
        assert_eq!(rule.level(rule.take_back(state, 2, NOON), NOON), 1);
        assert_eq!(rule.level(rule.take_back(state, 9, NOON), NOON), 0);
    }

    #[test]
    fn a_rate_admits_its_count_at_once_and_then_one_for_each_part_of_the_period() {
        let mut state = State::EMPTY;
        for _ in 0..10 {
            assert!(TEN_A_MINUTE.wait(state, NOON).is_zero());
            state = TEN_A_MINUTE.count(state, NOON);
        }
        assert_eq!(TEN_A_MINUTE.wait(state, NOON).as_secs(), 6);
        let later = NOON + Duration::from_secs(6);
        assert!(TEN_A_MINUTE.wait(state, later).is_zero());
        state = TEN_A_MINUTE.count(state, later);
        assert_eq!(TEN_A_MINUTE.wait(state, later).as_secs(), 6);
    }

    #[test]
    fn that_a_rate_is_used_up_is_news_once_in_a_period() {
        let mut state = (0..10).fold(State::EMPTY, |state, _| TEN_A_MINUTE.count(state, NOON));
        assert_eq!(TEN_A_MINUTE.closed_anew(&mut state, NOON), Some(Duration::from_secs(6)));
        assert_eq!(TEN_A_MINUTE.closed_anew(&mut state, NOON), None);
        let mut open = State::EMPTY;
        assert_eq!(TEN_A_MINUTE.closed_anew(&mut open, NOON), None);
    }

    proptest! {
        /// Whoever comes when, never more than the count and what was forgotten meanwhile.
        #[test]
        fn a_rate_never_admits_more_than_it_says(gaps in prop::collection::vec(0_u64..20_000_000, 1..300)) {
            let (mut state, mut now, mut admitted) = (State::EMPTY, NOON, 0_u64);
            for gap in gaps {
                now = now + Duration::from_micros(gap);
                if TEN_A_MINUTE.wait(state, now).is_zero() {
                    state = TEN_A_MINUTE.count(state, now);
                    admitted += 1;
                }
                prop_assert!(admitted <= 10 + now.since(NOON).as_secs() / 6);
            }
        }

        #[test]
        fn a_guess_is_never_admitted_before_its_wait_is_over(gaps in prop::collection::vec(0_u64..7_200, 1..200)) {
            let rule = Rule::Guesses(GUESSES);
            let (mut state, mut now) = (State::EMPTY, NOON);
            for gap in gaps {
                now = now + Duration::from_secs(gap);
                let wait = rule.wait(state, now);
                prop_assert!(wait <= DAY);
                if wait.is_zero() {
                    state = rule.count(state, now);
                } else {
                    prop_assert!(rule.wait(state, now + wait).is_zero());
                }
            }
        }
    }
}
