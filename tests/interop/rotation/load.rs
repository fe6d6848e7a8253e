//! Issues tokens at both instances all the time, has every verifier verify each of them once and old ones again, and keeps
//! the score.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Cluster;
use super::verifiers::{self, Verify};
use crate::support::{Client, token};

/// How old a token may be to be verified again: a minute less than it lives.
const OLDEST: Duration = Duration::from_secs(14 * 60);

#[derive(Clone)]
struct Token {
    text: String,
    kid: String,
    issued: Instant,
}

struct Shared {
    tokens: Mutex<Vec<Token>>,
    /// Between two tokens of one instance: slower when a lead takes longer.
    pace: Duration,
    is_over: AtomicBool,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }
}

pub struct Load {
    shared: Arc<Shared>,
    issuing: Vec<JoinHandle<()>>,
    verifying: Vec<JoinHandle<(&'static str, Score)>>,
    warm_up: Duration,
}

/// What one verifier did.
#[derive(Default)]
struct Score {
    verified: usize,
    /// By the key's id: how many, and the first reason.
    refused: BTreeMap<String, (usize, String)>,
}

impl Load {
    pub fn start(cluster: &Cluster) -> Self {
        let pace = (cluster.scale.lead / 125).clamp(Duration::from_millis(40), Duration::from_secs(1));
        let shared = Arc::new(Shared { tokens: Mutex::default(), pace, is_over: AtomicBool::new(false) });
        let verifiers = verifiers::all(cluster);
        let first = &cluster.instances[0];
        first.client().register("ada@example.com");
        let issuing = cluster.instances.each_ref().map(|instance| {
            let (client, shared) = (instance.client(), Arc::clone(&shared));
            std::thread::spawn(move || issue(&client, &shared))
        });
        let verifying = verifiers.into_iter().map(|(name, verify)| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || (name, verify_all(verify, &shared)))
        });
        let verifying = verifying.collect();
        Self { shared, issuing: issuing.into(), verifying, warm_up: cluster.scale.of(Duration::from_secs(300)) }
    }

    /// Until every cache has been filled for the first time.
    pub fn warm_up(&self) {
        std::thread::sleep(self.warm_up / 2 + Duration::from_millis(500));
    }

    #[track_caller]
    pub fn wait_for_a_token_of(&self, kid: &str, patience: Duration) {
        let begun = Instant::now();
        while !self.shared.tokens.lock().expect("unpoisoned").iter().rev().take(8).any(|token| token.kid == kid) {
            assert!(begun.elapsed() < patience, "{kid} does not sign");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn end(self) -> Report {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.issuing.into_iter().for_each(|thread| thread.join().expect("tokens were issued"));
        let scores = self.verifying.into_iter().map(|thread| thread.join().expect("a verifier answers")).collect();
        let tokens = self.shared.tokens.lock().expect("unpoisoned").clone();
        Report { scores, tokens }
    }
}

fn issue(client: &Client, shared: &Shared) {
    let mut session = client.login("ada@example.com");
    while shared.goes_on() {
        session = client.refresh(&session.refresh_token()).expect(200);
        let text = session.access_token();
        let kid = token::decode(&text).0["kid"].as_str().expect("a kid").to_owned();
        shared.tokens.lock().expect("unpoisoned").push(Token { text, kid, issued: Instant::now() });
        std::thread::sleep(shared.pace);
    }
}

/// Each token once, soon after it was issued; and after each an older one, each in its turn.
fn verify_all(mut verify: Verify, shared: &Shared) -> Score {
    let mut score = Score::default();
    let (mut seen, mut older) = (0, 0);
    loop {
        let (fresh, old) = {
            let tokens = shared.tokens.lock().expect("unpoisoned");
            let living = &tokens[tokens.partition_point(|token| token.issued.elapsed() > OLDEST)..];
            // The stride is prime to most lengths: it comes by all ages soon.
            older = (older + 37) % living.len().max(1);
            (tokens.get(seen).cloned(), living.get(older).cloned())
        };
        for Token { text, kid, .. } in fresh.iter().chain(&old) {
            match verify(text) {
                Ok(()) => score.verified += 1,
                Err(reason) => score.refused.entry(kid.clone()).or_insert((0, reason)).0 += 1,
            }
        }
        seen += usize::from(fresh.is_some());
        if fresh.is_none() {
            if !shared.goes_on() {
                return score;
            }
            std::thread::sleep(shared.pace / 4);
        }
    }
}

pub struct Report {
    scores: Vec<(&'static str, Score)>,
    tokens: Vec<Token>,
}

impl Report {
    /// A line for each verifier and key.
    pub fn failures(&self) -> Vec<String> {
        let of_verifier = |(name, score): &(&str, Score)| {
            let line = |(kid, (times, reason)): (&String, &(usize, String))| {
                format!("{name} refused {times} tokens of {kid}: {reason}")
            };
            score.refused.iter().map(line).collect::<Vec<_>>()
        };
        self.scores.iter().flat_map(of_verifier).collect()
    }

    /// A load that did nothing would prove nothing: each key signed, and each verifier kept up.
    #[track_caller]
    pub fn demand_work(&self, signers: &[String]) {
        for kid in signers {
            let signed = self.tokens.iter().filter(|token| token.kid == *kid).count();
            assert!(signed >= 10, "{kid} signed {signed}");
        }
        for (name, score) in &self.scores {
            assert!(score.verified >= self.tokens.len(), "{name} verified {} of {self}", score.verified);
        }
    }

    /// These, where they can be had, must have refused tokens of one of those keys, and nobody any other's.
    #[track_caller]
    pub fn demand_failures(&self, by: &[&str], kids: &[String]) {
        for (name, score) in self.scores.iter().filter(|(name, _)| by.contains(name)) {
            assert!(kids.iter().any(|kid| score.refused.contains_key(kid)), "{name} did not notice: {self}");
        }
        let others = self.scores.iter().flat_map(|(_, score)| score.refused.keys()).filter(|kid| !kids.contains(kid));
        assert_eq!(others.collect::<Vec<_>>(), Vec::<&String>::new(), "{:?}", self.failures());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.tokens.len())?;
        for (name, score) in &self.scores {
            let refused: usize = score.refused.values().map(|(times, _)| times).sum();
            write!(f, "; {name}: {} verified, {refused} refused", score.verified)?;
        }
        Ok(())
    }
}
