//! Password hashing: Argon2id on threads of its own, with memory that is kept, and a queue that is bounded by time.
//!
//! A hash takes some ten milliseconds of a core, so log-ins are the one thing that can starve everything else. Here they
//! can only starve each other: the threads are few, and when the wait would exceed the limit the answer is "busy" at
//! once, while refreshes and verifications go on.
//!
//! [`queue`] says whose turn it is, [`kernel`] computes, [`foreign`] checks what other services made.

pub(crate) mod foreign;
mod kernel;
mod queue;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::Params;
use tokio::sync::oneshot;
use tracing::field::Empty;
use zeroize::Zeroizing;

use self::foreign::ForeignHash;
use self::kernel::Kernel;
use self::queue::{Queue, Source};
use crate::account::password::Password;
use crate::config::HashingConfig;
use crate::metrics::{Held, Hold, Metrics};
use crate::patience::within;
use crate::telemetry::SPANS;

/// What a check of a password gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is not this password.
    Wrong,
    /// It is.
    Right {
        /// The hash was made with other parameters than today's and should be replaced.
        outdated: bool,
    },
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue is longer than a request may wait.
    #[error("too many passwords wait to be hashed; try again in {wait:?}")]
    Overloaded {
        /// How long this source's next hash would wait.
        wait: Duration,
    },
    /// A stored hash is no Argon2 PHC string, and none that was taken over.
    #[error("a stored password hash is unreadable: {0}")]
    Malformed(String),
    /// A defect of ours; the log says where.
    #[error("hashing a password failed")]
    Panicked,
}

/// The pool of hashing threads. They end when it is dropped.
pub struct Hasher {
    pool: Arc<Pool>,
    max_wait: Duration,
    /// Checked against when there is no such user, so that the answer costs the same.
    decoy: Arc<str>,
}

/// What the threads and those who wait for them share.
struct Pool {
    queue: Queue<Job>,
    metrics: Metrics,
}

struct Job {
    work: Box<dyn FnOnce(&mut Kernel) + Send>,
    queued: Instant,
    /// From queueing to the result; whatever is logged meanwhile belongs to the request.
    span: tracing::Span,
    /// Counts it among those that wait.
    waiting: Held,
}

impl Hasher {
    /// Starts the threads.
    ///
    /// # Errors
    /// If a thread cannot be started.
    ///
    /// # Panics
    /// If the parameters are out of Argon2's bounds, which [`Config::findings`](crate::config::Config::findings) excludes.
    pub fn start(config: &HashingConfig, metrics: Metrics) -> std::io::Result<Self> {
        let threads = config.threads();
        metrics.hash_threads.set(i64::try_from(threads).unwrap_or(i64::MAX));
        let params = Params::new(config.memory_kib, config.iterations, config.parallelism, None)
            .expect("the configuration was checked");
        let kernel = Kernel::new(params, Zeroizing::new(config.pepper.0.clone()));
        let pool = Arc::new(Pool { queue: Queue::new(threads, config.max_wait.0), metrics });
        // Before the threads: if one cannot be started, dropping it ends those that were.
        let hasher = Self { pool, max_wait: config.max_wait.0, decoy: kernel.decoy().into() };
        for number in 0..threads {
            let (pool, kernel) = (Arc::clone(&hasher.pool), kernel.for_another_thread());
            std::thread::Builder::new().name(format!("hasher-{number}")).spawn(move || work_off(&pool, kernel))?;
        }
        Ok(hasher)
    }

