//! When requests begin: as soon as the last one is answered, or at a fixed rate whatever becomes of the others.
//!
//! At a fixed rate the `n`th request is meant to begin at `begin + n / rate`. Its latency counts from then, also when every
//! client was busy at the time and it began late: leaving that wait out is what is called coordinated omission.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;

/// A run's time, and how its requests are spread over it.
pub struct Pace {
    /// The first request.
    pub begin: Instant,
    /// Requests that are meant to begin from here on count.
    pub from: Instant,
    /// None is meant to begin from here on.
    pub until: Instant,
    /// At most so many.
    limit: u64,
    taken: Cell<u64>,
    rate: Option<Rate>,
}

struct Rate {
    per_second: f64,
    /// One permit for each request whose time has come.
    due: Semaphore,
}

/// The start of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Counts from 0 over all clients.
    pub number: u64,
    /// When it was meant to begin.
    pub at: Instant,
}

/// How long after the end requests may begin that were due before it.
const PATIENCE: Duration = Duration::from_secs(15);

impl Pace {
    /// Each client begins a request when its last one is answered.
    pub fn closed(begin: Instant, warm_up: Duration, duration: Duration, limit: Option<u64>) -> Self {
        let from = begin + warm_up;
        Self { begin, from, until: from + duration, limit: limit.unwrap_or(u64::MAX), taken: Cell::new(0), rate: None }
    }

    /// Requests begin at a fixed rate.
    pub fn fixed(begin: Instant, warm_up: Duration, duration: Duration, limit: Option<u64>, per_second: f64) -> Self {
        let all = ((warm_up + duration).as_secs_f64() * per_second).floor();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
        let all = all as u64;
        let rate = Some(Rate { per_second, due: Semaphore::new(0) });
        let limit = limit.unwrap_or(u64::MAX).min(all);
        Self { limit, rate, ..Self::closed(begin, warm_up, duration, None) }
    }

    /// The start of the next request, when it is time; `None` when there are no more.
    pub async fn next(&self) -> Option<Start> {
        if let Some(rate) = &self.rate {
            rate.due.acquire().await.ok()?.forget();
        }
        let now = Instant::now();
        let number = self.taken.get();
        let (at, latest) = match &self.rate {
            None => (now, self.until),
            Some(rate) => (self.begin + rate.offset(number), self.until + PATIENCE),
        };
        if number >= self.limit || now >= latest {
            return None;
        }
        self.taken.set(number + 1);
        Some(Start { number, at })
    }

    /// Whether requests begin whatever becomes of the others.
    pub fn is_fixed(&self) -> bool {
        self.rate.is_some()
    }

    /// How many were due and never began, because the clients were busy until long after the end.
    pub fn missed(&self) -> u64 {
        if self.rate.is_some() { self.limit - self.taken.get() } else { 0 }
    }

    /// Lets requests begin when their time has come, and in the end every client see that there are no more. A closed loop
    /// needs none of this.
    ///
    /// # Errors
    /// The operating system's: there is no timer.
    pub async fn run(&self, clients: usize) -> std::io::Result<()> {
        let Some(rate) = &self.rate else { return Ok(()) };
        // Tokio's own timers tick once a millisecond, which is longer than most requests take.
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer: OwnedFd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(unsafe_code, reason = "the only way to wait for a timer of the system's")]
        // SAFETY: an `OwnedFd` keeps its descriptor open, and the same one, for as long as it lives.
        let timer = unsafe { AsyncFd::register(timer) }.map_err(std::io::Error::from)?;
        for number in 0..self.limit {
            let at = self.begin + rate.offset(number);
            let wait = at.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                let once = Itimerspec { it_interval: Timespec::default(), it_value: timespec(wait) };
                rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
                // Setting it again takes the expiry back, so that nothing has to be read.
                timer.readable().await?.clear_ready();
            }
            rate.due.add_permits(1);
        }
        rate.due.add_permits(clients);
        Ok(())
    }
}

impl Rate {
    fn offset(&self, number: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "exact for any number of requests that a run can make")]
        Duration::from_secs_f64(number as f64 / self.per_second)
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
    }

    #[test]
    fn a_busy_client_does_not_move_the_times_at_which_requests_were_meant_to_begin() {
        let begin = Instant::now();
        let pace = Pace::fixed(begin, Duration::ZERO, Duration::from_millis(100), None, 100.0);
        let starts = block_on(async {
            let client = async {
                let mut starts = Vec::new();
                while let Some(start) = pace.next().await {
                    if start.number == 2 {
                        tokio::time::sleep(Duration::from_millis(50)).await; // the server stalls
                    }
                    starts.push((start, Instant::now()));
                }
                starts
            };
            tokio::join!(pace.run(1), client).1
        });
        assert_eq!(starts.len(), 10);
        for (number, (start, began)) in (0_u64..).zip(&starts) {
            assert_eq!((start.number, start.at), (number, begin + Duration::from_millis(10 * number)));
            assert!(*began >= start.at);
        }
        let (late, began) = starts[3];
        assert!(began - late.at >= Duration::from_millis(35), "the wait behind the stalled one counts");
        assert_eq!(pace.missed(), 0);
    }

    #[test]
    fn a_closed_loop_ends_in_time_or_with_its_last_request() {
        let begin = Instant::now();
        let none_left = Pace::closed(begin, Duration::ZERO, Duration::from_secs(60), Some(2));
        let over = Pace::closed(begin, Duration::ZERO, Duration::ZERO, None);
        block_on(async {
            assert_eq!(none_left.next().await.map(|start| start.number), Some(0));
            assert_eq!(none_left.next().await.map(|start| start.number), Some(1));
            assert_eq!(none_left.next().await, None);
            assert_eq!(over.next().await, None);
        });
    }
}
