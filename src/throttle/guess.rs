//! A password's way through the limits, and a code's: looked at before it is hashed, counted with its outcome.
//!
//! Where the account knows the source (its device or address), only that source's own bucket counts, so that nobody
//! elsewhere holds it up. Everybody else shares the account's bucket, and has the limits of their address besides.
//!
//! A right password on a quiet account writes nothing here. So a guess is not reserved before it is hashed; instead its
//! outcome is told only if its bucket, under its lock, still admits it. Of guesses made at once, no more than the limit
//! learn whether they were right, on however many instances they were hashed.

use std::time::Duration;

use diesel::QueryResult;

use super::acquaintance::{Kind, News, Place, Recognition};
use super::bucket::{Bucket, BucketId, Limit, Refusal, SourceDigest};
use super::device::DeviceToken;
use super::rules::State;
use super::source::{Source, Whence};
use super::{record_reached, store};
use crate::account::UserId;
use crate::account::email::Email;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::db::Tx;
use crate::http::origin::Origin;
use crate::session::SessionId;

/// A password about to be checked.
#[derive(Clone)]
pub struct Guess(Option<Limits>);

/// What may count it.
#[derive(Clone)]
struct Limits {
    /// Counts it unless the account knows its source.
    bucket: Bucket,
    /// Whose accounts' known sources are asked for.
    email: Option<Email>,
    /// Where it comes from, the better proof first.
    candidates: Vec<Candidate>,
    /// The limits of its address; `None` if that tells nothing.
    around: Option<Around>,
    known_for: Duration,
}

/// A source that the account may know.
#[derive(Clone)]
struct Candidate {
    kind: Kind,
    source: SourceDigest,
    /// Counts its guesses at this account. While the account does not know it: how many of the account's are its own.
    bucket: Bucket,
}

/// The limits of an address and of what is around it.
#[derive(Clone, Copy)]
struct Around {
    failures: [Bucket; 2],
    accounts: [Bucket; 2],
}

impl Guess {
    /// At the password of an account, which need not exist.
    pub fn at_account(config: &Config, email: &Email, device: Option<&DeviceToken>, from: &Origin) -> Self {
        let whence = Whence::of(from.address, config);
        if !config.throttle.enabled || whence == Whence::Exempt {
            return Self(None);
        }
        let throttle = &config.throttle;
        let candidate = |kind, source: SourceDigest| {
            let bucket = Bucket::new(Limit::KnownSource, throttle, &[email.key(), &source.to_text()]);
            Candidate { kind, source, bucket }
        };
        let mut candidates: Vec<Candidate> =
            device.map(|device| candidate(Kind::Device, device.digest())).into_iter().collect();
        let mut around = None;
        if let Whence::Source(Source { address, prefix }) = whence {
            let (address, prefix) = (address.to_string(), prefix.to_string());
            candidates.push(candidate(Kind::Address, SourceDigest::of("address", address.as_bytes())));
            let pair = |own, wider| [Bucket::new(own, throttle, &[&address]), Bucket::new(wider, throttle, &[&prefix])];
            around = Some(Around {
                failures: pair(Limit::Address, Limit::Prefix),
                accounts: pair(Limit::AccountsPerAddress, Limit::AccountsPerPrefix),
            });
        }
        Self(Some(Limits {
            bucket: Bucket::new(Limit::Account, throttle, &[email.key()]),
            email: Some(email.clone()),
            candidates,
            around,
            known_for: throttle.known_for.0,
        }))
    }

    /// At the second factor of an account. Counted apart from passwords: who knows one must not get at the other, and nobody
    /// forgets one by getting the other right. The limits of addresses are for those who try many accounts, which needs
    /// the password of each. And by the user's id: whoever has the password and the mailbox could change the address at
    /// will.
    pub fn at_factor(
        config: &Config,
        user: UserId,
        email: &Email,
        device: Option<&DeviceToken>,
        from: &Origin,
    ) -> Self {
        let (throttle, user) = (&config.throttle, user.to_string());
        let Self(Some(limits)) = Self::at_account(config, email, device, from) else { return Self(None) };
        let candidates = limits.candidates.into_iter().map(|Candidate { kind, source, .. }| {
            let whom = [user.as_str(), &source.to_text()];
            Candidate { kind, source, bucket: Bucket::new(Limit::FactorOfKnownSource, throttle, &whom) }
        });
        Self(Some(Limits {
            bucket: Bucket::new(Limit::Factor, throttle, &[&user]),
            candidates: candidates.collect(),
            around: None,
            ..limits
        }))
    }

