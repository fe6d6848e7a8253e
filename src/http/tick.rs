//! Answers that are given when a clock ticks, so that their time does not tell what was done for them.
//!
//! For what is one answer but not quite one piece of work: a letter to somebody's address is written down in the same
//! transaction whether or not they have an account, yet an account is some rows more. That is well under a millisecond, and
//! somebody who asks often enough sees it. Rounded up to whole ticks it is seen only where a tick falls between the two, which is
//! as rare as the difference is small beside the tick, however many other requests there are.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Several times what the work takes on an idle machine, most of which is one hash; and nobody who registers, or waits for a
/// mail, minds it.
pub const TICK: Duration = Duration::from_millis(100);

/// Does `work`, and returns what came of it a whole number of ticks after it was begun, at least one.
pub async fn at_tick<T>(work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = work.await;
    sleep_until(begun + first_tick_after(begun.elapsed())).await;
    done
}

fn first_tick_after(elapsed: Duration) -> Duration {
    let ticks = elapsed.as_millis() / TICK.as_millis() + 1;
    TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_with_the_first_tick_after_the_work() {
        let micros = Duration::from_micros;
        for (elapsed, ticks) in
            [(0, 1), (1, 1), (15_000, 1), (99_999, 1), (100_000, 2), (199_999, 2), (10_000_000, 101)]
        {
            assert_eq!(first_tick_after(micros(elapsed)), TICK * ticks, "{elapsed} µs of work");
        }
    }
}
