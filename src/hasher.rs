//! Password hashing: Argon2id on threads of its own, with memory that is kept, and a queue that is bounded by time.
//!
//! A hash takes some ten milliseconds of a core, so log-ins are the one thing that can starve everything else. Here they
//! can only starve each other: the threads are few, and when the wait would exceed the limit the answer is "busy" at
//! once, while refreshes and verifications go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;
use tracing::field::Empty;
use zeroize::Zeroizing;

use crate::account::password::Password;
use crate::config::HashingConfig;
use crate::metrics::Metrics;
use crate::random;
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
        /// How long the queue is now.
        wait: Duration,
    },
    /// A stored hash is no Argon2 PHC string.
    #[error("a stored password hash is unreadable: {0}")]
    Malformed(String),
}

/// The pool of hashing threads. They end when the last clone is dropped.
#[derive(Clone)]
pub struct Hasher {
    jobs: crossbeam_channel::Sender<Job>,
    load: Arc<Load>,
    max_wait: Duration,
    /// Checked against when there is no such user, so that the answer costs the same.
    decoy: Arc<str>,
}

/// What is known of the queue, to foresee the wait.
struct Load {
    threads: usize,
    /// Jobs waiting or running.
    jobs: AtomicUsize,
    /// A moving average of what one job takes.
    job_nanos: AtomicU64,
    metrics: Metrics,
}

struct Job {
    password: Zeroizing<String>,
    task: Task,
    queued: Instant,
    /// From queueing to the result; whatever is logged meanwhile belongs to the request.
    span: tracing::Span,
}

enum Task {
    Hash(oneshot::Sender<Result<String, Error>>),
    Verify { stored: Arc<str>, reply: oneshot::Sender<Result<Verdict, Error>> },
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
        let (jobs, queue) = crossbeam_channel::unbounded::<Job>();
        let load = Arc::new(Load {
            threads,
            jobs: AtomicUsize::new(0),
            // Until the first one is measured; the average follows within a few jobs.
            job_nanos: AtomicU64::new(20_000_000),
            metrics,
        });
        let mut kernel = Kernel { params, pepper: Zeroizing::new(config.pepper.0.clone()), memory: Vec::new() };
        let decoy = kernel.hash(&Zeroizing::new(URL_SAFE_NO_PAD.encode(random::bytes::<16>())));
        for number in 0..threads {
            let (queue, load, max_wait) = (queue.clone(), Arc::clone(&load), config.max_wait.0);
            let kernel = kernel.for_another_thread();
            std::thread::Builder::new()
                .name(format!("hasher-{number}"))
                .spawn(move || work(&queue, &load, max_wait, kernel))?;
        }
        Ok(Self { jobs, load, max_wait: config.max_wait.0, decoy: decoy.into() })
    }

    /// Hashes a new password into a PHC string.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub async fn hash(&self, password: &Password) -> Result<String, Error> {
        let (reply, answer) = oneshot::channel();
        self.queue(password, Task::Hash(reply))?;
        answer.await.unwrap_or(Err(Error::Overloaded { wait: self.max_wait }))
    }

    /// Checks a password against a stored PHC string, or against a decoy if there is none: the same work either way.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn verify(&self, password: &Password, stored: Option<&str>) -> Result<Verdict, Error> {
        let is_decoy = stored.is_none();
        let stored = stored.map_or_else(|| Arc::clone(&self.decoy), Arc::from);
        let (reply, answer) = oneshot::channel();
        self.queue(password, Task::Verify { stored, reply })?;
        let verdict = answer.await.unwrap_or(Err(Error::Overloaded { wait: self.max_wait }))?;
        Ok(if is_decoy { Verdict::Wrong } else { verdict })
    }

    /// Whether a log-in would be refused now.
    pub fn is_saturated(&self) -> bool {
        self.load.expected_wait() > self.max_wait
    }

    fn queue(&self, password: &Password, task: Task) -> Result<(), Error> {
        let wait = self.load.expected_wait();
        if wait > self.max_wait {
            self.load.metrics.hash_shed.inc();
            return Err(Error::Overloaded { wait });
        }
        self.load.jobs.fetch_add(1, Ordering::Relaxed);
        self.load.metrics.hash_queue.inc();
        let span = tracing::info_span!(target: SPANS, "hash", signet.hash.wait_us = Empty).or_current();
        let job = Job { password: Zeroizing::new(password.expose().to_owned()), task, queued: Instant::now(), span };
        self.jobs.send(job).expect("the threads live as long as a sender does");
        Ok(())
    }
}

