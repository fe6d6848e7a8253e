//! One kept-alive HTTP/1.1 connection: a request out, an answer in, as little work as possible in between.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer may take; whoever waits longer counts as not answered.
const PATIENCE: Duration = Duration::from_secs(30);
/// Servers close connections that are silent for some seconds; one that was silent for this long is replaced in time.
const MAX_IDLE: Duration = Duration::from_secs(2);
const MAX_HEADERS: usize = 64;

/// A connection that is made when it is needed, and again when it has gone.
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    used_at: Instant,
    buffer: Vec<u8>,
    body: Vec<u8>,
}

/// What came back.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// No connection could be made.
    Refused,
    /// The connection ended before the answer did.
    Closed,
    /// There was no whole answer in time.
    TimedOut,
    /// What came is not HTTP/1.1.
    Malformed,
}

impl Broken {
    /// What reports call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::Closed => "connection closed",
            Self::TimedOut => "timed out",
            Self::Malformed => "malformed answer",
        }
    }
}

impl Connection {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, used_at: Instant::now(), buffer: Vec::with_capacity(8192), body: Vec::new() }
    }

    /// Sends a request and reads the answer. After a failure the next request gets a new connection.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>, Broken> {
        let outcome = tokio::time::timeout(PATIENCE, self.send_and_read(request)).await;
        let head = outcome.unwrap_or(Err(Broken::TimedOut)).inspect_err(|_| self.stream = None)?;
        if !head.keeps_alive {
            self.stream = None;
        }
        self.used_at = Instant::now();
        Ok(Answer { status: head.status, body: &self.body })
    }

    async fn send_and_read(&mut self, request: &[u8]) -> Result<Head, Broken> {
        if self.used_at.elapsed() > MAX_IDLE {
            self.stream = None;
        }
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await.map_err(|_| Broken::Refused)?;
            stream.set_nodelay(true).map_err(|_| Broken::Refused)?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().expect("made above");
        stream.write_all(request).await.map_err(|_| Broken::Closed)?;
        self.buffer.clear();
        let head = loop {
            read_some(stream, &mut self.buffer).await?;
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
        };
        loop {
            match head.body.take(&self.buffer[head.length..], &mut self.body)? {
                Progress::Whole => return Ok(head),
                Progress::Partial => read_some(stream, &mut self.buffer).await?,
            }
        }
    }
}

async fn read_some(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Broken> {
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => Err(Broken::Closed),
        Ok(_) => Ok(()),
    }
}

/// What matters of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: usize,
    keeps_alive: bool,
    body: Framing,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Whole,
    Partial,
}

impl Head {
    /// The head, if all of it is there.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Broken> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(bytes).map_err(|_| Broken::Malformed)? else {
            return Ok(None);
        };
        let status = response.code.ok_or(Broken::Malformed)?;
        let (mut body, mut keeps_alive) = (None, true);
        for header in response.headers.iter() {
            let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
            if header.name.eq_ignore_ascii_case("content-length") {
                body = Some(Framing::Length(value.parse().map_err(|_| Broken::Malformed)?));
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                body = Some(Framing::Chunked);
            } else if header.name.eq_ignore_ascii_case("connection") {
                keeps_alive = !value.eq_ignore_ascii_case("close");
            }
        }
        let has_none = matches!(status, 100..200 | 204 | 304);
        // An answer that ends with its connection would cost each request a connection: no server of today sends one.
        let body = if has_none { Framing::Length(0) } else { body.ok_or(Broken::Malformed)? };
        Ok(Some(Self { status, length, keeps_alive, body }))
    }
}

impl Framing {
    /// Copies the body out of what has come so far, if it is whole.
    fn take(self, bytes: &[u8], body: &mut Vec<u8>) -> Result<Progress, Broken> {
        body.clear();
        match self {
            Self::Length(length) => match bytes.get(..length) {
                Some(whole) => body.extend_from_slice(whole),
                None => return Ok(Progress::Partial),
            },
            Self::Chunked => return take_chunks(bytes, body),
        }
        Ok(Progress::Whole)
    }
}

fn take_chunks(mut bytes: &[u8], body: &mut Vec<u8>) -> Result<Progress, Broken> {
    loop {
        let size = httparse::parse_chunk_size(bytes).map_err(|_| Broken::Malformed)?;
        let httparse::Status::Complete((start, size)) = size else { return Ok(Progress::Partial) };
        let end = start + usize::try_from(size).map_err(|_| Broken::Malformed)?;
        let Some(chunk) = bytes.get(start..end + 2) else { return Ok(Progress::Partial) };
        if size == 0 {
            return Ok(Progress::Whole); // no server that is measured here sends trailers
        }
        body.extend_from_slice(&chunk[..chunk.len() - 2]);
        bytes = &bytes[end + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_whole_when_its_last_byte_is_there_however_it_is_framed() {
        for (answer, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"),
            ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ] {
            for length in 0..=answer.len() {
                let bytes = &answer.as_bytes()[..length];
                let mut taken = Vec::new();
                let whole = Head::parse(bytes).expect("well formed").map(|head| {
                    let progress = head.body.take(&bytes[head.length..], &mut taken).expect("well formed");
                    progress == Progress::Whole
                });
                assert_eq!(whole == Some(true), length == answer.len(), "{length} bytes of {answer}");
                assert!(length < answer.len() || taken == body.as_bytes(), "{answer}");
            }
        }
    }

    #[test]
    fn a_server_that_wants_to_close_is_obeyed() {
        let head = |text: &str| Head::parse(text.as_bytes()).expect("well formed").expect("whole");
        assert!(!head("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: close\r\n\r\n").keeps_alive);
        assert!(head("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").keeps_alive);
        assert_eq!(Head::parse(b"SMTP 220\r\n\r\n"), Err(Broken::Malformed));
    }
}
