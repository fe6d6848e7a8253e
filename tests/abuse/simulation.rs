//! Attackers by script, on a clock that they do not have to wait for, against the limits as they come; and an owner who
//! logs in every hour meanwhile. Prints the table of `docs/abuse.md` and holds it to its bounds:
//!
//! ```sh
//! SIGNET_TEST_ABUSE=long cargo test --test all abuse::simulation -- --nocapture
//! ```
//!
//! Without the variable the attackers have fewer hours and addresses.

use signet::clock::Timestamp;

use super::*;
use crate::support::{on_both, say};

const DAY: Duration = Duration::from_secs(24 * 3600);
const VICTIM: &str = "victim@example.com";

/// How much of everything.
struct Scale {
    /// How long each attack lasts.
    span: Duration,
    /// Guesses that a hammering attacker makes in each simulated minute of the first hour.
    hammered: u32,
    /// Addresses of a distributed attacker.
    addresses: u32,
    /// Accounts that are sprayed.
    accounts: u32,
}

impl Scale {
    fn wanted() -> Self {
        if std::env::var("SIGNET_TEST_ABUSE").is_ok_and(|wish| wish == "long") {
            Self { span: 7 * DAY, hammered: 100, addresses: 10_000, accounts: 1_000 }
        } else {
            Self { span: DAY, hammered: 2, addresses: 120, accounts: 60 }
        }
    }
}

/// What an attack did, and what the owner noticed.
#[derive(Default)]
struct Report {
    attempts: u32,
    /// When which account's password was judged.
    judged: Vec<(Timestamp, u32)>,
    owner: [Tally; 3],
    units: f64,
    hashes: f64,
    rows: i64,
}

#[derive(Default, Clone, Copy)]
struct Tally {
    tried: u32,
    succeeded: u32,
}

impl Tally {
    fn share(self) -> String {
        format!("{} of {}", self.succeeded, self.tried)
    }
}

/// The owner: at home, with a browser that moves about, and at a strange machine.
const OWNER: [&str; 3] = ["at home", "with a known device, anywhere", "without either"];

struct World {
    server: Server,
    device: String,
    report: Report,
    begun: Timestamp,
    next_visit: Timestamp,
    /// What the service did before the attack, and since for the owner.
    owners_work: [f64; 2],
}

impl World {
    fn start(backend: Backend) -> Self {
        let server = behind_a_proxy(backend);
        let body = json!({"email": VICTIM, "password": PASSWORD, "remember_device": true});
        let registered = from(&server, "192.0.2.1").post("/v1/auth/register", &body).expect(201);
        let (device, begun) = (registered.text_at("/device_token"), server.clock.now());
        let mut world =
            Self { server, device, report: Report::default(), begun, next_visit: begun + HOUR, owners_work: [0.0; 2] };
        world.owners_work = world.work();
        world
    }

    /// One guess; how long to wait before the next, if that was told.
    fn guess(&mut self, address: &str, account: u32) -> Duration {
        let email = if account == 0 { VICTIM.to_owned() } else { format!("user{account}@example.com") };
        let answer = login(&from(&self.server, address), &email, "not the password");
        self.report.attempts += 1;
        match answer.status {
            401 => {
                self.report.judged.push((self.server.clock.now(), account));
                Duration::ZERO
            }
            429 => Duration::from_secs(answer.header("retry-after").parse().expect("seconds")),
            other => panic!("{other}: {}", answer.text),
        }
    }

    /// Time passes; on the hour the owner logs in, in each way.
    fn wait(&mut self, span: Duration) {
        let until = self.server.clock.now() + span;
        while self.next_visit <= until {
            self.server.clock.advance(self.next_visit.since(self.server.clock.now()));
            self.visit();
            self.next_visit = self.next_visit + HOUR;
        }
        self.server.clock.advance(until.since(self.server.clock.now()));
    }

    /// Units of database work and hashes so far.
    fn work(&self) -> [f64; 2] {
        ["signet_database_wait_seconds_count", "signet_hash_duration_seconds_count"]
            .map(|name| self.server.metric(name))
    }

    fn visit(&mut self) {
        let before = self.work();
        let visit = self.report.owner[0].tried;
        let elsewhere = |kind: u32| format!("100.{}.{}.{kind}", 128 + visit / 250, visit % 250);
        let known = json!({"email": VICTIM, "password": PASSWORD, "device_token": self.device});
        let plain = json!({"email": VICTIM, "password": PASSWORD});
        let visits = [("192.0.2.1".to_owned(), &plain), (elsewhere(1), &known), (elsewhere(2), &plain)];
        for (tally, (address, body)) in self.report.owner.iter_mut().zip(visits) {
            tally.tried += 1;
            tally.succeeded += u32::from(from(&self.server, &address).post("/v1/auth/login", body).status == 200);
        }
        let after = self.work();
        for (own, (before, after)) in self.owners_work.iter_mut().zip(before.into_iter().zip(after)) {
            *own += after - before;
        }
    }

