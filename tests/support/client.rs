//! A client: says what a test wants said, word for word, and hears all of the answer.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::{HeaderMap, Request};

use super::{PASSWORD, secrets};

/// A service that never answers is what this finds. One that is slow has its own tests, and a machine that stands still is
/// given the time to go on.
const PATIENCE: Duration = Duration::from_secs(300);

/// Talks to one listener.
#[derive(Clone)]
pub struct Client {
    url: String,
    agent: ureq::Agent,
    headers: Vec<(String, String)>,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Client {
    /// Opens a connection for every request: nothing keeps a service from ending.
    pub fn new(url: &str) -> Self {
        Self::with_idle_connections(url, 0)
    }

    /// Keeps its connection from one request to the next, as programs do.
    pub fn keeping_connections(url: &str) -> Self {
        Self::with_idle_connections(url, 1)
    }

    fn with_idle_connections(url: &str, count: usize) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .max_idle_connections(count)
            .build()
            .new_agent();
        Self { url: url.to_owned(), agent, headers: Vec::new() }
    }

    /// The same client with one more header on every request.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// The same client with an access token.
    pub fn bearer(&self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, b"")
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None, b"")
    }

    /// DELETE with a body.
    pub fn delete_with(&self, path: &str, body: &Value) -> Answer {
        self.send("DELETE", path, Some("application/json"), body.to_string().as_bytes())
    }

    /// POST without a body.
    pub fn post_empty(&self, path: &str) -> Answer {
        self.send("POST", path, None, b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some("application/json"), body.to_string().as_bytes())
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, Some("application/json"), body.to_string().as_bytes())
    }

    /// POST of a form.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        self.send("POST", path, Some("application/x-www-form-urlencoded"), form.finish().as_bytes())
    }

    pub fn send(&self, method: &str, path: &str, content_type: Option<&str>, body: &[u8]) -> Answer {
        self.try_send(method, path, content_type, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// POST to a service that may be gone before it answers.
    pub fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        self.try_send("POST", path, Some("application/json"), body.to_string().as_bytes()).ok()
    }

    /// GET from a service that may not be there yet, or be gone before it answers.
    pub fn try_get(&self, path: &str) -> Option<Answer> {
        self.try_send("GET", path, None, b"").ok()
    }

    fn try_send(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        secrets::note_request(&self.headers, body);
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let sent = if body.is_empty() && content_type.is_none() && method != "POST" && method != "PATCH" {
            self.agent.run(request.body(()).expect("a request"))
        } else if method == "DELETE" {
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            let mut request = self.agent.delete(parts.uri);
            for (name, value) in &parts.headers {
                request = request.header(name, value);
            }
            request.force_send_body().send(body)
        } else {
            self.agent.run(request.body(body).expect("a request"))
        };
        let mut response = sent?;
        let text = response.body_mut().read_to_string()?;
        let answer = Answer { status: response.status().as_u16(), headers: response.headers().clone(), text };
        secrets::note_answer(&answer);
        Ok(answer)
    }

    /// Sends bytes as they are, and returns all that comes back until the other side closes or `patience` ends.
    pub fn raw(&self, bytes: &[u8], patience: Duration) -> String {
        let address = self.url.strip_prefix("http://").expect("plain http");
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(patience)).expect("a timeout");
        // The other side may close before it has read all of it.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(length @ 1..) => answer.extend_from_slice(&buffer[..length]),
                // A process that was stopped and goes on is told so.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Registers a user with [`PASSWORD`].
    pub fn register(&self, email: &str) -> Answer {
        self.post("/v1/auth/register", &json!({"email": email, "password": PASSWORD})).expect(201)
    }

    /// Logs in with [`PASSWORD`].
    pub fn login(&self, email: &str) -> Answer {
        self.post("/v1/auth/login", &json!({"email": email, "password": PASSWORD})).expect(200)
    }

    pub fn refresh(&self, token: &str) -> Answer {
        self.post("/v1/auth/refresh", &json!({"refresh_token": token}))
    }
}

impl Answer {
    /// This answer, which must have that status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// This answer, which must be a problem with that status and code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.json()["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json()["status"], status);
        assert_eq!(self.json()["request_id"], self.header("x-request-id"));
        self
    }

    /// This answer, which must be an error of RFC 6749 §5.2.
    #[track_caller]
    pub fn expect_oauth(self, status: u16, error: &str) -> Self {
        assert_eq!((self.status, self.json()["error"].as_str()), (status, Some(error)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.header("cache-control"), "no-store");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A header, or "".
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[track_caller]
    pub fn text_at(&self, pointer: &str) -> String {
        let json = self.json();
        json.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {json}")).to_owned()
    }

    #[track_caller]
    pub fn access_token(&self) -> String {
        self.text_at("/access_token")
    }

    #[track_caller]
    pub fn refresh_token(&self) -> String {
        self.text_at("/refresh_token")
    }

    /// The fields named in a 422, each with its code.
    #[track_caller]
    pub fn field_errors(&self) -> Vec<(String, String)> {
        let json = self.json();
        let errors = json["errors"].as_array().unwrap_or_else(|| panic!("no errors in {json}"));
        let text = |error: &Value, name: &str| error[name].as_str().expect("text").to_owned();
        errors.iter().map(|error| (text(error, "field"), text(error, "code"))).collect()
    }
}