    /// At the current password of whoever opened a session.
    pub fn in_session(config: &Config, session: SessionId, from: &Origin) -> Self {
        if !config.throttle.enabled || Whence::of(from.address, config) == Whence::Exempt {
            return Self(None);
        }
        Self(Some(Limits {
            bucket: Bucket::new(Limit::Session, &config.throttle, &[&session.to_string()]),
            email: None,
            candidates: Vec::new(),
            around: None,
            known_for: config.throttle.known_for.0,
        }))
    }

    /// Looks whether it is admitted; changes nothing, and costs the same whether there is an account or not.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn look(&self, tx: &mut Tx<'_>) -> QueryResult<Result<Admitted, Refusal>> {
        let now = tx.now;
        let Some((counted, states)) = self.counted(tx)? else { return Ok(Ok(Admitted(None))) };
        let refusals = counted.judges.iter().filter_map(|bucket| bucket.refusal(states.of(bucket), now));
        Ok(match refusals.max_by_key(Refusal::retry_after_seconds) {
            Some(refusal) => Err(refusal),
            None => Ok(Admitted(Some(counted))),
        })
    }

    /// Looks what it would count in, admitted or not: for what an earlier guess, which was right, takes back and leaves to be
    /// remembered.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn survey(&self, tx: &mut Tx<'_>) -> QueryResult<Admitted> {
        Ok(Admitted(self.counted(tx)?.map(|(counted, _)| counted)))
    }

    fn counted(&self, tx: &mut Tx<'_>) -> QueryResult<Option<(Counted, States)>> {
        let Some(limits) = &self.0 else { return Ok(None) };
        let now = tx.now;
        let seen = match &limits.email {
            Some(email) if !limits.candidates.is_empty() => {
                let sources: Vec<SourceDigest> = limits.candidates.iter().map(|candidate| candidate.source).collect();
                store::find_known(tx, email, &sources, now - limits.known_for)?
            }
            Some(_) | None => Vec::new(),
        };
        let states = States(store::read_buckets(tx, &limits.ids())?);
        Ok(Some((limits.clone().judged_by(&seen, &states, now), states)))
    }
}

impl Limits {
    fn ids(&self) -> Vec<BucketId> {
        let mut ids = vec![self.bucket.id];
        ids.extend(self.candidates.iter().map(|candidate| candidate.bucket.id));
        ids.extend(self.around.iter().flat_map(|around| around.failures.iter().chain(&around.accounts).map(|b| b.id)));
        ids
    }

    /// Which buckets count, now that it is known which sources the account knows.
    fn judged_by(self, seen: &[(SourceDigest, Timestamp)], states: &States, now: Timestamp) -> Counted {
        let seen_at =
            |candidate: &Candidate| seen.iter().find(|(source, _)| *source == candidate.source).map(|(_, at)| *at);
        let known = self.candidates.iter().find(|candidate| seen_at(candidate).is_some());
        let places = self
            .candidates
            .iter()
            .map(|candidate| Place { kind: candidate.kind, source: candidate.source, seen_at: seen_at(candidate) })
            .collect();
        if let Some(Candidate { bucket, .. }) = known {
            let has_own = bucket.rule.level(states.of(bucket), now) > 0;
            return Counted { main: *bucket, judges: vec![*bucket], stranger: None, has_own, places };
        }
        let own = self.candidates.iter().find(|candidate| candidate.kind == Kind::Address);
        let stranger = own.zip(self.around).map(|(own, around)| Stranger { own: own.bucket, around });
        let mut judges = vec![self.bucket];
        let mut has_own = self.email.is_none() && self.bucket.rule.level(states.of(&self.bucket), now) > 0;
        if let Some(Stranger { own, around }) = &stranger {
            has_own = own.rule.level(states.of(own), now) > 0;
            judges.extend(around.failures);
            if !has_own {
                judges.extend(around.accounts);
            }
        }
        Counted { main: self.bucket, judges, stranger, has_own, places }
    }
}

