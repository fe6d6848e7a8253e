//! A server's calls, as a TOML file describes them: what is sent, what is kept of the answer, what comes first.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::template::{Encoding, Template, Values};

/// The calls of one server.
#[derive(Debug)]
pub struct Calls {
    /// Variables that are the same for all clients, or made of what differs, in order of their names.
    pub variables: BTreeMap<String, Template>,
    calls: BTreeMap<String, Call>,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// What reports call it.
    pub name: String,
    /// Calls that each client makes once before this one.
    pub after: Vec<String>,
    /// The statuses that mean success.
    pub expect: Vec<u16>,
    /// Variables to set from the answer: name, JSON pointer.
    pub keep: BTreeMap<String, String>,
    head: Template,
    body: Option<Template>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    variables: BTreeMap<String, String>,
    calls: BTreeMap<String, Described>,
}

/// A call as it is written down. Its body is `json`, `form`, `body` or none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<serde_json::Value>,
    form: Option<BTreeMap<String, String>>,
    body: Option<String>,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default = "success")]
    expect: Vec<u16>,
    #[serde(default)]
    keep: BTreeMap<String, String>,
}

fn success() -> Vec<u16> {
    vec![200]
}

/// What every client knows without being told: its number from 0, the running number of the request, and a number that
/// no other run has.
pub const GIVEN: [&str; 3] = ["client", "request", "run"];

impl Calls {
    /// Reads a description.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let variables = file.variables.into_iter().map(|(name, value)| {
            let template = Template::parse(&value, Encoding::Plain)?;
            Ok((name, template))
        });
        let calls = file.calls.into_iter().map(|(name, call)| {
            let call = call.compile(&name).map_err(|reason| format!("calls.{name}: {reason}"))?;
            Ok((name, call))
        });
        let calls =
            Self { variables: variables.collect::<Result<_, String>>()?, calls: calls.collect::<Result<_, String>>()? };
        for call in calls.calls.values() {
            for before in &call.after {
                calls.find(before).map_err(|reason| format!("calls.{}.after: {reason}", call.name))?;
            }
        }
        Ok(calls)
    }

    /// The call of that name.
    ///
    /// # Errors
    /// That there is none, and which there are.
    pub fn find(&self, name: &str) -> Result<&Call, String> {
        self.calls.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.calls.keys().map(String::as_str).collect();
            format!("there is no call `{name}`; there are {}", known.join(", "))
        })
    }

    /// What has to be called before `call`, in order; none twice.
    ///
    /// # Errors
    /// If calls come after each other in a circle.
    pub fn before(&self, call: &Call) -> Result<Vec<&Call>, String> {
        let mut order = Vec::new();
        self.collect_before(call, &mut order, self.calls.len())?;
        Ok(order)
    }

    fn collect_before<'a>(&'a self, call: &Call, order: &mut Vec<&'a Call>, depth: usize) -> Result<(), String> {
        let deeper = depth.checked_sub(1).ok_or_else(|| format!("`{}` comes after itself", call.name))?;
        for name in &call.after {
            let before = self.find(name)?;
            self.collect_before(before, order, deeper)?;
            if !order.iter().any(|known| known.name == before.name) {
                order.push(before);
            }
        }
        Ok(())
    }

    /// Checks that every variable of `call` will have a value when it is made by a client that has `values`.
    ///
    /// # Errors
    /// The variable that has none.
    pub fn check(&self, call: &Call, values: &Values) -> Result<(), String> {
        let kept = self.before(call)?.into_iter().flat_map(|before| before.keep.keys()).collect::<Vec<_>>();
        let used = call.head.variables().chain(call.body.iter().flat_map(Template::variables));
        for name in used {
            let is_known = GIVEN.contains(&name) || values.contains_key(name) || kept.iter().any(|own| *own == name);
            if !is_known {
                return Err(format!("calls.{}: nothing says what ${{{name}}} is; see --set and --rows", call.name));
            }
        }
        Ok(())
    }
}

