//! Which key signs, which keys verify, and until when: a pure function of the keys' names and the time.
//!
//! A key signs from its time on, until a younger one's time has come. It is published from the moment its file is there
//! and stays until nothing that it signed can still be valid. So all instances that see the same folder agree, with no
//! further coordination.

use std::time::Duration;

use jsonwebtoken::DecodingKey;

use super::schedule;
use super::signing::Signing;
use crate::clock::Timestamp;

/// A key and its schedule.
#[derive(Clone)]
pub struct Key {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// The name of its file, without the folder.
    pub file: String,
    /// When it may begin to sign; `None`: since ever.
    pub active_from: Option<Timestamp>,
    /// For signing; `None` for a public key.
    pub signing: Option<Signing>,
    /// For verifying.
    pub verifying: DecodingKey,
    /// The public coordinates, base64url of 32 bytes each.
    pub public: PublicPoint,
}

/// A point on P-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicPoint {
    /// base64url of 32 bytes.
    pub x: String,
    /// base64url of 32 bytes.
    pub y: String,
}

/// Where a key stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Published; signs from its time on.
    Scheduled,
    /// Signs now.
    Signing,
    /// Signs no more; published until the given time, or for good if nothing supersedes it.
    Retained(Option<Timestamp>),
    /// No longer published; the file may go.
    Expired,
}

impl State {
    /// The name in listings and in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Signing => "signing",
            Self::Retained(_) => "retained",
            Self::Expired => "expired",
        }
    }

    /// All names, so that a metric can be set to zero.
    pub const NAMES: [&'static str; 4] = ["scheduled", "signing", "retained", "expired"];
}

/// The key to sign with now.
pub struct Signer<'a> {
    /// Its id.
    pub kid: &'a str,
    /// The key itself.
    pub signing: &'a Signing,
}

/// All keys of the folder.
#[derive(Clone, Default)]
pub struct Keyring {
    /// Oldest first; keys without a time count as oldest.
    keys: Vec<Key>,
    retention: Duration,
}

impl Keyring {
    /// A ring whose superseded keys stay published as long as an access token with `access_ttl` may live.
    pub fn new(mut keys: Vec<Key>, access_ttl: Duration) -> Self {
        keys.sort_by(|a, b| (a.active_from, &a.kid).cmp(&(b.active_from, &b.kid)));
        Self { keys, retention: schedule::retention(access_ttl) }
    }