impl Guess {
    /// An account was opened from here: it knows the source from the start. See [`Admitted::remember`].
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn remember_new(&self, tx: &mut Tx<'_>, user: UserId, wants_device: bool) -> QueryResult<Recognition> {
        let counted = self.0.clone().map(|limits| limits.judged_by(&[], &States(Vec::new()), tx.now));
        Admitted(counted).remember(tx, user, None, wants_device)
    }
}

/// A guess that is to be hashed; its outcome is to be counted before it is told.
#[derive(Clone)]
pub struct Admitted(Option<Counted>);

#[derive(Clone)]
struct Counted {
    /// Counts the guess.
    main: Bucket,
    /// May refuse it before it is hashed.
    judges: Vec<Bucket>,
    /// The account does not know the source, which has limits of its own.
    stranger: Option<Stranger>,
    /// Whether there is anything that a right password takes back: earlier failures from this very source.
    has_own: bool,
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Stranger {
    /// How many of the account's failures are this source's.
    own: Bucket,
    around: Around,
}

impl Counted {
    /// Takes back, under the locks of all that it changes, what this very source did wrong before.
    fn forgive(&self, tx: &mut Tx<'_>, mut states: States) -> QueryResult<()> {
        let Self { main, stranger, .. } = self;
        let now = tx.now;
        match stranger {
            None => states.set(main, State::EMPTY),
            Some(Stranger { own, around }) => {
                let number = own.rule.level(states.of(own), now);
                states.set(own, State::EMPTY);
                states.take_back(main, number, now);
                around.failures.iter().for_each(|bucket| states.take_back(bucket, number, now));
                around.accounts.iter().for_each(|bucket| states.take_back(bucket, 1, now));
            }
        }
        store::write_buckets(tx, &states.0)
    }
}

impl Admitted {
    /// The password was right. If it comes too late to be told, the refusal; else what this very source did wrong before is
    /// forgotten, and no other's (NIST SP 800-63B §3.2.2).
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn succeed(&self, tx: &mut Tx<'_>) -> QueryResult<Option<Refusal>> {
        let Some(counted @ Counted { main, has_own, .. }) = &self.0 else { return Ok(None) };
        if !has_own {
            return self.recheck(tx);
        }
        let states = self.lock(tx)?;
        if let Some(refusal) = main.refusal(states.of(main), tx.now) {
            return Ok(Some(refusal));
        }
        counted.forgive(tx, states)?;
        Ok(None)
    }

    /// The same for a log-in, which looks at the bucket with the statement that makes use of the password: what is
    /// returned is to be guarded by it ([`store::admits_none`]). Without the bucket's lock that is as good: whatever counts
    /// there meanwhile has not been answered yet, and so comes after this.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn succeed_if(&self, tx: &mut Tx<'_>) -> QueryResult<Result<Option<BucketId>, Refusal>> {
        match &self.0 {
            Some(Counted { main, has_own: false, .. }) => Ok(Ok(Some(main.id))),
            Some(_) | None => Ok(self.succeed(tx)?.map_or(Ok(None), Err)),
        }
    }

