//! A TCP proxy that misbehaves on demand.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Stands between a client and a server.
pub struct Proxy {
    pub address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    delay_millis: AtomicU64,
    /// Takes everything in and hands nothing on.
    swallows: AtomicBool,
    /// Takes no new connection: it is closed at once.
    refuses: AtomicBool,
    /// Cuts each connection after so many more bytes from the server; 0 is never.
    cut_after: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

impl Proxy {
    pub fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let state = Arc::new(State::default());
        let (target, accepting) = (target.to_owned(), Arc::clone(&state));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.is_over.load(Ordering::SeqCst) {
                    break;
                }
                if accepting.refuses.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&target) else { continue };
                accepting.connect(&client, &server);
            }
        });
        Self { address, state }
    }

    pub fn delay(&self, delay: Duration) {
        self.state.delay_millis.store(u64::try_from(delay.as_millis()).expect("short"), Ordering::SeqCst);
    }

    pub fn swallow(&self, swallows: bool) {
        self.state.swallows.store(swallows, Ordering::SeqCst);
    }

    pub fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Cuts the next connection on which the server has sent `bytes`: in the middle of an answer.
    pub fn cut_after(&self, bytes: u64) {
        self.state.cut_after.store(bytes, Ordering::SeqCst);
    }

    /// Cuts every connection now.
    pub fn cut(&self) {
        for stream in self.state.streams.lock().expect("unpoisoned").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
    }
}

impl State {
    fn connect(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) {
        let clone = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
        self.streams.lock().expect("unpoisoned").extend([clone(client), clone(server)]);
        let (upward, downward) = (Arc::clone(self), Arc::clone(self));
        let (from_client, to_server) = (clone(client), clone(server));
        std::thread::spawn(move || upward.pump(from_client, to_server, false));
        let (from_server, to_client) = (clone(server), clone(client));
        std::thread::spawn(move || downward.pump(from_server, to_client, true));
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, is_answer: bool) {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            std::thread::sleep(Duration::from_millis(self.delay_millis.load(Ordering::SeqCst)));
            if self.swallows.load(Ordering::SeqCst) {
                continue;
            }
            if is_answer && self.is_to_be_cut(length) {
                break;
            }
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    fn is_to_be_cut(&self, length: usize) -> bool {
        let length = u64::try_from(length).expect("short");
        let before = self.cut_after.load(Ordering::SeqCst);
        if before == 0 {
            return false;
        }
        let left = before.saturating_sub(length);
        self.cut_after.store(left, Ordering::SeqCst);
        left == 0
    }
}
