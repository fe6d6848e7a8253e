//! Random lives of several families, lived by the service and by the reference side by side.
//!
//! `SIGNET_TEST_MODEL_CASES` sets how many lives (default 24 a database); a failing one is shrunk, and its seed is kept in
//! `tests/families/regressions/`.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as ProptestConfig, FileFailurePersistence, TestCaseError, TestRunner};
use signet::access::role::Roles;
use signet::account::administer;
use signet::account::email::Email;
use signet::audit::Actor;
use signet::clock::Clock;
use signet::config::Period;
use signet::db::Db;
use signet::metrics::Metrics;

use super::reference::{Expected, Family, Rules, Token};
use crate::support::{Backend, PASSWORD, Server, block_on, json, on_both, token};

const RULES: Rules = Rules {
    grace: Duration::from_secs(30),
    recovery: Some(Duration::from_secs(400)),
    idle_ttl: Duration::from_secs(1_000),
    max_ttl: Duration::from_secs(5_000),
};

/// What can happen. Numbers pick one of what there is, modulo how many there are.
#[derive(Debug, Clone)]
enum Step {
    LogIn {
        user: usize,
    },
    /// Refresh with any token ever issued; whether the answer reaches anybody makes no difference to the service.
    Refresh {
        token: usize,
    },
    Wait {
        seconds: u64,
    },
    LogOut {
        token: usize,
    },
    LogOutEverywhere {
        token: usize,
    },
    ChangePassword {
        token: usize,
    },
    Disable {
        user: usize,
    },
    Enable {
        user: usize,
    },
    SetRoles {
        user: usize,
        admin: bool,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..1_000_usize;
    // Just before, at and after each boundary of the table.
    let seconds = prop_oneof![
        Just(0),
        Just(1),
        Just(29),
        Just(30),
        Just(31),
        Just(370),
        Just(400),
        Just(999),
        Just(1_000),
        Just(2_500)
    ];
    prop_oneof![
        4 => number.clone().prop_map(|user| Step::LogIn { user }),
        // The newest tokens are the interesting ones: count from the end.
        24 => prop_oneof![3 => 0..4_usize, 1 => number.clone()].prop_map(|token| Step::Refresh { token }),
        9 => seconds.prop_map(|seconds| Step::Wait { seconds }),
        1 => number.clone().prop_map(|token| Step::LogOut { token }),
        1 => number.clone().prop_map(|token| Step::LogOutEverywhere { token }),
        1 => number.clone().prop_map(|token| Step::ChangePassword { token }),
        1 => number.clone().prop_map(|user| Step::Disable { user }),
        1 => number.clone().prop_map(|user| Step::Enable { user }),
        2 => (number, any::<bool>()).prop_map(|(user, admin)| Step::SetRoles { user, admin }),
        1 => Just(Step::Restart),
    ]
}

const USERS: usize = 2;

/// The service and what is known of it.
struct Life<'a> {
    server: &'a mut Server,
    operator: &'a Db,
    number: usize,
    now: Duration,
    passwords: [usize; USERS],
    is_active: [bool; USERS],
    roles: [&'static str; USERS],
    families: Vec<Family>,
    /// Every token ever issued: its text, its family, and the access token that came with it.
    tokens: Vec<(String, usize, String)>,
}

impl Life<'_> {
    fn email(&self, user: usize) -> String {
        format!("user{user}.{}@example.com", self.number)
    }

    fn password(&self, user: usize) -> String {
        format!("{PASSWORD} {}", self.passwords[user])
    }

    fn begin(&mut self) {
        for user in 0..USERS {
            let body = json!({"email": self.email(user), "password": self.password(user)});
            let session = self.server.client().post("/v1/auth/register", &body).expect(201);
            self.opened(user, session.refresh_token(), session.access_token());
        }
    }

    fn opened(&mut self, user: usize, refresh_token: String, access_token: String) {
        self.families.push(Family::new(self.tokens.len(), user, self.now, &RULES));
        self.tokens.push((refresh_token, self.families.len() - 1, access_token));
    }

    /// The token that is `back` from the newest.
    fn pick(&self, back: usize) -> Token {
        self.tokens.len() - 1 - back % self.tokens.len()
    }

    fn is_alive(&self, family: usize) -> bool {
        let family = &self.families[family];
        family.is_alive(self.now, self.is_active[family.user])
    }