    /// Whether it comes too late to be told; nothing is changed by it.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn recheck(&self, tx: &mut Tx<'_>) -> QueryResult<Option<Refusal>> {
        let Some(Counted { main, .. }) = &self.0 else { return Ok(None) };
        let state = store::lock_bucket(tx, main.id)?;
        Ok(state.and_then(|state| main.refusal(state, tx.now)))
    }

    /// What this very source did wrong before is forgotten, for a guess whose rightness was told.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn forgive(&self, tx: &mut Tx<'_>) -> QueryResult<()> {
        match &self.0 {
            Some(counted) if counted.has_own => {
                let states = self.lock(tx)?;
                counted.forgive(tx, states)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The password was wrong, or did not help: counts it. If it comes too late to be told, the refusal.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn fail(&self, tx: &mut Tx<'_>, user: Option<UserId>, from: &Origin) -> QueryResult<Option<Refusal>> {
        let Some(Counted { main, stranger, .. }) = &self.0 else { return Ok(None) };
        let now = tx.now;
        let mut states = self.lock(tx)?;
        let refusal = main.refusal(states.of(main), now);
        let mut counting: Vec<Bucket> = Vec::new();
        if refusal.is_none() {
            counting.push(*main);
        }
        if let Some(Stranger { own, around }) = stranger {
            counting.extend(around.failures);
            if refusal.is_none() {
                if own.rule.level(states.of(own), now) == 0 {
                    counting.extend(around.accounts);
                }
                let state = own.rule.count(states.of(own), now);
                // It is a tally here and closes nothing.
                states.set(own, State { closed_until: State::EMPTY.closed_until, ..state });
            }
        }
        let mut reached = Vec::new();
        for bucket in &counting {
            let mut state = bucket.rule.count(states.of(bucket), now);
            reached.extend(bucket.rule.closed_anew(&mut state, now).map(|wait| (bucket.limit, wait)));
            states.set(bucket, state);
        }
        store::write_buckets(tx, &states.0)?;
        record_reached(tx, from, user, &reached)?;
        Ok(refusal)
    }

    /// A session was opened: its account knows the source from now on.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn remember(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        shown: Option<&DeviceToken>,
        wants_device: bool,
    ) -> QueryResult<Recognition> {
        match &self.0 {
            Some(Counted { places, .. }) => News::of(places, tx.now, shown, wants_device).note(tx, user),
            None => Ok(Recognition::default()),
        }
    }

    /// What a right password on a quiet account comes to, which is most of them: nothing is taken back, and nothing is news to
    /// the account. `None` if a transaction is needed. The rest is as for [`Admitted::succeed_if`].
    pub(crate) fn succeed_without_news(
        &self,
        now: Timestamp,
        shown: Option<&DeviceToken>,
        wants_device: bool,
    ) -> Option<(Option<BucketId>, Recognition)> {
        match &self.0 {
            None => Some((None, Recognition::default())),
            Some(Counted { has_own: true, .. }) => None,
            Some(Counted { main, places, .. }) => {
                let recognition = News::of(places, now, shown, wants_device).none()?;
                Some((Some(main.id), recognition))
            }
        }
    }

    /// All that the guess may change, locked in the one order.
    fn lock(&self, tx: &mut Tx<'_>) -> QueryResult<States> {
        let Some(Counted { main, stranger, .. }) = &self.0 else { return Ok(States(Vec::new())) };
        let mut ids = vec![main.id];
        if let Some(Stranger { own, around }) = stranger {
            ids.push(own.id);
            ids.extend(around.failures.iter().chain(&around.accounts).map(|bucket| bucket.id));
        }
        ids.sort_unstable();
        store::lock_buckets(tx, &ids).map(States)
    }
}

/// Buckets as they were read; those that were never used are empty.
struct States(Vec<(BucketId, State)>);

impl States {
    fn of(&self, bucket: &Bucket) -> State {
        self.0.iter().find(|(id, _)| *id == bucket.id).map_or(State::EMPTY, |(_, state)| *state)
    }

    fn set(&mut self, bucket: &Bucket, state: State) {
        match self.0.iter_mut().find(|(id, _)| *id == bucket.id) {
            Some((_, own)) => *own = state,
            None => self.0.push((bucket.id, state)),
        }
    }

    fn take_back(&mut self, bucket: &Bucket, number: u32, now: Timestamp) {
        let state = bucket.rule.take_back(self.of(bucket), number, now);
        self.set(bucket, state);
    }
}