    /// Hashes a new password into a PHC string, in the turn of the address that asks.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub async fn hash(&self, password: &Password, from: Option<IpAddr>) -> Result<String, Error> {
        let password = Zeroizing::new(password.expose().to_owned());
        self.run(from, move |kernel| kernel.hash(&password)).await
    }

    /// Checks a password against a stored PHC string, or against a decoy if there is none: the same work either way.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn verify(
        &self,
        password: &Password,
        stored: Option<&str>,
        from: Option<IpAddr>,
    ) -> Result<Verdict, Error> {
        let is_decoy = stored.is_none();
        let stored = stored.map_or_else(|| Arc::clone(&self.decoy), Arc::from);
        let password = password.clone();
        let verdict = self.run(from, move |kernel| verify(kernel, &password, &stored)).await??;
        Ok(if is_decoy { Verdict::Wrong } else { verdict })
    }

    /// Refuses an address whose next hash would wait too long. To be asked before anything is done for it that costs.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn admit(&self, from: Option<IpAddr>) -> Result<(), Error> {
        self.pool.queue.refusal(Source::of(from)).map_or(Ok(()), |wait| Err(self.shed(wait)))
    }

    /// The hash of a password that nobody knows, for an account that is to have none.
    pub fn nobodys_hash(&self) -> Arc<str> {
        Arc::clone(&self.decoy)
    }

    /// Whether a log-in would be refused now that comes from an address which has none waiting.
    pub fn is_saturated(&self) -> bool {
        self.pool.queue.is_saturated()
    }

    /// Has a thread do the work in the turn of `from`, unless that would take too long. If the caller does not wait for it,
    /// it is not done.
    async fn run<T: Send + 'static>(
        &self,
        from: Option<IpAddr>,
        work: impl FnOnce(&mut Kernel) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, mut answer) = oneshot::channel();
        let hash_time = self.pool.metrics.hash_time.clone();
        let job = Job {
            work: Box::new(move |kernel| {
                let begun = Instant::now();
                let result = work(kernel);
                // First, so that whoever has the answer finds it counted.
                hash_time.observe(begun.elapsed().as_secs_f64());
                drop(reply.send(result));
            }),
            queued: Instant::now(),
            span: tracing::info_span!(target: SPANS, "hash", signet.hash.wait_us = Empty).or_current(),
            waiting: self.pool.metrics.hash_queue.hold(),
        };
        let source = Source::of(from);
        let place = self.pool.queue.join(source, job).map_err(|wait| self.shed(wait))?;
        // Whoever comes later from elsewhere may have come before it, so what was foreseen may not hold.
        let in_time = within(self.max_wait, &mut answer).await;
        if in_time.is_none() && place.leave() {
            return Err(self.shed(self.max_wait.max(self.pool.queue.refusal(source).unwrap_or_default())));
        }
        let result = match in_time {
            Some(result) => result,
            None => answer.await, // it is running
        };
        result.map_err(|_| Error::Panicked)
    }

    fn shed(&self, wait: Duration) -> Error {
        self.pool.metrics.hash_shed.inc();
        Error::Overloaded { wait }
    }
}

fn verify(kernel: &mut Kernel, password: &Password, stored: &str) -> Result<Verdict, Error> {
    match ForeignHash::stored(stored) {
        None => kernel.verify(password.expose(), stored),
        Some(Ok(hash)) if hash.opens_for(password) => Ok(Verdict::Right { outdated: true }),
        Some(Ok(_)) => Ok(Verdict::Wrong),
        Some(Err(refused)) => Err(Error::Malformed(refused.to_string())),
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.pool.queue.close();
    }
}