    fn is_over(&self, scale: &Scale) -> bool {
        self.server.clock.now().since(self.begun) >= scale.span
    }

    fn end(mut self) -> Report {
        let work = self.work();
        let own = self.owners_work;
        (self.report.units, self.report.hashes) = (work[0] - own[0], work[1] - own[1]);
        self.report.rows = self.server.query_number("SELECT count(*) AS value FROM throttles");
        self.report
    }
}

impl Report {
    /// The most guesses at one account within any 24 hours.
    fn most_in_a_day(&self) -> usize {
        let mut accounts: Vec<u32> = self.judged.iter().map(|(_, account)| *account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let of = |account: u32| {
            let times: Vec<Timestamp> =
                self.judged.iter().filter(|(_, own)| *own == account).map(|(at, _)| *at).collect();
            let windows = times.iter().enumerate();
            windows.map(|(i, begin)| times[i..].iter().take_while(|at| at.since(*begin) < DAY).count()).max()
        };
        accounts.into_iter().filter_map(of).max().unwrap_or(0)
    }

    fn row(&self, name: &str) -> String {
        let attempts = f64::from(self.attempts);
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {} |",
            self.attempts,
            self.judged.len(),
            self.most_in_a_day(),
            self.owner[0].share(),
            self.owner[1].share(),
            self.owner[2].share(),
            self.units / attempts,
            self.hashes / attempts,
            self.rows,
        )
    }
}

const HEAD: &str = "\
| attacker | guesses sent | judged | most a day at one account | owner at home | owner with a known device | owner without either | units of database work a guess | hashes a guess | rows |
|---|---|---|---|---|---|---|---|---|---|";

fn address_of(number: u32) -> String {
    format!("11.{}.{}.{}", number / 62_500 % 250, number / 250 % 250, number % 250 + 1)
}

/// As fast as it can for an hour, then at every moment that it is told.
fn hammer(backend: Backend, scale: &Scale, addresses: u32) -> Report {
    let mut world = World::start(backend);
    let mut number = 0;
    let mut next = move || {
        number += 1;
        address_of(number % addresses)
    };
    for _ in 0..60 {
        for _ in 0..scale.hammered {
            world.guess(&next(), 0);
        }
        world.wait(MINUTE);
    }
    while !world.is_over(scale) {
        let wait = world.guess(&next(), 0);
        world.wait(wait);
    }
    world.end()
}

/// One guess in so long, so as never to be noticed.
fn creep(backend: Backend, scale: &Scale, pause: Duration) -> Report {
    let mut world = World::start(backend);
    while !world.is_over(scale) {
        world.guess("198.51.100.1", 0);
        world.wait(pause);
    }
    world.end()
}

/// One password at many accounts, round after round.
fn spray(backend: Backend, scale: &Scale, addresses: u32) -> Report {
    let mut world = World::start(backend);
    let rounds = 4;
    for round in 0..rounds {
        for account in 0..scale.accounts {
            world.guess(&address_of((account + round) % addresses), account);
        }
        world.wait(scale.span / rounds);
    }
    world.end()
}

on_both! {
    fn attackers_get_what_is_documented_and_owners_get_in(backend) {
        let scale = Scale::wanted();
        let reports = [
            ("one address, fast", hammer(backend, &scale, 1)),
            ("many addresses, fast", hammer(backend, &scale, scale.addresses)),
            ("one address, one guess in six hours", creep(backend, &scale, 6 * HOUR)),
            ("one address, one password, many accounts", spray(backend, &scale, 1)),
            ("many addresses, one password, many accounts", spray(backend, &scale, scale.addresses)),
        ];
        let rows: Vec<String> = reports.iter().map(|(name, report)| report.row(name)).collect();
        say(&format!("{backend:?}, {} addresses, {} accounts, {} h\n\n{HEAD}\n{}", scale.addresses, scale.accounts, scale.span.as_secs() / 3600, rows.join("\n")));
        for (name, report) in &reports {
            assert!(report.attempts > 3 && !report.judged.is_empty(), "{name}");
            assert!(report.most_in_a_day() <= 33, "{name}: {}", report.most_in_a_day());
            for (owner, tally) in OWNER.iter().zip(report.owner).take(2) {
                assert!(tally.tried >= 23 && tally.succeeded == tally.tried, "{name}, owner {owner}: {}", tally.share());
            }
        }
        let judged = |number: usize| reports[number].1.judged.len();
        let days = usize::try_from(scale.span.as_secs() / DAY.as_secs()).expect("few");
        assert!(judged(3) <= 20 + 120 * days, "one address was wrong for {} accounts", judged(3));
        // Who comes slowly or sprays leaves the owner alone everywhere.
        for number in [2, 3, 4] {
            let tally = reports[number].1.owner[2];
            assert_eq!(tally.succeeded, tally.tried, "{}", reports[number].0);
        }
    }
}
