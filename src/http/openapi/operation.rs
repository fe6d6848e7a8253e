//! One operation of the API: what a feature says of a row of its own, and how it is written.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::{reads_cookie, refusals, security};
use crate::error::{Error, OAuthError, Problem};
use crate::field::FromField;
use crate::http::body::{self, FromFields};
use crate::http::query::Page;
use crate::routes::Route;

/// What a group of operations is about.
#[derive(Clone, Copy)]
pub enum Tag {
    /// The caller's own account.
    Account,
    /// Log-in, refresh, log-out.
    Sessions,
    /// What programs sign in with.
    ApiKeys,
    /// The protocol of RFC 6749.
    OAuth,
    /// What administrators do.
    Admin,
    /// What verifiers and clients fetch.
    WellKnown,
}

impl Tag {
    pub(super) const ALL: [Self; 6] =
        [Self::Account, Self::Sessions, Self::ApiKeys, Self::OAuth, Self::Admin, Self::WellKnown];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Sessions => "sessions",
            Self::ApiKeys => "api-keys",
            Self::OAuth => "oauth",
            Self::Admin => "admin",
            Self::WellKnown => "well-known",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Account => "Open an account, read it, change it.",
            Self::Sessions => "Log in, stay logged in, log out.",
            Self::ApiKeys => "Keys for programs that act for a user where nobody can log in.",
            Self::OAuth => "The token endpoint, for clients that speak OAuth 2.",
            Self::Admin => "Administer Signet: for users with the role `admin`.",
            Self::WellKnown => "Public documents for verifiers and clients; cacheable, readable from any origin.",
        }
    }
}

/// What one row of the table does, in the words of its feature.
pub struct Operation {
    tag: Tag,
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Body>,
    answers: Vec<Answer>,
    errors: Vec<Error>,
}

struct Body {
    media_type: mime::Mime,
    required: bool,
    schema: Schema,
}

struct Answer {
    status: StatusCode,
    description: &'static str,
    schema: Option<fn(&mut SchemaGenerator) -> Schema>,
    headers: Vec<(header::HeaderName, &'static str)>,
}

impl Operation {
    /// `id` is what generated clients call it.
    pub fn new(tag: Tag, id: &'static str, summary: &'static str) -> Self {
        let (parameters, answers, errors) = (Vec::new(), Vec::new(), Vec::new());
        Self { tag, id, summary, parameters, body: None, answers, errors }
    }

    /// Reads a body in JSON.
    pub fn json<T: FromFields>(self) -> Self {
        self.reads(Body { media_type: mime::APPLICATION_JSON, required: true, schema: T::schema() })
    }

    /// Reads a body in JSON, or none.
    pub fn maybe_json<T: FromFields>(self) -> Self {
        self.reads(Body { media_type: mime::APPLICATION_JSON, required: false, schema: T::schema() })
    }

    /// Reads a form.
    pub fn form(self, schema: Schema) -> Self {
        self.reads(Body { media_type: mime::APPLICATION_WWW_FORM_URLENCODED, required: true, schema })
    }

    fn reads(mut self, body: Body) -> Self {
        self.errors.extend(body::refusals(&body.media_type));
        Self { body: Some(body), ..self }
    }

    /// Has a variable part in its path.
    pub fn in_path<T: JsonSchema>(self, name: &'static str, description: &'static str) -> Self {
        self.parameter("path", name, description, &T::json_schema(&mut SchemaGenerator::default()))
    }

    /// Looks at a header that may be there.
    pub fn reads_header(self, name: &'static str, description: &'static str) -> Self {
        self.parameter("header", name, description, &schemars::json_schema!({"type": "string"}))
    }

    /// Is a listing.
    pub fn pages<Id: FromField>(self) -> Self {
        self.query::<Page<Id>>()
    }

    /// Reads a query string.
    pub fn query<T: FromFields>(mut self) -> Self {
        self.errors.push(Error::InvalidFields(Vec::new()));
        let schema = T::schema().to_value();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let mut property = property.clone();
            let description = property.as_object_mut().and_then(|members| members.remove("description"));
            // What may be left out: nothing in a query string is `null`.
            if let Some(alternatives) = property["anyOf"].as_array().filter(|all| all.len() == 2) {
                property = alternatives[0].clone();
            }
            self.parameters.push(json!({
                "name": name, "in": "query", "required": false, "description": description, "schema": property,
            }));
        }
        self
    }