    /// The youngest private key whose time has come.
    pub fn signer(&self, now: Timestamp) -> Option<Signer<'_>> {
        let key = &self.keys[self.signer_index(now)?];
        Some(Signer { kid: &key.kid, signing: key.signing.as_ref()? })
    }

    fn signer_index(&self, now: Timestamp) -> Option<usize> {
        self.keys.iter().rposition(|key| key.signing.is_some() && key.active_from.is_none_or(|from| from <= now))
    }

    /// The published keys, oldest first: what the JWKS lists and what verifies.
    pub fn published(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.keys.iter().zip(self.states(now)).filter(|(_, state)| *state != State::Expired).map(|(key, _)| key)
    }

    /// The published key of that id.
    pub fn find(&self, kid: &str, now: Timestamp) -> Option<&Key> {
        self.published(now).find(|key| key.kid == kid)
    }

    /// Every key with its state.
    pub fn list(&self, now: Timestamp) -> impl Iterator<Item = (&Key, State)> {
        self.keys.iter().zip(self.states(now))
    }

    fn states(&self, now: Timestamp) -> impl Iterator<Item = State> {
        let signer = self.signer_index(now);
        (0..self.keys.len()).map(move |index| {
            let key = &self.keys[index];
            let until = self.superseded_at(index).map(|at| at + self.retention);
            if Some(index) == signer {
                State::Signing
            } else if key.signing.is_some() && key.active_from.is_some_and(|from| from > now) {
                State::Scheduled
            } else if until.is_some_and(|until| until <= now) {
                State::Expired
            } else {
                State::Retained(until)
            }
        })
    }

    /// When the next private key takes over from this one. Keys without a time never supersede anything: nobody can tell
    /// since when they do.
    fn superseded_at(&self, index: usize) -> Option<Timestamp> {
        let own = self.keys[index].active_from;
        self.keys[index + 1..]
            .iter()
            .filter(|key| key.signing.is_some() && key.active_from > own)
            .find_map(|key| key.active_from)
    }

    /// The next time at which a key begins to sign.
    pub fn next_activation(&self, now: Timestamp) -> Option<Timestamp> {
        self.keys
            .iter()
            .filter(|key| key.signing.is_some())
            .filter_map(|key| key.active_from)
            .filter(|from| *from > now)
            .min()
    }

    /// Until when a key is of use in that state: the one that signs until the next one does, as far as there is one, and a
    /// superseded one for as long as it is published.
    pub fn until(&self, state: State, now: Timestamp) -> Option<Timestamp> {
        match state {
            State::Signing => self.next_activation(now),
            State::Retained(until) => until,
            State::Scheduled | State::Expired => None,
        }
    }

    /// The next time at which the published keys change by themselves.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.states(now).filter_map(|state| if let State::Retained(until) = state { until } else { None }).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::key_file;

    const HOUR: Duration = Duration::from_secs(3600);
    const T0: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);

    fn key(active_from: Option<Timestamp>, private: bool) -> Key {
        let pem = key_file::generate();
        let mut key = key_file::parse(&pem, "test.pem").expect("our own key");
        key.active_from = active_from;
        if !private {
            key.signing = None;
        }
        key
    }

    fn states(ring: &Keyring, now: Timestamp) -> Vec<State> {
        ring.states(now).collect()
    }

    #[test]
    fn the_youngest_key_whose_time_has_come_signs() {
        let (old, young) = (key(None, true), key(Some(T0 + HOUR), true));
        let ring = Keyring::new(vec![young.clone(), old.clone()], HOUR);
        let signer = |now| ring.signer(now).map(|signer| signer.kid.to_owned());
        assert_eq!(signer(T0), Some(old.kid.clone()));
        assert_eq!(signer(T0 + HOUR - Duration::from_micros(1)), Some(old.kid));
        assert_eq!(signer(T0 + HOUR), Some(young.kid));
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_until_its_tokens_are_dead() {
        let ring = Keyring::new(vec![key(Some(T0), true), key(Some(T0 + HOUR), true)], 48 * HOUR);
        let dropped = T0 + HOUR + schedule::retention(48 * HOUR);
        assert_eq!(states(&ring, T0), [State::Signing, State::Scheduled]);
        assert_eq!(states(&ring, T0 + HOUR), [State::Retained(Some(dropped)), State::Signing]);
        assert_eq!(ring.published(dropped - Duration::from_micros(1)).count(), 2);
        assert_eq!(states(&ring, dropped), [State::Expired, State::Signing]);
        assert_eq!(ring.published(dropped).count(), 1);
        assert_eq!(ring.next_activation(T0), Some(T0 + HOUR));
        assert_eq!(ring.next_activation(T0 + HOUR), None);
        assert_eq!(ring.next_change(T0 + HOUR), Some(dropped));
        let until = |now| ring.list(now).map(|(_, state)| ring.until(state, now)).collect::<Vec<_>>();
        assert_eq!(until(T0), [Some(T0 + HOUR), None]);
        assert_eq!(until(T0 + HOUR), [Some(dropped), None]);
        assert_eq!(until(dropped), [None, None]);
    }

    #[test]
    fn short_lived_tokens_keep_their_key_for_a_day() {
        let ring = Keyring::new(vec![key(None, true), key(Some(T0), true)], HOUR);
        assert_eq!(states(&ring, T0)[0], State::Retained(Some(T0 + 24 * HOUR)));
    }

    #[test]
    fn a_public_key_verifies_and_never_signs() {
        let ring = Keyring::new(vec![key(None, false)], HOUR);
        assert!(ring.signer(T0).is_none());
        assert_eq!(states(&ring, T0), [State::Retained(None)]);
        let ring = Keyring::new(vec![key(None, true), key(Some(T0), false)], HOUR);
        assert_eq!(states(&ring, T0 + 100 * HOUR), [State::Signing, State::Retained(None)]);
    }

    #[test]
    fn only_a_private_key_supersedes_and_only_an_older_one() {
        let times = [T0, T0 + HOUR / 2, T0 + HOUR, T0 + HOUR];
        let keys = times.iter().enumerate().map(|(index, time)| key(Some(*time), index != 1)).collect();
        let ring = Keyring::new(keys, HOUR);
        let dropped = T0 + HOUR + schedule::retention(HOUR);
        let [first, public, twin, signer] = states(&ring, T0 + HOUR)[..] else { panic!("four keys") };
        assert_eq!((first, public), (State::Retained(Some(dropped)), State::Retained(Some(dropped))));
        assert_eq!((twin, signer), (State::Retained(None), State::Signing), "of the same age");
        for key in ring.published(T0 + HOUR) {
            assert_eq!(ring.find(&key.kid, T0 + HOUR).map(|found| &found.kid), Some(&key.kid));
        }
    }

    #[test]
    fn every_state_has_a_name_of_its_own() {
        let states = [State::Scheduled, State::Signing, State::Retained(None), State::Expired];
        assert_eq!(states.map(State::as_str), State::NAMES);
        assert_eq!(State::NAMES, ["scheduled", "signing", "retained", "expired"]);
    }

    #[test]
    fn two_keys_without_a_time_are_both_published_and_every_instance_picks_the_same() {
        let (a, b) = (key(None, true), key(None, true));
        let ring = Keyring::new(vec![a.clone(), b.clone()], HOUR);
        let other = Keyring::new(vec![b, a], HOUR);
        assert_eq!(ring.signer(T0).map(|signer| signer.kid), other.signer(T0).map(|signer| signer.kid));
        assert_eq!(ring.published(T0 + 1_000 * HOUR).count(), 2);
    }

    /// A clock that jumps changes who signs, never to a key that the other instances do not publish.
    #[test]
    fn whoever_signs_by_a_wrong_clock_is_published_by_every_right_one() {
        let ring = Keyring::new(vec![key(Some(T0), true), key(Some(T0 + 30 * HOUR), true)], HOUR);
        let hours = 1..(30 + 24);
        for (right, wrong) in hours.clone().flat_map(|right| hours.clone().map(move |wrong| (right, wrong))) {
            let signer = ring.signer(T0 + wrong * HOUR).expect("somebody signs").kid;
            assert!(ring.find(signer, T0 + right * HOUR).is_some(), "{wrong} h instead of {right} h");
        }
    }

    #[test]
    fn without_a_key_whose_time_has_come_nothing_signs() {
        let ring = Keyring::new(vec![key(Some(T0 + HOUR), true)], HOUR);
        assert!(ring.signer(T0).is_none());
        assert_eq!(states(&ring, T0), [State::Scheduled]);
        assert!(Keyring::default().signer(T0).is_none());
    }
}
