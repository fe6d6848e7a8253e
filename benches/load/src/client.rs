//! One client: a connection, what it knows, and the calls that it makes.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::calls::{Call, Calls};
use crate::connection::{Broken, Connection};
use crate::template::Values;

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// As the `Host` header names it.
    pub host: String,
    pub address: SocketAddr,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered {
    /// The status, with the problem's code if it has one; or why there was no answer.
    pub label: String,
    pub is_expected: bool,
}

pub struct Client {
    calls: Rc<Calls>,
    host: String,
    connection: Connection,
    values: Values,
    /// Whether what comes before its calls has been called.
    is_prepared: bool,
    request: Vec<u8>,
    body: Vec<u8>,
}

/// How often and how far apart a client that was refused tries again to prepare itself: a server that is being saturated
/// on purpose may say "later" for a while.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

impl Client {
    pub fn new(calls: &Rc<Calls>, target: &Target, values: Values) -> Self {
        Self {
            calls: Rc::clone(calls),
            host: target.host.clone(),
            connection: Connection::new(target.address),
            values,
            is_prepared: false,
            request: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Calls what comes before `mix`, unless that was done; none of it is measured.
    ///
    /// # Errors
    /// The call that keeps failing and how.
    pub async fn prepare(&mut self, mix: &[Arc<str>]) -> Result<(), String> {
        if self.is_prepared {
            return Ok(());
        }
        let calls = Rc::clone(&self.calls);
        let mut order: Vec<&Call> = Vec::new();
        for name in mix {
            for before in calls.before(calls.find(name)?)? {
                if !order.iter().any(|known| known.name == before.name) {
                    order.push(before);
                }
            }
        }
        for call in order {
            self.insist_on(call).await?;
        }
        self.is_prepared = true;
        Ok(())
    }

    async fn insist_on(&mut self, call: &Call) -> Result<(), String> {
        let mut attempt = 1;
        loop {
            let answered = self.make(call).await;
            if answered.is_expected {
                return Ok(());
            }
            if attempt == ATTEMPTS {
                return Err(format!("`{}` is answered {}", call.name, answered.label));
            }
            attempt += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Makes the call that is the run's `number`th.
    pub async fn perform(&mut self, call: &str, number: u64) -> Answered {
        self.values.insert("request".to_owned(), number.to_string());
        let calls = Rc::clone(&self.calls);
        let call = calls.find(call).expect("the mix was checked");
        let answered = self.make(call).await;
        // Whatever it had before it may be void now: a session that was ended, a token that was refused.
        self.is_prepared &= answered.is_expected;
        answered
    }

    async fn make(&mut self, call: &Call) -> Answered {
        if let Err(variable) = call.write(&self.host, &self.values, &mut self.request, &mut self.body) {
            return Answered { label: format!("no value for ${{{variable}}}"), is_expected: false };
        }
        match self.connection.exchange(&self.request).await {
            Err(broken) => broken.into(),
            Ok(answer) if !call.expect.contains(&answer.status) => {
                Answered { label: refusal(answer.status, answer.body), is_expected: false }
            }
            Ok(answer) => {
                let label = answer.status.to_string();
                match keep(call, answer.body, &mut self.values) {
                    Ok(()) => Answered { label, is_expected: true },
                    Err(missing) => Answered { label: format!("{label} without {missing}"), is_expected: false },
                }
            }
        }
    }
}

impl From<Broken> for Answered {
    fn from(broken: Broken) -> Self {
        Self { label: broken.as_str().to_owned(), is_expected: false }
    }
}

/// The status, and the code of a problem document (RFC 9457) or of OAuth (RFC 6749 §5.2).
fn refusal(status: u16, body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    match problem["code"].as_str().or(problem["error"].as_str()) {
        Some(code) => format!("{status} {code}"),
        None => status.to_string(),
    }
}

fn keep<'a>(call: &'a Call, body: &[u8], values: &mut Values) -> Result<(), &'a str> {
    if call.keep.is_empty() {
        return Ok(());
    }
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    for (name, pointer) in &call.keep {
        let value = answer.pointer(pointer).ok_or(pointer.as_str())?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        values.insert(name.clone(), text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_counted_by_its_code() {
        assert_eq!(refusal(401, br#"{"code":"invalid_grant"}"#), "401 invalid_grant");
        assert_eq!(refusal(400, br#"{"error":"invalid_grant"}"#), "400 invalid_grant");
        assert_eq!(refusal(502, b"<html>"), "502");
    }

    #[test]
    fn an_answer_that_lacks_what_is_kept_is_no_success() {
        let text = r#"calls.a = { method = "GET", path = "/", keep = { t = "/a/0" } }"#;
        let calls = Calls::parse(text).expect("well formed");
        let call = calls.find("a").expect("described");
        let mut values = Values::new();
        assert_eq!(keep(call, br#"{"a":["x"]}"#, &mut values), Ok(()));
        assert_eq!(values["t"], "x");
        assert_eq!(keep(call, b"{}", &mut values), Err("/a/0"));
    }
}