    fn run(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::LogIn { user } => self.log_in(user % USERS),
            Step::Refresh { token } => self.refresh(self.pick(token)),
            Step::Wait { seconds } => {
                self.now += Duration::from_secs(seconds);
                self.server.clock.advance(Duration::from_secs(seconds));
                Ok(())
            }
            Step::LogOut { token } => self.log_out(self.pick(token)),
            Step::LogOutEverywhere { token } => self.log_out_everywhere(self.pick(token)),
            Step::ChangePassword { token } => self.change_password(self.pick(token)),
            Step::Disable { user } => self.disable(user % USERS),
            Step::Enable { user } => {
                let email = self.email(user % USERS);
                self.server.execute(&format!(
                    "UPDATE users SET is_active = true, access_version = access_version + 1 WHERE email = '{email}'"
                ));
                self.is_active[user % USERS] = true;
                Ok(())
            }
            Step::SetRoles { user, admin } => self.set_roles(user % USERS, admin),
            Step::Restart => {
                self.server.restart();
                Ok(())
            }
        }
    }

    fn log_in(&mut self, user: usize) -> Result<(), TestCaseError> {
        let body = json!({"email": self.email(user), "password": self.password(user)});
        let answer = self.server.client().post("/v1/auth/login", &body);
        prop_assert_eq!(answer.status, if self.is_active[user] { 200 } else { 401 });
        if answer.status == 200 {
            self.opened(user, answer.refresh_token(), answer.access_token());
        }
        Ok(())
    }

    fn refresh(&mut self, presented: Token) -> Result<(), TestCaseError> {
        let (text, index, _) = self.tokens[presented].clone();
        let (fresh, now) = (self.tokens.len(), self.now);
        let family = &mut self.families[index];
        let (user, current) = (family.user, family.current);
        let expected = family.present(presented, fresh, now, self.is_active[user], &RULES);
        let answer = self.server.client().refresh(&text);
        match expected {
            Expected::Refused | Expected::RefusedAndRevoked => {
                prop_assert_eq!((answer.status, answer.text_at("/code")), (401, "invalid_grant".to_owned()));
                return Ok(());
            }
            Expected::Same => {
                prop_assert_eq!(answer.status, 200, "{}", &answer.text);
                prop_assert_eq!(&answer.refresh_token(), &self.tokens[current].0, "the same successor");
            }
            Expected::Fresh => {
                prop_assert_eq!(answer.status, 200, "{}", &answer.text);
                let successor = answer.refresh_token();
                prop_assert!(self.tokens.iter().all(|(text, ..)| *text != successor), "never seen before");
                self.tokens.push((successor, index, answer.access_token()));
            }
        }
        let (_, claims) = token::decode(&answer.access_token());
        let (_, first) = token::decode(&self.tokens.iter().find(|(_, own, _)| *own == index).expect("its first").2);
        prop_assert_eq!(&claims["sid"], &first["sid"]);
        prop_assert_eq!(&claims["sub"], &first["sub"]);
        let roles: Vec<&str> = self.roles[user].split(' ').collect();
        prop_assert_eq!(&claims["roles"], &json!(roles), "the roles as they are now");
        let family = &self.families[index];
        let left = family.idle_end.min(family.end) - self.now;
        prop_assert_eq!(answer.json()["refresh_expires_in"].as_u64(), Some(left.as_secs()));
        Ok(())
    }

    fn log_out(&mut self, presented: Token) -> Result<(), TestCaseError> {
        let (text, index, _) = self.tokens[presented].clone();
        let answer = self.server.client().post("/v1/auth/logout", &json!({"refresh_token": text}));
        prop_assert_eq!(answer.status, 204);
        if self.is_alive(index) {
            self.families[index].is_revoked = true;
        }
        Ok(())
    }

    fn log_out_everywhere(&mut self, presented: Token) -> Result<(), TestCaseError> {
        let (text, index, _) = self.tokens[presented].clone();
        let answer = self.server.client().post("/v1/auth/logout", &json!({"refresh_token": text, "all": true}));
        let mut probe = self.families[index].clone();
        let verdict = probe.present(presented, self.tokens.len(), self.now, self.is_active[probe.user], &RULES);
        let speaks = matches!(verdict, Expected::Fresh | Expected::Same);
        prop_assert_eq!(answer.status, if speaks { 204 } else { 401 });
        if speaks {
            self.revoke_where(|family| family.user == probe.user);
        } else {
            self.families[index].is_revoked |= verdict == Expected::RefusedAndRevoked;
        }
        Ok(())
    }

    fn change_password(&mut self, with_access_token_of: Token) -> Result<(), TestCaseError> {
        let (_, index, access_token) = self.tokens[with_access_token_of].clone();
        let user = self.families[index].user;
        let (_, claims) = token::decode(&access_token);
        let is_fresh = claims["exp"].as_i64().is_some_and(|exp| exp > self.server.clock.now().as_seconds());
        let current = self.password(user);
        let next = format!("{PASSWORD} {}", self.passwords[user] + 1);
        let body = json!({"current_password": current, "new_password": next});
        let answer = self.server.client().bearer(&access_token).post("/v1/auth/change-password", &body);
        let may = is_fresh && self.is_alive(index);
        prop_assert_eq!(answer.status, if may { 204 } else { 401 }, "{}", &answer.text);
        if may {
            self.passwords[user] += 1;
            let kept = index;
            for (other, family) in self.families.iter_mut().enumerate() {
                family.is_revoked |= family.user == user && other != kept;
            }
        }
        Ok(())
    }

    fn disable(&mut self, user: usize) -> Result<(), TestCaseError> {
        let email = Email::parse(&self.email(user)).expect("an address");
        block_on(administer::disable(self.operator, Actor::operator(), email, None)).expect("there is such a user");
        // Disabling a disabled user changes nothing.
        if self.is_active[user] {
            self.is_active[user] = false;
            self.revoke_where(|family| family.user == user);
        }
        Ok(())
    }

    fn set_roles(&mut self, user: usize, admin: bool) -> Result<(), TestCaseError> {
        let roles = if admin { "admin user" } else { "user" };
        let email = Email::parse(&self.email(user)).expect("an address");
        let parsed: Roles = roles.parse().expect("roles");
        block_on(administer::set_roles(self.operator, Actor::operator(), email, parsed)).expect("there is such a user");
        self.roles[user] = roles;
        Ok(())
    }

    fn revoke_where(&mut self, concerned: impl Fn(&Family) -> bool) {
        for family in &mut self.families {
            family.is_revoked |= concerned(family);
        }
    }

    /// Whatever happened, the database has one row for each family, and each is as alive as the reference says.
    fn settle(&self) -> Result<(), TestCaseError> {
        let pattern = format!("user%.{}@example.com", self.number);
        let rows = self.server.query_number(&format!(
            "SELECT count(*) AS value FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.email LIKE '{pattern}'"
        ));
        prop_assert_eq!(usize::try_from(rows).ok(), Some(self.families.len()));
        let revoked = self.server.query_number(&format!(
            "SELECT count(*) AS value FROM sessions s JOIN users u ON u.id = s.user_id \
             WHERE u.email LIKE '{pattern}' AND s.revoked_at IS NOT NULL"
        ));
        let expected = self.families.iter().filter(|family| family.is_revoked).count();
        // An expired family that is revoked afterwards may or may not carry the mark; nobody can tell the difference.
        let undecided =
            self.families.iter().filter(|family| self.now >= family.idle_end || self.now >= family.end).count();
        let revoked = usize::try_from(revoked).expect("a count");
        prop_assert!(
            revoked <= expected && revoked + undecided >= expected,
            "{revoked} of {expected}, {undecided} expired"
        );
        Ok(())
    }
}

