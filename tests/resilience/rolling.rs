//! A rolling restart: two instances on one Postgres behind HAProxy, restarted one after the other under load, and not one
//! request fails. HAProxy asks `/health/ready` and repeats nothing: what a service drops is seen.
//!
//! Two processes on one SQLite file are no deployment, so there is nothing to roll there.
//! `SIGNET_TEST_ROLLS=50` for the long version.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::probes::OnEnd;
use crate::support::program::{Place, Service};
use crate::support::{Answer, Backend, Client, PASSWORD, json, ports, postgres, say, wait};

const CLIENTS: usize = 6;

fn rolls() -> usize {
    std::env::var("SIGNET_TEST_ROLLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

#[test]
fn a_rolling_restart_under_load_fails_no_request() {
    let Some(mut fleet) = Fleet::start() else { return };
    let load = fleet.under_load(|fleet, requests| {
        for _ in 0..rolls() {
            for number in 0..2 {
                fleet.restart(number, "TERM");
                requests.await_more();
            }
        }
    });
    println!("{} requests while each instance was restarted {} times", load.requests, rolls());
    assert_eq!(load.failures, Vec::<String>::new(), "of {} requests", load.requests);
}

/// Without this nobody knows whether the test above could fail.
#[test]
fn killing_instances_instead_fails_requests() {
    let Some(mut fleet) = Fleet::start() else { return };
    let load = fleet.under_load(|fleet, requests| {
        for number in [0, 1, 0, 1] {
            fleet.restart(number, "KILL");
            requests.await_more();
        }
    });
    assert!(!load.failures.is_empty(), "none of {} requests failed", load.requests);
}

/// Two instances and the proxy in front of them.
struct Fleet {
    url: String,
    places: [Place; 2],
    services: [Option<Service>; 2],
    proxy: Haproxy,
}

struct Load {
    requests: usize,
    failures: Vec<String>,
}

/// How many were sent so far.
#[derive(Default)]
struct Requests(AtomicUsize);

impl Requests {
    /// Waits for so many that each client must have sent some.
    fn await_more(&self) {
        let enough = self.0.load(Ordering::SeqCst) + 20 * CLIENTS;
        wait::until("there is no load", || self.0.load(Ordering::SeqCst) >= enough);
    }
}

impl Fleet {
    fn start() -> Option<Self> {
        if !is_installed() || !postgres::is_available() {
            return None;
        }
        let ports: [u16; 5] = ports::free();
        let database = Backend::Postgres.database(Path::new(""));
        let first = Place::ready(&database);
        let keys = first.path().join("keys").display().to_string();
        let second = Place::on(&database).with("SIGNET_KEYS__DIR", &keys);
        let mut listening = [(ports[0], ports[1]), (ports[2], ports[3])].into_iter();
        let places = [first, second].map(|place| {
            let (public, management) = listening.next().expect("two");
            place
                .with("SIGNET_PUBLIC__LISTEN", &format!("127.0.0.1:{public}"))
                .with("SIGNET_MANAGEMENT__LISTEN", &format!("127.0.0.1:{management}"))
                .with("SIGNET_SHUTDOWN__DELAY", "2s")
                .with("SIGNET_LOG__LEVEL", "info")
        });
        let services = [0, 1].map(|number: usize| Some(places[number].serve()));
        let proxy = Haproxy::start(ports);
        let fleet = Self { url: format!("http://127.0.0.1:{}", ports[4]), places, services, proxy };
        wait::until("the proxy does not answer", || {
            fleet.client().try_get("/.well-known/jwks.json").is_some_and(|answer| answer.status == 200)
        });
        Some(fleet)
    }

    fn client(&self) -> Client {
        Client::keeping_connections(&self.url)
    }

    /// Runs `work` while clients are at work too.
    fn under_load(&mut self, work: impl FnOnce(&mut Self, &Requests)) -> Load {
        let sessions: Vec<(Client, String, Answer)> = (0..CLIENTS)
            .map(|number| {
                let email = format!("client{number}@example.com");
                (self.client(), email.clone(), self.client().register(&email))
            })
            .collect();
        let (requests, is_over) = (Requests::default(), AtomicBool::new(false));
        let failures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let (requests, is_over, failures) = (&requests, &is_over, &failures);
            for (client, email, session) in sessions {
                scope.spawn(move || {
                    let mut caller = Caller { client, email, refresh_token: session.refresh_token() };
                    while !is_over.load(Ordering::SeqCst) {
                        if let Err(failure) = caller.go_round(requests) {
                            failures.lock().expect("unpoisoned").push(failure);
                        }
                    }
                });
            }
            // Also if a restart panics: the clients must end.
            let _end = OnEnd(is_over);
            work(self, requests);
        });
        Load { requests: requests.0.into_inner(), failures: failures.into_inner().expect("unpoisoned") }
    }

    fn restart(&mut self, number: usize, signal: &str) {
        let service = self.services[number].take().expect("running");
        service.signal(signal);
        let (code, _) = service.end();
        assert!(signal == "KILL" || code == Some(0), "it ended well: {code:?}");
        self.services[number] = Some(self.places[number].serve());
        wait::until("it does not get ready", || self.proxy.sees_up(["a", "b"][number]));
    }
}