    fn parameter(mut self, place: &str, name: &str, description: &str, schema: &Schema) -> Self {
        self.parameters.push(json!({
            "name": name, "in": place, "required": place == "path", "description": description, "schema": schema,
        }));
        self
    }

    /// Answers with a body of type `T`.
    pub fn answers<T: JsonSchema>(self, status: StatusCode, description: &'static str) -> Self {
        self.answer(status, description, Some(|schemas| schemas.subschema_for::<T>()))
    }

    /// Answers without a body.
    pub fn answers_nothing(self, status: StatusCode, description: &'static str) -> Self {
        self.answer(status, description, None)
    }

    fn answer(
        mut self,
        status: StatusCode,
        description: &'static str,
        schema: Option<fn(&mut SchemaGenerator) -> Schema>,
    ) -> Self {
        self.answers.push(Answer { status, description, schema, headers: Vec::new() });
        self
    }

    /// The last answer has a header that clients care for.
    pub fn with_header(mut self, name: header::HeaderName, description: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, description));
        }
        self
    }

    /// Can fail in ways of its own, besides those of its caller and of its body.
    pub fn refuses(mut self, errors: impl IntoIterator<Item = Error>) -> Self {
        self.errors.extend(errors);
        self
    }

    /// Every status that the row may answer with.
    pub fn statuses(self, row: &Route) -> BTreeSet<StatusCode> {
        let is_oauth = crate::error::is_oauth(row.path);
        let errors = self.errors.into_iter().chain(refusals(row));
        let refused = errors.map(|error| if is_oauth { error.oauth().0 } else { error.status() });
        self.answers.iter().map(|answer| answer.status).chain(refused).collect()
    }

    pub(super) fn written(mut self, row: &Route, schemas: &mut SchemaGenerator) -> Value {
        self.errors.extend(refusals(row));
        if reads_cookie(row.caller) {
            let description = "Any value; shows that a page of our own origin asks when the cookie is used.";
            self = self.reads_header("X-Requested-With", description);
        }
        let mut responses: Map<String, Value> =
            self.answers.iter().map(|answer| (answer.status.as_str().to_owned(), answer.written(schemas))).collect();
        responses.extend(written_errors(row.path, &self.errors, schemas));
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "tags": [self.tag.name()],
            "security": security(row.caller),
            "parameters": self.parameters,
            "responses": responses,
        });
        if let Some(Body { media_type, required, schema }) = self.body {
            operation["requestBody"] =
                json!({"required": required, "content": {media_type.as_ref(): {"schema": schema}}});
        }
        operation
    }
}

impl Answer {
    fn written(&self, schemas: &mut SchemaGenerator) -> Value {
        let mut answer = json!({"description": self.description});
        if let Some(schema) = self.schema {
            answer["content"] = json!({"application/json": {"schema": schema(schemas)}});
        }
        for (name, description) in &self.headers {
            answer["headers"][name.as_str()] = json!({"description": description, "schema": {"type": "string"}});
        }
        answer
    }
}

/// One response for each status, with the codes that it can have and the headers that [`Error::write_headers`] sets.
fn written_errors(path: &str, errors: &[Error], schemas: &mut SchemaGenerator) -> BTreeMap<String, Value> {
    let is_oauth = crate::error::is_oauth(path);
    let (media_type, schema) = if is_oauth {
        ("application/json", schemas.subschema_for::<OAuthError>())
    } else {
        ("application/problem+json", schemas.subschema_for::<Problem<'_>>())
    };
    let mut codes: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    let mut headers: BTreeMap<u16, HeaderMap> = BTreeMap::new();
    for error in errors {
        let (status, code) = if is_oauth { error.oauth() } else { (error.status(), error.code()) };
        let (codes, line) = (codes.entry(status.as_u16()).or_default(), format!("- `{code}`: {error}"));
        if !codes.contains(&line) {
            codes.push(line);
        }
        error.write_headers(path, headers.entry(status.as_u16()).or_default());
    }
    let written = |(status, codes): (u16, Vec<String>)| {
        let mut response = json!({"description": codes.join("\n"), "content": {media_type: {"schema": schema}}});
        for name in headers[&status].keys().filter(|name| *name != header::CONNECTION) {
            response["headers"][name.as_str()] = json!({"schema": {"type": "string"}});
        }
        (status.to_string(), response)
    };
    codes.into_iter().map(written).collect()
}