impl Load {
    /// What one more job would wait: as many as are too many for the threads, shared among them.
    fn expected_wait(&self) -> Duration {
        let in_the_way = (self.jobs.load(Ordering::Relaxed) + 1).saturating_sub(self.threads);
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let nanos = self.job_nanos.load(Ordering::Relaxed).saturating_mul(count(in_the_way)) / count(self.threads);
        Duration::from_nanos(nanos)
    }

    fn finished(&self, took: Duration) {
        self.metrics.hash_time.observe(took.as_secs_f64());
        self.jobs.fetch_sub(1, Ordering::Relaxed);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let average = self.job_nanos.load(Ordering::Relaxed);
        self.job_nanos.store(average - average / 8 + took / 8, Ordering::Relaxed);
    }
}

/// What one thread does until the last [`Hasher`] is gone.
fn work(queue: &crossbeam_channel::Receiver<Job>, load: &Load, max_wait: Duration, mut kernel: Kernel) {
    for job in queue {
        load.metrics.hash_queue.dec();
        let waited = job.queued.elapsed();
        load.metrics.hash_wait.observe(waited.as_secs_f64());
        if job.task.is_abandoned() {
            load.jobs.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        if waited > max_wait {
            load.metrics.hash_shed.inc();
            load.jobs.fetch_sub(1, Ordering::Relaxed);
            continue; // whoever waits for a job that is dropped is told that the queue is too long
        }
        job.span.record("signet.hash.wait_us", u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        let _span = job.span.entered();
        let _work = tracing::info_span!(target: SPANS, "hash.work").entered();
        let begun = Instant::now();
        // The other end may be gone; then nobody wants the result.
        match job.task {
            Task::Hash(reply) => {
                let hash = kernel.hash(&job.password);
                load.finished(begun.elapsed());
                drop(reply.send(Ok(hash)));
            }
            Task::Verify { stored, reply } => {
                let verdict = kernel.verify(&job.password, &stored);
                load.finished(begun.elapsed());
                drop(reply.send(verdict));
            }
        }
    }
}

impl Task {
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash(reply) => reply.is_closed(),
            Self::Verify { reply, .. } => reply.is_closed(),
        }
    }
}

/// Argon2id with its memory.
struct Kernel {
    params: Params,
    pepper: Zeroizing<String>,
    memory: Vec<Block>,
}

impl Kernel {
    fn for_another_thread(&self) -> Self {
        Self { params: self.params.clone(), pepper: self.pepper.clone(), memory: Vec::new() }
    }

