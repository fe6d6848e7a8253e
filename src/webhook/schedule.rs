//! When a message that was not taken is sent again. Pure.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// Seconds after each attempt; after the last there is none. Seventy-six hours in all, as Standard Webhooks recommends: a receiver
/// that breaks on a Friday evening is mended by then.
const WAITS_SECONDS: [u64; 9] =
    [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

/// How often a message is sent at most.
pub const MAX_ATTEMPTS: i64 = WAITS_SECONDS.len() as i64 + 1;

/// How long after so many attempts the next one is made; `None`: never. `chance` spreads it by a fifth, so that what failed at
/// the same time is not sent again at the same time.
pub fn wait_after(attempts: i64, chance: u8) -> Option<Duration> {
    let place = usize::try_from(attempts.checked_sub(1)?).ok()?;
    let wait = Duration::from_secs(*WAITS_SECONDS.get(place)?);
    // From 0.9 to 1.1 of it.
    Some(wait.mul_f64(0.9 + 0.2 * f64::from(chance) / 255.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_attempts_in_about_three_days() {
        let sum = |chance| (1..MAX_ATTEMPTS).map(|n| wait_after(n, chance).expect("a wait")).sum::<Duration>();
        assert_eq!(MAX_ATTEMPTS, 10);
        for (chance, hours) in [(0, 68), (255, 83)] {
            assert_eq!(sum(chance).as_secs() / HOUR, hours);
        }
        assert_eq!((wait_after(MAX_ATTEMPTS, 0), wait_after(0, 0), wait_after(i64::MAX, 0)), (None, None, None));
        assert_eq!(wait_after(1, 0), Some(Duration::from_millis(4_500)));
        assert!(wait_after(1, 200) > wait_after(1, 100));
    }
}
