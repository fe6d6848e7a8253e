//! The keys in use: the ring of the folder as last read without fault, and the JWKS made from it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::jwks::Document;
use super::key_file::{self, Error};
use super::keyring::{Key, Keyring, State};
use crate::clock::Timestamp;
use crate::metrics::Metrics;

/// Follows a folder of keys.
pub struct Keys {
    dir: PathBuf,
    access_ttl: Duration,
    ring: Arc<ArcSwap<Keyring>>,
    document: ArcSwap<Document>,
    /// When the folder was last read without fault, in microseconds since the epoch.
    read_at: AtomicI64,
    known: Mutex<Known>,
    metrics: Metrics,
}

/// What the log knows already: a change is said once, not at every reading.
#[derive(Default)]
struct Known {
    error: Option<String>,
    warnings: Vec<String>,
    published: Vec<String>,
    signer: String,
}

impl Keys {
    /// Reads the folder for the first time.
    ///
    /// # Errors
    /// If a file in it is broken, or nothing in it may sign at `now`: a service without a key must not start.
    pub fn open(dir: PathBuf, access_ttl: Duration, now: Timestamp, metrics: Metrics) -> Result<Self, OpenError> {
        let folder = key_file::read_folder(&dir)?;
        let ring = signing_ring(&dir, folder.keys, access_ttl, now)?;
        let document = ArcSwap::from_pointee(Document::new(&ring, now));
        let known = Known { warnings: folder.warnings, ..Known::of(&ring, now) };
        Ok(Self {
            dir,
            access_ttl,
            ring: Arc::new(ArcSwap::from_pointee(ring)),
            document,
            read_at: AtomicI64::new(now.as_micros()),
            known: Mutex::new(known),
            metrics,
        })
    }

    /// What is worth a warning about the folder as last read, one line each.
    pub fn warnings(&self) -> Vec<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).warnings.clone()
    }

    /// The ring that follows the folder.
    pub fn ring(&self) -> Arc<ArcSwap<Keyring>> {
        Arc::clone(&self.ring)
    }

    /// Reads the folder again. If anything in it is broken, or nothing in it may sign, the last good ring stays.
    pub fn reload(&self, now: Timestamp) {
        // Held all the while, so that of two readings the later one stays.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match self.read(now) {
            Ok((ring, warnings)) => {
                known.learn(Known { warnings, ..Known::of(&ring, now) });
                self.document.store(Arc::new(Document::new(&ring, now)));
                self.ring.store(Arc::new(ring));
                self.read_at.store(now.as_micros(), Ordering::Relaxed);
            }
            Err(error) => {
                self.metrics.key_reload_failures.inc();
                known.fail(error.to_string());
            }
        }
    }

    fn read(&self, now: Timestamp) -> Result<(Keyring, Vec<String>), OpenError> {
        let folder = key_file::read_folder(&self.dir)?;
        Ok((signing_ring(&self.dir, folder.keys, self.access_ttl, now)?, folder.warnings))
    }

    /// The JWKS at `now`.
    pub fn document(&self, now: Timestamp) -> Document {
        let document = self.document.load();
        if document.is_current(now) {
            return Document::clone(&document);
        }
        let fresh = Document::new(&self.ring.load(), now);
        self.document.store(Arc::new(fresh.clone()));
        fresh
    }

    /// Whether tokens can be issued now.
    pub fn can_sign(&self, now: Timestamp) -> bool {
        self.ring.load().signer(now).is_some()
    }

    /// Whether the folder could not be used when it was last read, so that older keys are in use.
    pub fn is_stale(&self) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).error.is_some()
    }

    /// Sets the gauges to how the keys stand at `now`. They change by the mere passing of time, so this is done whenever
    /// somebody looks.
    pub fn observe(&self, now: Timestamp) {
        const NEVER: f64 = f64::INFINITY;
        let ring = self.ring.load();
        for name in State::NAMES {
            let of_state = ring.list(now).filter(|(_, state)| state.as_str() == name).count();
            self.metrics.keys.with_label_values(&[name]).set(i64::try_from(of_state).unwrap_or(i64::MAX));
        }
        let next = ring.next_activation(now).map_or(NEVER, |at| at.since(now).as_secs_f64());
        self.metrics.key_next_activation.set(next);
        // A name that is no time means "since ever", here as everywhere.
        let signer = ring.list(now).find(|(_, state)| *state == State::Signing);
        let age =
            signer.map_or(f64::NAN, |(key, _)| key.active_from.map_or(NEVER, |from| now.since(from).as_secs_f64()));
        self.metrics.key_signing_age.set(age);
        let read_at = Timestamp::from_micros(self.read_at.load(Ordering::Relaxed));
        self.metrics.keys_read_age.set(now.since(read_at).as_secs_f64());
    }
}

