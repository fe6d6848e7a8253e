//! A receiver as a sibling would write one: an HTTP server that checks signatures as the specification says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::support::{Value, wait};

/// A message that was received.
#[derive(Debug, Clone)]
pub struct Received {
    pub id: String,
    pub timestamp: i64,
    pub signatures: Vec<String>,
    pub body: Value,
    /// As it was signed.
    pub raw: String,
}

/// What to answer.
#[derive(Debug, Clone)]
pub enum Answer {
    Status(u16),
    Redirect(String),
    /// Nothing for so long, then 200.
    After(Duration),
    /// 200 and then bytes without end.
    Endless,
}

struct Shared {
    answer: Mutex<Answer>,
    secrets: Mutex<Vec<String>>,
    received: Mutex<Vec<Received>>,
}

/// An HTTP server on this machine.
pub struct Receiver {
    port: u16,
    shared: Arc<Shared>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            answer: Mutex::new(Answer::Status(200)),
            secrets: Mutex::default(),
            received: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        // Ends with the test program: nothing waits for it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn answer(&self, answer: Answer) {
        *locked(&self.shared.answer) = answer;
    }

    /// Each message must be signed with each of these from now on.
    pub fn expect_signatures_with(&self, secret: &str) {
        locked(&self.shared.secrets).push(secret.to_owned());
    }

    pub fn forget_secrets(&self) {
        locked(&self.shared.secrets).clear();
    }

    pub fn received(&self) -> Vec<Received> {
        locked(&self.shared.received).clone()
    }

    /// Waits for so many messages.
    #[track_caller]
    pub fn await_messages(&self, count: usize) -> Vec<Received> {
        let received = wait::until_some(|| Some(self.received()).filter(|received| received.len() >= count));
        received.unwrap_or_else(|| panic!("no {count}: {:#?}", self.received()))
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        let found = lines.iter().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        });
        found.unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() || body.is_empty() {
        return;
    }
    let body = String::from_utf8(body).expect("UTF-8");
    let received = Received {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp").parse().expect("a number"),
        signatures: header("webhook-signature").split(' ').map(str::to_owned).collect(),
        body: serde_json::from_str(&body).expect("JSON"),
        raw: body.clone(),
    };
    assert_eq!(header("content-type"), "application/json");
    for secret in locked(&shared.secrets).iter() {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(format!("{}.{}.{body}", received.id, received.timestamp).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        if !received.signatures.contains(&expected) {
            let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return;
        }
    }
    locked(&shared.received).push(received);
    let answer = locked(&shared.answer).clone();
    let head = match answer {
        Answer::Status(status) => format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        Answer::Redirect(ref to) => {
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Answer::After(patience) => {
            std::thread::sleep(patience);
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
        }
        Answer::Endless => "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\nconnection: close\r\n\r\n".to_owned(),
    };
    let _ = stream.write_all(head.as_bytes());
    if matches!(answer, Answer::Endless) {
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    }
}