    fn hash(&mut self, password: &Zeroizing<String>) -> String {
        const VALID: &str = "our own parameters, salt and output length are valid";
        let salt = random::bytes::<16>();
        let mut output = Zeroizing::new([0; Params::DEFAULT_OUTPUT_LEN]);
        let params = self.params.clone();
        self.run(&params, password, &salt, output.as_mut_slice()).expect(VALID);
        phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: phc::ParamsString::try_from(&params).expect(VALID),
            salt: Some(phc::Salt::new(&salt).expect(VALID)),
            hash: Some(phc::Output::new(output.as_slice()).expect(VALID)),
        }
        .to_string()
    }

    fn verify(&mut self, password: &Zeroizing<String>, stored: &str) -> Result<Verdict, Error> {
        let malformed = |error: &dyn std::fmt::Display| Error::Malformed(error.to_string());
        let parsed = phc::PasswordHash::new(stored).map_err(|error| malformed(&error))?;
        if parsed.algorithm != Algorithm::Argon2id.ident() {
            return Err(malformed(&"not Argon2id"));
        }
        let params = Params::try_from(&parsed).map_err(|error| malformed(&error))?;
        let (Some(salt), Some(expected)) = (&parsed.salt, &parsed.hash) else {
            return Err(malformed(&"no salt or no hash"));
        };
        let mut output = Zeroizing::new(vec![0; expected.len()]);
        self.run(&params, password, salt.as_ref(), &mut output).map_err(|error| malformed(&error))?;
        if bool::from(output.as_slice().ct_eq(expected.as_bytes())) {
            let current = &self.params;
            let outdated = (params.m_cost(), params.t_cost(), params.p_cost())
                != (current.m_cost(), current.t_cost(), current.p_cost());
            Ok(Verdict::Right { outdated })
        } else {
            Ok(Verdict::Wrong)
        }
    }

    fn run(&mut self, params: &Params, password: &str, salt: &[u8], output: &mut [u8]) -> argon2::Result<()> {
        let blocks = params.block_count();
        if self.memory.len() < blocks {
            self.memory.resize(blocks, Block::default());
        }
        Argon2::new_with_secret(self.pepper.as_bytes(), Algorithm::Argon2id, Version::V0x13, params.clone())?
            .hash_password_into_with_memory(password.as_bytes(), salt, output, &mut self.memory[..blocks])
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::config::{Period, Secret};

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
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    #[test]
    fn a_hash_is_a_phc_string_that_opens_for_its_password_only() {
        let hasher = hasher(&config());
        block_on(async {
            let stored = hasher.hash(&password("correct horse")).await.expect("hashes");
            assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
            let verdict = async |text: &str| hasher.verify(&password(text), Some(&stored)).await.expect("verifies");
            assert_eq!(verdict("correct horse").await, Verdict::Right { outdated: false });
            assert_eq!(verdict("correct horsf").await, Verdict::Wrong);
            assert_ne!(stored, hasher.hash(&password("correct horse")).await.expect("hashes"), "the salt differs");
        });
    }

    #[test]
    fn the_reference_vector_of_argon2id_holds() {
        // From the Argon2 reference implementation's own tests: "password", "somesalt", m=65536, t=2, p=1.
        let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let verdict = block_on(hasher(&config()).verify(&password("password"), Some(stored))).expect("verifies");
        assert_eq!(verdict, Verdict::Right { outdated: true });
    }

    #[test]
    fn an_unknown_user_costs_one_hash_and_is_never_right() {
        let hasher = hasher(&config());
        assert_eq!(block_on(hasher.verify(&password("anything"), None)).expect("verifies"), Verdict::Wrong);
        assert_eq!(hasher.load.metrics.hash_time.get_sample_count(), 1);
    }

    #[test]
    fn a_pepper_is_part_of_every_hash() {
        let stored = block_on(hasher(&config()).hash(&password("correct horse"))).expect("hashes");
        let peppered = hasher(&HashingConfig { pepper: Secret("p".to_owned()), ..config() });
        let verdict = block_on(peppered.verify(&password("correct horse"), Some(&stored))).expect("verifies");
        assert_eq!(verdict, Verdict::Wrong);
    }

    #[test]
    fn the_wait_is_foreseen_from_what_is_ahead_of_a_job() {
        let wait = |threads, jobs| {
            let job_nanos = AtomicU64::new(10_000_000);
            let load = Load { threads, jobs: AtomicUsize::new(jobs), job_nanos, metrics: Metrics::default() };
            load.expected_wait().as_millis()
        };
        assert_eq!([0, 1, 2, 3].map(|jobs| wait(1, jobs)), [0, 10, 20, 30], "each job ahead is waited for");
        assert_eq!([0, 1, 2, 3, 4, 5].map(|jobs| wait(2, jobs)), [0, 0, 5, 10, 15, 20], "two threads share them");
    }

    #[test]
    fn the_average_follows_what_jobs_take() {
        let load = Load {
            threads: 1,
            jobs: AtomicUsize::new(100),
            job_nanos: AtomicU64::new(80),
            metrics: Metrics::default(),
        };
        load.finished(Duration::from_nanos(160));
        assert_eq!((load.job_nanos.load(Ordering::Relaxed), load.jobs.load(Ordering::Relaxed)), (90, 99));
        for _ in 0..99 {
            load.finished(Duration::from_nanos(800));
        }
        let average = load.job_nanos.load(Ordering::Relaxed);
        assert!((750..=800).contains(&average), "{average}");
    }

    /// One thread, and a hash that takes far longer than the wait that it allows.
    fn slow_hasher() -> Hasher {
        let config = HashingConfig {
            memory_kib: 128 * 1024,
            iterations: 4,
            max_wait: Period(Duration::from_millis(150)),
            ..config()
        };
        hasher(&config)
    }

    #[test]
    fn a_job_that_waited_too_long_after_all_is_dropped_unhashed() {
        let hasher = slow_hasher();
        let (first, second) = block_on(async {
            let password = password("correct horse");
            futures_util::future::join(hasher.hash(&password), hasher.hash(&password)).await
        });
        first.expect("hashed");
        assert!(matches!(second, Err(Error::Overloaded { .. })), "{second:?}");
        assert_eq!((hasher.load.metrics.hash_time.get_sample_count(), hasher.load.metrics.hash_shed.get()), (1, 1));
    }

    #[test]
    fn a_job_that_nobody_waits_for_any_more_is_not_done() {
        let hasher = slow_hasher();
        block_on(async {
            let password = password("correct horse");
            let first = hasher.hash(&password);
            let mut abandoned = Box::pin(hasher.hash(&password));
            let mut first = Box::pin(first);
            // Both are queued by their first poll; then one is given up, as when a client goes away.
            assert!((&mut first).now_or_never().is_none() && (&mut abandoned).now_or_never().is_none());
            drop(abandoned);
            first.await.expect("hashed");
        });
        while hasher.load.jobs.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        assert_eq!((hasher.load.metrics.hash_time.get_sample_count(), hasher.load.metrics.hash_shed.get()), (1, 0));
    }

    #[test]
    fn a_wait_of_exactly_the_limit_is_still_taken() {
        let hasher = hasher(&HashingConfig { max_wait: Period(Duration::from_millis(20)), ..config() });
        hasher.load.job_nanos.store(20_000_000, Ordering::Relaxed);
        hasher.load.jobs.store(1, Ordering::Relaxed);
        block_on(hasher.hash(&password("correct horse"))).expect("taken");
    }

    #[test]
    fn a_queue_longer_than_the_limit_is_refused_at_once() {
        let hasher = hasher(&HashingConfig { max_wait: Period(Duration::from_millis(50)), ..config() });
        hasher.load.jobs.store(1_000, Ordering::Relaxed);
        let refused = block_on(hasher.hash(&password("correct horse"))).expect_err("too many ahead");
        assert!(matches!(refused, Error::Overloaded { wait } if wait > Duration::from_millis(50)));
        assert_eq!(hasher.load.metrics.hash_shed.get(), 1);
    }

    #[test]
    fn an_unreadable_stored_hash_is_an_error_not_a_wrong_password() {
        let hasher = hasher(&config());
        for stored in [
            "",
            "plain",
            "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ",
            "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo",
        ] {
            let outcome = block_on(hasher.verify(&password("correct horse"), Some(stored)));
            assert!(matches!(outcome, Err(Error::Malformed(_))), "{stored}: {outcome:?}");
        }
    }
}