impl Known {
    fn of(ring: &Keyring, now: Timestamp) -> Self {
        let published = ring.published(now).map(|key| key.kid.clone()).collect();
        let signer = ring.signer(now).map_or_else(String::new, |signer| signer.kid.to_owned());
        Self { published, signer, ..Self::default() }
    }

    fn learn(&mut self, new: Self) {
        if self.error.is_some() {
            tracing::info!("the keys can be read again");
        }
        for warning in new.warnings.iter().filter(|warning| !self.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
        if new.published != self.published {
            let only_in = |these: &[String], those: &[String]| {
                these.iter().filter(|kid| !those.contains(kid)).cloned().collect::<Vec<_>>().join(" ")
            };
            let added = only_in(&new.published, &self.published);
            let removed = only_in(&self.published, &new.published);
            tracing::info!(published = new.published.len(), added, removed, "the published keys changed");
        }
        if new.signer != self.signer {
            tracing::info!(kid = new.signer, before = self.signer, "another key signs now");
        }
        *self = new;
    }

    fn fail(&mut self, error: String) {
        if self.error.as_ref() != Some(&error) {
            tracing::error!(error, "could not read the keys; the last good ones stay in use");
            self.error = Some(error);
        }
    }
}

/// The ring of the keys read from `dir`, if one of them may sign at `now`.
///
/// # Errors
/// [`OpenError::NoSigner`].
pub fn signing_ring(dir: &Path, keys: Vec<Key>, access_ttl: Duration, now: Timestamp) -> Result<Keyring, OpenError> {
    let ring = Keyring::new(keys, access_ttl);
    if ring.signer(now).is_none() { Err(OpenError::NoSigner(dir.to_owned())) } else { Ok(ring) }
}

/// Why a service cannot begin with a folder of keys.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A broken file, or no folder.
    #[error(transparent)]
    Folder(#[from] Error),
    /// No private key whose time has come.
    #[error("{}: has no private key that may sign now; make one with `signet keys new`", .0.display())]
    NoSigner(PathBuf),
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_folder_is_followed_and_a_fault_in_it_changes_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = || Keys::open(dir.path().to_owned(), HOUR, NOW, Metrics::default());
        assert!(matches!(open(), Err(OpenError::NoSigner(_))), "an empty folder");
        let key = key_file::create(dir.path(), NOW, HOUR).expect("made");
        let keys = open().expect("a key signs");
        let signer = || keys.ring.load().signer(NOW).map(|signer| signer.kid.to_owned());
        assert_eq!((signer(), keys.warnings(), keys.is_stale()), (Some(key.kid.clone()), vec![], false));
        let before = Timestamp::from_micros(NOW.as_micros() - 1);
        assert!(keys.can_sign(NOW) && !keys.can_sign(before));

        let path = dir.path().join(&key.file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        keys.reload(NOW);
        assert!(keys.warnings().concat().contains(&key.file), "{:?}", keys.warnings());
        assert_eq!(open().expect("a warning is no fault").warnings(), keys.warnings());

        fs::write(&path, "half a key").expect("written");
        keys.reload(NOW);
        assert_eq!((signer(), keys.is_stale(), keys.metrics.key_reload_failures.get()), (Some(key.kid), true, 1));

        fs::remove_file(&path).expect("removed");
        let next = key_file::create(dir.path(), NOW, HOUR).expect("made");
        keys.reload(NOW);
        assert_eq!((signer(), keys.warnings(), keys.is_stale()), (Some(next.kid), vec![], false));
    }

    #[test]
    fn the_gauges_say_how_the_keys_stand() {
        let dir = tempfile::tempdir().expect("a folder");
        for at in [NOW, NOW + HOUR] {
            key_file::create_at(dir.path(), at).expect("made");
        }
        let keys = Keys::open(dir.path().to_owned(), HOUR, NOW, Metrics::default()).expect("a key signs");
        let standing = |now| {
            keys.observe(now);
            let metrics = &keys.metrics;
            let count = State::NAMES.map(|name| metrics.keys.with_label_values(&[name]).get());
            (count, metrics.key_signing_age.get(), metrics.key_next_activation.get(), metrics.keys_read_age.get())
        };
        let half = Duration::from_secs(1800);
        assert_eq!(standing(NOW + half), ([1, 1, 0, 0], 1800.0, 1800.0, 1800.0));
        assert_eq!(standing(NOW + HOUR + half), ([0, 1, 1, 0], 1800.0, f64::INFINITY, 5400.0));
        assert_eq!(standing(NOW + 100 * HOUR).0, [0, 1, 0, 1]);
    }
}