/// A client as it lives: refreshes, shows who it is, looks at the keys, logs in again.
struct Caller {
    client: Client,
    email: String,
    refresh_token: String,
}

impl Caller {
    fn go_round(&mut self, requests: &Requests) -> Result<(), String> {
        let count = |what: &str, answer: Option<Answer>| {
            requests.0.fetch_add(1, Ordering::SeqCst);
            let answer = answer.ok_or_else(|| format!("{what}: the connection broke"))?;
            if answer.status == 200 { Ok(answer) } else { Err(format!("{what}: {} {}", answer.status, answer.text)) }
        };
        for _ in 0..5 {
            let body = json!({"refresh_token": self.refresh_token});
            let session = count("refresh", self.client.try_post("/v1/auth/refresh", &body))?;
            self.refresh_token = session.refresh_token();
            count("me", self.client.bearer(&session.access_token()).try_get("/v1/auth/me"))?;
            count("jwks", self.client.try_get("/.well-known/jwks.json"))?;
        }
        let body = json!({"email": self.email, "password": PASSWORD});
        let session = count("login", self.client.try_post("/v1/auth/login", &body))?;
        self.refresh_token = session.refresh_token();
        Ok(())
    }
}

/// The proxy; ended when dropped.
struct Haproxy {
    child: Child,
    dir: tempfile::TempDir,
}

impl Haproxy {
    /// The ports: public and management of each instance, then the proxy's own.
    fn start([public_a, management_a, public_b, management_b, own]: [u16; 5]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = dir.path().join("admin").display().to_string();
        // `retries 0`: nothing is sent twice. Connections to the instances are kept and shared, and given up before the
        // instances do, as anybody must who keeps connections to a server that ends idle ones. All other times are long:
        // when the machine stands still, the proxy does as well, and each of its times that is over afterwards would be a
        // failure of its own making. For the same reason one look in vain is not enough.
        let config = format!(
            "global\n  maxconn 200\n  nbthread 1\n  stats socket {socket}\n\
             defaults\n  mode http\n  retries 0\n  http-reuse always\n  timeout connect 5m\n  timeout client 5m\n  \
             timeout server 5m\n  timeout http-keep-alive 5m\n  timeout check 30s\n\
             frontend signet\n  bind 127.0.0.1:{own}\n  default_backend instances\n\
             backend instances\n  balance roundrobin\n  option httpchk GET /health/ready\n  \
             default-server check inter 200ms fall 2 rise 2 pool-purge-delay 1s\n  \
             server a 127.0.0.1:{public_a} port {management_a}\n  server b 127.0.0.1:{public_b} port {management_b}\n"
        );
        let path = dir.path().join("haproxy.cfg");
        std::fs::write(&path, config).expect("written");
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().expect("haproxy runs"), dir }
    }

    /// Whether it sends requests to that instance.
    fn sees_up(&self, server: &str) -> bool {
        let mut socket = UnixStream::connect(self.dir.path().join("admin")).expect("its own socket");
        socket.write_all(b"show stat\n").expect("taken");
        let mut table = String::new();
        socket.read_to_string(&mut table).expect("CSV");
        let row = table.lines().find(|line| line.starts_with(&format!("instances,{server},"))).expect("an instance");
        row.split(',').any(|field| field == "UP")
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_installed() -> bool {
    let is_installed = Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_ok_and(|end| end.success());
    let is_required = std::env::var("SIGNET_TEST_POSTGRES").is_ok_and(|wish| wish == "required");
    assert!(is_installed || !is_required, "SIGNET_TEST_POSTGRES=required, but there is no haproxy");
    if !is_installed {
        say("NOTE: no haproxy found, so the rolling restart was not tested.");
    }
    is_installed
}