fn cases() -> u32 {
    std::env::var("SIGNET_TEST_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(24)
}

on_both! {
    fn the_service_and_the_reference_live_the_same_lives(backend) {
        let mut server = Server::start_with(backend, |config| {
            // The reference knows nothing of limits on guesses, and a life has many log-ins to a disabled account.
            config.throttle.enabled = false;
            config.session.grace = Period(RULES.grace);
            config.session.recovery = RULES.recovery.map(Period);
            config.session.idle_ttl = Period(RULES.idle_ttl);
            config.session.max_ttl = Period(RULES.max_ttl);
        });
        let url = server.config.database.url.0.parse().expect("our own URL");
        let clock: Clock = server.clock.clone();
        let operator = Db::open(url, 1, Duration::from_secs(5), clock, Metrics::default());
        let config = ProptestConfig {
            cases: cases(),
            max_shrink_iters: 400,
            failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/families/regressions/model.txt"))),
            ..ProptestConfig::default()
        };
        let mut number = 0;
        let server = std::cell::RefCell::new(&mut server);
        let number = std::cell::RefCell::new(&mut number);
        let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..60), |steps| {
            let mut server = server.borrow_mut();
            **number.borrow_mut() += 1;
            let mut life = Life {
                server: &mut server,
                operator: &operator,
                number: **number.borrow(),
                now: Duration::ZERO,
                passwords: [0; USERS],
                is_active: [true; USERS],
                roles: ["user"; USERS],
                families: Vec::new(),
                tokens: Vec::new(),
            };
            life.begin();
            for step in &steps {
                life.run(step)?;
            }
            life.settle()
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
    }
}
