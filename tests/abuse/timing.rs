//! What time tells of who has an account: each way of asking, many times over, for somebody who is there and somebody who is
//! not, in turns. Prints a table (`docs/abuse.md`, "What time tells"):
//!
//! ```sh
//! SIGNET_TEST_ABUSE=long cargo test --test all abuse::timing -- --nocapture --test-threads 1
//! ```
//!
//! Without the variable a few tries show that the answers are one, and nothing is measured: a clock lies on a busy machine.

use std::collections::BTreeSet;
use std::time::Instant;

use signet::config::{HashingConfig, Quota, Registration};
use signet::http::tick::TICK;

use super::*;
use crate::support::mailbox;
use crate::support::phone::{self, Phone, first_step, second_step};
use crate::support::{on_both, say};

const ADA: &str = "ada@example.com";
/// The longest by which a guesser who looks at one answer may be better than by tossing a coin, in hundredths.
const ADVANTAGE: f64 = 10.0;

/// How often each is asked.
fn tries() -> usize {
    if std::env::var("SIGNET_TEST_ABUSE").is_ok_and(|wish| wish == "long") { 1_000 } else { 3 }
}

/// The times that it took for somebody who is there, and for somebody who is not, in milliseconds; sorted.
struct Times([Vec<f64>; 2]);

impl Times {
    /// Asks in turns, each time in another order, so that what comes first is no advantage; what is prepared is not timed. What
    /// is answered must be one.
    fn take<T>(prepare: impl Fn(bool, usize) -> T, ask: impl Fn(T) -> Answer) -> Self {
        let mut times = [Vec::new(), Vec::new()];
        let mut seen = BTreeSet::new();
        for round in 0..tries() {
            let first = round % 2 == 0;
            for is_there in [first, !first] {
                let prepared = prepare(is_there, round);
                let begun = Instant::now();
                let answer = ask(prepared);
                times[usize::from(!is_there)].push(begun.elapsed().as_secs_f64() * 1e3);
                seen.insert(visible(&answer));
            }
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
        times.iter_mut().for_each(|own| own.sort_by(f64::total_cmp));
        Self(times)
    }

    fn quantile(&self, which: usize, share: f64) -> f64 {
        let own = &self.0[which];
        own[((own.len() - 1) as f64 * share) as usize]
    }

    /// How often, of a pair of answers, the slower one is the account's, beyond one half, in hundredths: what a guesser wins
    /// who sees one of each (Mann and Whitney's U).
    fn advantage(&self) -> f64 {
        let [there, absent] = &self.0;
        let slower: usize = there.iter().map(|time| absent.partition_point(|other| other < time)).sum();
        let equal: usize = there.iter().map(|time| absent.iter().filter(|other| *other == time).count()).sum();
        let share = (slower as f64 + equal as f64 / 2.0) / (there.len() * absent.len()) as f64;
        (share - 0.5) * 100.0
    }

    fn row(&self, name: &str) -> String {
        let [there, absent] = [0, 1].map(|which| {
            let [low, median, high] = [0.05, 0.5, 0.95].map(|share| self.quantile(which, share));
            format!("{median:.2} ({low:.2}–{high:.2})")
        });
        format!("| {name} | {there} | {absent} | {:+.1} |", self.advantage())
    }
}

const HEAD: &str = "\
| asked | an account, ms | none, ms | a guesser's advantage, % |
|---|---|---|---|";

/// Passwords cost what they cost an operator, and no limit is met.
fn service(backend: Backend) -> Server {
    Server::start_with(backend, |config| {
        config.hashing = HashingConfig { threads: 1, ..HashingConfig::default() };
        config.hashing.max_wait = Period(Duration::from_secs(30));
        config.registration = Registration::Verified;
        config.throttle.enabled = false;
        let many = Quota::of(1_000_000, HOUR);
        (config.throttle.registrations, config.throttle.mails) = (many, many);
        mailbox::into_folder(config);
        phone::switch_on(config);
    })
}

/// Ada, who has an app, and a session from before.
fn ada(server: &Server) -> Phone {
    same(server).post("/v1/auth/register", &json!({"email": ADA, "password": PASSWORD})).expect(202);
    server.execute("UPDATE users SET is_verified = true");
    let session = server.client().login(ADA);
    Phone::add(server, &server.client().bearer(&session.access_token()))
}

fn same(server: &Server) -> Client {
    server.client().with("x-request-id", "same")
}

/// Ada's address, or one of nobody's that is new each time; a minute later than before, so that a mail is due again.
fn address(server: &Server, is_there: bool, round: usize) -> String {
    server.clock.advance(Duration::from_secs(61));
    if is_there { ADA.to_owned() } else { format!("nb{round}@example.com") }
}

on_both! {
    fn time_tells_nobody_who_has_an_account(backend) {
        let server = service(backend);
        let phone = ada(&server);
        let somebody = |is_there, round| address(&server, is_there, round);
        let asking = |path: &'static str| {
            let client = same(&server);
            Times::take(somebody, move |email| client.post(path, &json!({"email": email})))
        };
        // A code that was right once, and one that never was.
        let used = first_step(&server.client(), ADA);
        let used = (second_step(&server.client(), &used, &phone.recovery_codes[0]).expect(200), phone.recovery_codes[0].clone()).1;
        let codes = |is_there: bool, _| {
            let code = if is_there { used.clone() } else { "abcd-efgh-ijkl-mnop".to_owned() };
            (first_step(&server.client(), ADA), code)
        };
        let measured = [
            ("`login`, with a wrong password", Times::take(somebody, |email| login(&server.client(), &email, "not the password"))),
            ("`forgot-password`", asking("/v1/auth/forgot-password")),
            ("`verify-email/resend`", asking("/v1/auth/verify-email/resend")),
            ("`login/mfa`, with a recovery code that was used and one that never was", Times::take(codes, |(challenge, code)| second_step(&same(&server), &challenge, &code))),
            ("`register`, where addresses are verified", Times::take(somebody, |email| same(&server).post("/v1/auth/register", &json!({"email": email, "password": PASSWORD})))),
        ];
        let rows: Vec<String> = measured.iter().map(|(name, times)| times.row(name)).collect();
        say(&format!("{backend:?}, {} tries each\n\n{HEAD}\n{}", tries(), rows.join("\n")));
        if tries() < 1_000 {
            return;
        }
        for (name, times) in &measured {
            assert!(times.advantage().abs() < ADVANTAGE, "{name}: {:+.1}", times.advantage());
        }
    }

    fn what_writes_more_for_an_account_is_answered_with_a_tick(backend) {
        let server = service(backend);
        ada(&server);
        for (path, body) in [
            ("/v1/auth/register", json!({"email": ADA, "password": PASSWORD})),
            ("/v1/auth/register", json!({"email": "new@example.com", "password": PASSWORD})),
            ("/v1/auth/forgot-password", json!({"email": ADA})),
            ("/v1/auth/forgot-password", json!({"email": "nobody@example.com"})),
            ("/v1/auth/verify-email/resend", json!({"email": ADA})),
            ("/v1/auth/verify-email/resend", json!({"email": "nobody@example.com"})),
        ] {
            let begun = Instant::now();
            server.client().post(path, &body).expect(202);
            assert!(begun.elapsed() >= TICK, "{path} {body}");
        }
    }
}
