//! Waiting for so long and no longer, while the machine runs.
//!
//! A machine may stand still: paused, moved to another host, or with too much to do. When it goes on, every time that was to
//! end meanwhile is over at once, and whoever waited for work that stood still as well would be told that it took too long. So
//! a wait has parts, of which a standstill uses up one.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// What is left after a standstill in the first of them is nearly all; and whoever waits costs a timer for each.
const PARTS: u32 = 8;

/// What `work` leads to, or `None` if it takes longer than `limit`. To keep what was begun, hand over a reference to it.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    for _ in 0..PARTS {
        if let Ok(result) = timeout(limit / PARTS, work.as_mut()).await {
            return Some(result);
        }
    }
    None
}

/// Lets so much time go by.
pub async fn rest(time: Duration) {
    for _ in 0..PARTS {
        sleep(time / PARTS).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::future::{join, pending, ready};
    use tokio::sync::oneshot;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
    }

    /// As the machine does: nothing of ours goes on, and time does.
    async fn stand_still() {
        std::thread::sleep(LIMIT + LIMIT / 2);
    }

    #[test]
    fn what_is_there_is_given_and_what_never_comes_is_not_waited_for() {
        assert_eq!(block_on(within(LIMIT, ready(7))), Some(7));
        assert_eq!(block_on(within(Duration::ZERO, ready(7))), Some(7));
        let begun = Instant::now();
        assert_eq!(block_on(within(LIMIT / 10, pending::<()>())), None);
        assert!(begun.elapsed() >= LIMIT / 10);
    }

    #[test]
    fn what_comes_after_a_standstill_was_waited_for() {
        let (reply, answer) = oneshot::channel();
        let other = async {
            stand_still().await;
            tokio::task::yield_now().await;
            reply.send(7).expect("it is waited for");
        };
        // The wait is begun first, and asked first when the time goes on.
        let waited = within(LIMIT, async { answer.await.expect("sent") });
        assert_eq!(block_on(join(waited, other)).0, Some(7));
    }

    #[test]
    fn a_standstill_is_no_rest() {
        let rested = async {
            rest(LIMIT).await;
            Instant::now()
        };
        let stood_still = async {
            stand_still().await;
            Instant::now()
        };
        let (rested, stood_still) = block_on(join(rested, stood_still));
        assert!(rested - stood_still >= LIMIT / 2, "{:?}", rested - stood_still);
    }
}
