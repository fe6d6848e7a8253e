//! The service killed under load, and the database killed under the service.
//!
//! `SIGNET_TEST_KILLS=100` for the long version.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::postgres::Cluster;
use crate::support::program::{Place, Service};
use crate::support::{Backend, Client, json, on_both, postgres, wait};

fn kills() -> usize {
    std::env::var("SIGNET_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

pub(super) const HOLDERS: usize = 8;

/// A client that refreshes on and on, and remembers every token that it was given.
pub(super) struct Holder {
    pub(super) email: String,
    tokens: Vec<String>,
}

impl Holder {
    pub(super) fn register(client: &Client, number: usize) -> Self {
        let email = format!("holder{number}@example.com");
        let session = client.register(&email);
        Self { email, tokens: vec![session.refresh_token()] }
    }

    pub(super) fn newest(&self) -> &str {
        self.tokens.last().expect("at least the first")
    }

    /// Presents the newest token; whether there was an answer at all.
    pub(super) fn refresh(&mut self, client: &Client) -> bool {
        let Some(answer) = client.try_post("/v1/auth/refresh", &json!({"refresh_token": self.newest()})) else {
            return false;
        };
        assert_eq!(
            answer.status,
            200,
            "{} lost the session after {} tokens: {}",
            self.email,
            self.tokens.len(),
            answer.text
        );
        self.tokens.push(answer.refresh_token());
        true
    }
}

on_both! {
    fn nobody_loses_a_session_when_the_service_is_killed_under_load(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path()));
        let mut service: Service = place.serve();
        let mut holders: Vec<Holder> = (0..HOLDERS).map(|number| Holder::register(&service.client(), number)).collect();
        for _ in 0..kills() {
            let client = service.client();
            let (is_running, refreshes) = (AtomicBool::new(true), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for holder in &mut holders {
                    let (client, is_running, refreshes) = (client.clone(), &is_running, &refreshes);
                    scope.spawn(move || {
                        while is_running.load(Ordering::SeqCst) && holder.refresh(&client) {
                            refreshes.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
                wait::until("there is no load", || refreshes.load(Ordering::SeqCst) > 4 * HOLDERS);
                service.signal("KILL");
                is_running.store(false, Ordering::SeqCst);
            });
            service = place.serve();
            for holder in &mut holders {
                assert!(holder.refresh(&service.client()), "the service is back");
            }
        }
        // One live branch each: asking twice with the newest token gives one successor, and any older one ends it all.
        for holder in &holders {
            let first = service.client().refresh(holder.newest()).expect(200);
            let again = service.client().refresh(holder.newest()).expect(200);
            assert_eq!(first.refresh_token(), again.refresh_token());
            assert!(holder.tokens.len() > kills() + 2, "there was load");
            service.client().refresh(&holder.tokens[holder.tokens.len() - 3]).expect_problem(401, "invalid_grant");
            service.client().refresh(&first.refresh_token()).expect_problem(401, "invalid_grant");
        }
    }
}

#[test]
fn while_postgres_is_away_clients_are_told_to_wait_and_afterwards_nobody_lost_anything() {
    if !postgres::is_available() || std::env::var_os("SIGNET_TEST_POSTGRES_URL").is_some() {
        return;
    }
    let mut cluster = Cluster::start_on_tcp();
    let url = format!("postgres://signet@{}/{}", cluster.address(), cluster.database());
    let place = Place::ready(&url).with("SIGNET_DATABASE__MAX_WAIT", "1s");
    let service = place.serve();
    let client = service.client();
    let holders: Vec<Mutex<Holder>> =
        (0..HOLDERS).map(|number| Mutex::new(Holder::register(&client, number))).collect();
    for _ in 0..kills().div_ceil(4) {
        let is_away = AtomicBool::new(false);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let threads: Vec<_> = holders
                .iter()
                .map(|holder| {
                    let (client, is_away, is_over) = (&client, &is_away, &is_over);
                    scope.spawn(move || {
                        let mut refused_while_away = 0;
                        let mut holder = holder.lock().expect("unpoisoned");
                        while !is_over.load(Ordering::SeqCst) {
                            let away_before = is_away.load(Ordering::SeqCst);
                            let answer = client.refresh(holder.newest());
                            match answer.status {
                                200 => holder.tokens.push(answer.refresh_token()),
                                503 => {
                                    assert!(!answer.header("retry-after").is_empty());
                                    assert!(["unavailable", "overloaded"].contains(&answer.text_at("/code").as_str()));
                                    refused_while_away += usize::from(away_before);
                                }
                                other => panic!("{other}: {}", answer.text),
                            }
                        }
                        refused_while_away
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(300));
            cluster.crash();
            is_away.store(true, Ordering::SeqCst);
            wait::until("it says that it is ready and is not", || {
                service.operator().get("/health/ready").status == 503
            });
            client.get("/.well-known/jwks.json").expect(200);
            std::thread::sleep(Duration::from_millis(1_500));
            is_away.store(false, Ordering::SeqCst);
            cluster.start();
            wait::until("the service does not find its database again", || {
                service.operator().get("/health/ready").status == 200
            });
            std::thread::sleep(Duration::from_millis(1_500));
            is_over.store(true, Ordering::SeqCst);
            let refused: usize = threads.into_iter().map(|thread| thread.join().expect("no 4xx")).sum();
            assert!(refused > 0, "somebody asked while it was away");
        });
        for holder in &holders {
            assert!(holder.lock().expect("unpoisoned").refresh(&client));
        }
    }
}