impl Described {
    fn compile(self, name: &str) -> Result<Call, String> {
        let (media_type, body) = match (self.json, self.form, self.body) {
            (None, None, None) => (None, None),
            (Some(json), None, None) => {
                (Some("application/json"), Some(Template::parse(&json.to_string(), Encoding::Json)?))
            }
            (None, Some(form), None) => (Some("application/x-www-form-urlencoded"), Some(Template::form(form.iter())?)),
            (None, None, Some(body)) => (None, Some(Template::parse(&body, Encoding::Plain)?)),
            _ => return Err("only one of json, form and body can be the body".to_owned()),
        };
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if let Some(media_type) = media_type.filter(|_| !has(&self.headers, "content-type")) {
            head.push_str(&format!("Content-Type: {media_type}\r\n"));
        }
        for (header, value) in &self.headers {
            head.push_str(&format!("{header}: {value}\r\n"));
        }
        Ok(Call {
            name: name.to_owned(),
            after: self.after,
            expect: self.expect,
            keep: self.keep,
            head: Template::parse(&head, Encoding::Plain)?,
            body,
        })
    }
}

fn has(headers: &BTreeMap<String, String>, name: &str) -> bool {
    headers.keys().any(|own| own.eq_ignore_ascii_case(name))
}

impl Call {
    /// Writes the request, as it goes over the wire to `host`.
    ///
    /// # Errors
    /// The name of the variable that has no value.
    pub fn write(&self, host: &str, values: &Values, request: &mut Vec<u8>, body: &mut Vec<u8>) -> Result<(), String> {
        request.clear();
        body.clear();
        self.head.write(values, request)?;
        request.extend_from_slice(b"Host: ");
        request.extend_from_slice(host.as_bytes());
        if let Some(template) = &self.body {
            template.write(values, body)?;
            request.extend_from_slice(format!("\r\nContent-Length: {}", body.len()).as_bytes());
        }
        request.extend_from_slice(b"\r\n\r\n");
        request.extend_from_slice(body);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNET: &str = include_str!("../calls/signet.toml");

    fn request(calls: &Calls, call: &str, values: &[(&str, &str)]) -> String {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (mut request, mut body) = (Vec::new(), Vec::new());
        calls.find(call).expect("described").write("h:1", &values, &mut request, &mut body).expect("all values");
        String::from_utf8(request).expect("UTF-8")
    }

    #[test]
    fn a_described_call_becomes_a_request() {
        let calls = Calls::parse(SIGNET).expect("our own description");
        assert_eq!(
            request(&calls, "refresh", &[("refresh_token", "sgr_x")]),
            "POST /v1/auth/refresh HTTP/1.1\r\nContent-Type: application/json\r\nHost: h:1\r\nContent-Length: 25\r\n\r\n\
             {\"refresh_token\":\"sgr_x\"}"
        );
        assert_eq!(request(&calls, "jwks", &[]), "GET /.well-known/jwks.json HTTP/1.1\r\nHost: h:1\r\n\r\n");
    }

    #[test]
    fn every_description_that_comes_along_is_complete() {
        for text in [SIGNET, include_str!("../calls/keycloak.toml")] {
            let calls = Calls::parse(text).expect("a description");
            let values = calls.variables.keys().map(|name| (name.clone(), String::new())).collect();
            for call in calls.calls.values() {
                calls.check(call, &values).expect("every variable comes from somewhere");
            }
        }
    }

    #[test]
    fn what_comes_before_is_called_once_and_in_order() {
        let text = r#"
            calls.a = { method = "GET", path = "/a" }
            calls.b = { method = "GET", path = "/b", after = ["a"] }
            calls.c = { method = "GET", path = "/c", after = ["b", "a"] }
            calls.d = { method = "GET", path = "/d", after = ["e"] }
            calls.e = { method = "GET", path = "/e", after = ["d"] }"#;
        let calls = Calls::parse(text).expect("well formed");
        let names = |call| -> Result<Vec<String>, String> {
            Ok(calls.before(calls.find(call)?)?.into_iter().map(|before| before.name.clone()).collect())
        };
        assert_eq!(names("c").expect("no circle"), ["a", "b"]);
        assert!(names("d").expect_err("a circle").contains("comes after itself"));
    }

    #[test]
    fn a_fault_in_a_description_is_named() {
        for (text, fault) in [
            ("calls.a = { method = \"GET\" }", "path"),
            ("calls.a = { method = \"GET\", path = \"/\", boddy = \"\" }", "boddy"),
            ("calls.a = { method = \"GET\", path = \"/\", after = [\"b\"] }", "no call `b`"),
            ("calls.a = { method = \"GET\", path = \"/\", body = \"\", json = {} }", "only one"),
        ] {
            let error = Calls::parse(text).expect_err(text);
            assert!(error.contains(fault), "{error}");
        }
    }
}
