//! What stands before the instances, as a balancer does: requests go to them in turn. It shortens the `max-age` of the
//! JWKS as the test shortens everything, or promises another one.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signet::token::schedule::JWKS_MAX_AGE;

use super::Scale;
use crate::support::Client;

pub struct Front {
    pub url: String,
    state: Arc<State>,
}

struct State {
    instances: Mutex<Vec<Client>>,
    turn: AtomicUsize,
    /// Where the JWKS's `max-age` ends, whatever an instance says.
    longest: Duration,
    promised: Mutex<Option<Duration>>,
    is_over: AtomicBool,
}

impl Front {
    pub fn start(scale: Scale) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let state = Arc::new(State {
            instances: Mutex::default(),
            turn: AtomicUsize::new(0),
            longest: scale.of(JWKS_MAX_AGE),
            promised: Mutex::new(None),
            is_over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let state = Arc::clone(&accepting);
                // A client that hangs up has its answer or wants none.
                std::thread::spawn(move || drop(state.answer(stream)));
            }
        });
        Self { url, state }
    }

    /// Sends requests there from now on.
    pub fn serve(&self, instances: [&str; 2]) {
        *self.state.instances.lock().expect("unpoisoned") = instances.map(Client::new).to_vec();
    }

    /// Tells caches to keep the JWKS for so long.
    pub fn promise_max_age(&self, max_age: Duration) {
        *self.state.promised.lock().expect("unpoisoned") = Some(max_age);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        while !lines.next().unwrap_or_else(|| Ok(String::new()))?.is_empty() {}
        let path = request.split(' ').nth(1).unwrap_or("/");
        let client = {
            let instances = self.instances.lock().expect("unpoisoned");
            let turn = self.turn.fetch_add(1, Ordering::SeqCst);
            instances[turn % instances.len()].clone()
        };
        let answer = client.get(path);
        write!(
            stream,
            "HTTP/1.1 {} Answered\r\nContent-Type: {}\r\nCache-Control: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
            answer.status,
            answer.header("content-type"),
            self.cache_control(answer.header("cache-control")),
            answer.text.len(),
            answer.text,
        )
    }

    fn cache_control(&self, theirs: &str) -> String {
        let promised = *self.promised.lock().expect("unpoisoned");
        let directive = |directive: &str| match directive.split_once('=') {
            Some(("max-age", seconds)) => {
                let theirs = Duration::from_secs(seconds.parse().expect("a number"));
                format!("max-age={}", promised.unwrap_or_else(|| theirs.min(self.longest)).as_secs())
            }
            _ => directive.to_owned(),
        };
        theirs.split(", ").map(directive).collect::<Vec<_>>().join(", ")
    }
}