/// What one thread does until the [`Hasher`] is gone.
fn work_off(pool: &Pool, mut kernel: Kernel) {
    give_way();
    while let Some(Job { work, queued, span, waiting }) = pool.queue.next() {
        drop(waiting);
        let waited = queued.elapsed();
        pool.metrics.hash_wait.observe(waited.as_secs_f64());
        span.record("signet.hash.wait_us", u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        let _span = span.entered();
        let _work = tracing::info_span!(target: SPANS, "hash.work").entered();
        let begun = Instant::now();
        // Whoever waits for it is told by the reply that is gone; the log has been told where it was.
        let survived = catch_unwind(AssertUnwindSafe(|| work(&mut kernel))).is_ok();
        pool.queue.ended(survived.then(|| begun.elapsed()));
        if !survived {
            pool.metrics.http_panics.inc();
            kernel = kernel.for_another_thread();
        }
    }
}

/// How far below everything else the threads stand, in the steps of nice(1): a third of the processor where they compete. That
/// another program competes as well, at most three times as strong, is what keeps this from being more.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// Lets whatever is quickly done go first: a refresh need not wait until a hash has had its share of the processor.
/// Where the system forbids it, all are equal as before.
#[cfg(target_os = "linux")]
fn give_way() {
    use rustix::process::{getpriority_process, setpriority_process};
    let thread = Some(rustix::thread::gettid());
    let _ = getpriority_process(thread).and_then(|now| setpriority_process(thread, (now + NICENESS).min(19)));
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join;

    use super::*;
    use crate::config::{Period, Secret};

    const NOBODY: Option<IpAddr> = None;

    fn config() -> HashingConfig {
        HashingConfig { threads: 1, memory_kib: 64, iterations: 1, ..HashingConfig::default() }
    }

    fn hasher(config: &HashingConfig) -> Hasher {
        Hasher::start(config, Metrics::default()).expect("threads start")
    }

    fn password(text: &str) -> Password {
        Password::parse(text).expect("a password")
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
    }

    #[test]
    fn the_threads_end_with_the_hasher() {
        let hasher = hasher(&config());
        let pool = Arc::downgrade(&hasher.pool);
        drop(hasher);
        let begun = Instant::now();
        while pool.strong_count() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "a thread goes on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_hash_is_a_phc_string_that_opens_for_its_password_only() {
        let hasher = hasher(&config());
        block_on(async {
            let stored = hasher.hash(&password("correct horse"), NOBODY).await.expect("hashes");
            assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
            let verdict =
                async |text: &str| hasher.verify(&password(text), Some(&stored), NOBODY).await.expect("verifies");
            assert_eq!(verdict("correct horse").await, Verdict::Right { outdated: false });
            assert_eq!(verdict("correct horsf").await, Verdict::Wrong);
            let again = hasher.hash(&password("correct horse"), NOBODY).await.expect("hashes");
            assert_ne!(stored, again, "the salt differs");
        });
    }

    #[test]
    fn an_unknown_user_costs_one_hash_and_is_never_right() {
        let hasher = hasher(&config());
        let verdict = block_on(hasher.verify(&password("anything"), None, NOBODY)).expect("verifies");
        assert_eq!(verdict, Verdict::Wrong);
        assert_eq!(hasher.pool.metrics.hash_time.get_sample_count(), 1);
    }

    #[test]
    fn a_pepper_is_part_of_every_hash() {
        let stored = block_on(hasher(&config()).hash(&password("correct horse"), NOBODY)).expect("hashes");
        let peppered = hasher(&HashingConfig { pepper: Secret("p".to_owned()), ..config() });
        let verdict = block_on(peppered.verify(&password("correct horse"), Some(&stored), NOBODY)).expect("verifies");
        assert_eq!(verdict, Verdict::Wrong);
    }

    #[test]
    fn an_unreadable_stored_hash_is_an_error_not_a_wrong_password() {
        let hasher = hasher(&config());
        for stored in [
            "",
            "plain",
            "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ",
            "$argon2id$v=17$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo",
            "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo",
        ] {
            let outcome = block_on(hasher.verify(&password("correct horse"), Some(stored), NOBODY));
            assert!(matches!(outcome, Err(Error::Malformed(_))), "{stored}: {outcome:?}");
        }
    }

    #[test]
    fn a_panic_is_an_error_of_its_request_and_the_thread_goes_on() {
        let hasher = hasher(&config());
        for count in 1..=3 {
            let outcome = block_on(hasher.run(NOBODY, |_| panic!("on purpose")));
            assert!(matches!(outcome, Err::<(), _>(Error::Panicked)), "{outcome:?}");
            for _ in 0..2 {
                block_on(hasher.hash(&password("correct horse"), NOBODY)).expect("the only thread lives");
            }
            assert_eq!(hasher.pool.metrics.http_panics.get(), count);
        }
        assert_eq!(hasher.pool.metrics.hash_time.get_sample_count(), 6);
        while hasher.pool.queue.unfinished() > 0 {
            std::thread::yield_now(); // nothing counts as running for ever
        }
    }

    /// One thread, and a queue of so much time.
    fn patient(max_wait: Duration) -> Hasher {
        hasher(&HashingConfig { max_wait: Period(max_wait), ..config() })
    }

    const JOB: Duration = Duration::from_secs(1);

    fn slow(_: &mut Kernel) {
        std::thread::sleep(JOB);
    }

    #[test]
    fn a_job_that_waited_too_long_after_all_is_not_done() {
        let hasher = patient(JOB / 2);
        let (first, second) = block_on(join(hasher.run(NOBODY, slow), hasher.run(NOBODY, slow)));
        first.expect("done");
        assert!(matches!(second, Err(Error::Overloaded { wait }) if wait >= JOB / 2), "{second:?}");
        let metrics = &hasher.pool.metrics;
        assert_eq!(
            (metrics.hash_time.get_sample_count(), metrics.hash_shed.get(), metrics.hash_queue.get()),
            (1, 1, 0)
        );
    }

    #[test]
    fn a_job_that_nobody_waits_for_any_more_leaves_the_queue_at_once() {
        let hasher = patient(JOB * 10);
        block_on(async {
            let mut first = Box::pin(hasher.run(NOBODY, slow));
            let mut abandoned = Box::pin(hasher.run(NOBODY, slow));
            // Both are queued by their first poll; then one is given up, as when a client goes away.
            assert!((&mut first).now_or_never().is_none() && (&mut abandoned).now_or_never().is_none());
            while hasher.pool.metrics.hash_queue.get() > 1 {
                std::thread::yield_now();
            }
            drop(abandoned);
            assert_eq!(hasher.pool.metrics.hash_queue.get(), 0);
            first.await.expect("done");
        });
        assert_eq!((hasher.pool.metrics.hash_time.get_sample_count(), hasher.pool.metrics.hash_shed.get()), (1, 0));
    }

    #[test]
    fn an_address_that_floods_is_refused_and_delays_another_by_no_more_than_one_job() {
        const ONE: Duration = Duration::from_millis(10);
        let hasher = patient(ONE * 100);
        let [flooder, other] = [1, 2].map(|last| Some(IpAddr::from([192, 0, 2, last])));
        let brief = |_: &mut Kernel| std::thread::sleep(ONE);
        block_on(async {
            for _ in 0..8 {
                hasher.run(NOBODY, brief).await.expect("so that the average is known");
            }
            let flood = futures_util::future::join_all((0..1_000).map(|_| hasher.run(flooder, brief)));
            let bystander = async {
                tokio::task::yield_now().await;
                assert!(hasher.admit(flooder).is_err() && !hasher.is_saturated());
                hasher.admit(other).expect("let in");
                let done = hasher.pool.metrics.hash_time.get_sample_count();
                hasher.run(other, brief).await.expect("done");
                hasher.pool.metrics.hash_time.get_sample_count() - done
            };
            let (flood, jobs) = join(flood, bystander).await;
            // What ran, one job of the flood in between, its own, and one more if we were late to look.
            assert!(jobs <= 4, "{jobs} jobs until the other's was done");
            let refused = flood.iter().filter(|outcome| matches!(outcome, Err(Error::Overloaded { .. }))).count();
            assert!((800..1_000).contains(&refused), "{refused} of the flood were refused");
        });
    }

    #[test]
    fn a_queue_longer_than_the_limit_is_refused_at_once_and_said_beforehand() {
        let hasher = patient(Duration::from_millis(50));
        block_on(async {
            let from = |last| Some(IpAddr::from([192, 0, 2, last]));
            let mut waiting: Vec<_> = (0..4).map(|last| Box::pin(hasher.run(from(last), slow))).collect();
            let refused = waiting.iter_mut().filter_map(|job| job.now_or_never()).count();
            assert!(refused > 0 && hasher.is_saturated(), "four jobs that are presumed to take 20 ms each");
            let wait = hasher.admit(NOBODY).expect_err("too many ahead");
            assert!(matches!(wait, Error::Overloaded { wait } if wait > Duration::from_millis(50)));
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_threads_give_way_and_nobody_else_does() {
        let hasher = hasher(&config());
        let niceness = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).expect("known");
        let (own, theirs) = (niceness(), block_on(hasher.run(NOBODY, move |_| niceness())).expect("done"));
        assert_eq!(theirs, (own + NICENESS).min(19));
    }
}
