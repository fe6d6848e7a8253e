//! The description of the public API (OpenAPI 3.1), made from the table of routes and from the types that are read and
//! written, so that neither changes without it. `docs/openapi.json` is this document.
//!
//! A feature describes its [`Operation`] beside its handler: what it reads, what it answers, which errors are its own.
//! What follows from the row (who may call, how often) and from the kind of body (what can be wrong with any) is added here.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::body::{self, FromFields};
use super::query::Page;
use super::{bearer, cookie};
use crate::access::scope::Scope;
use crate::access::step_up::{Demand, Freshness};
use crate::error::{Error, OAuthError, Problem};
use crate::field::FromField;
use crate::routes::{self, Caller, RateLimit, Route};
use crate::throttle::bucket::Refusal;

/// The whole document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for row in routes::PUBLIC {
        if let Some(describe) = row.describe {
            let method = row.method.as_str().to_ascii_lowercase();
            paths.entry(row.path).or_default().insert(method, describe().written(row, &mut schemas));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Signet",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": DESCRIPTION,
            "license": {"name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE")},
        },
        "servers": [{"url": "/"}],
        "tags": Tag::ALL.map(|tag| json!({"name": tag.name(), "description": tag.description()})),
        "paths": paths,
        "components": {"schemas": schemas.take_definitions(true), "securitySchemes": security_schemes()},
    })
}

const DESCRIPTION: &str = "\
Errors are problem documents (RFC 9457) with a stable `code`; under `/oauth2/` they have the form of RFC 6749 §5.2. A \
path that exists answers 405 with `Allow` to any other method, and one that does not 404, in the same form. `GET` \
answers `HEAD` too. Every answer carries `X-Request-Id`; a request may bring its own.";

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
    const ALL: [Self; 6] = [Self::Account, Self::Sessions, Self::ApiKeys, Self::OAuth, Self::Admin, Self::WellKnown];

    fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Sessions => "sessions",
            Self::ApiKeys => "api-keys",
            Self::OAuth => "oauth",
            Self::Admin => "admin",
            Self::WellKnown => "well-known",
        }
    }

    fn description(self) -> &'static str {
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

    fn written(mut self, row: &Route, schemas: &mut SchemaGenerator) -> Value {
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

/// What can go wrong for any operation of a caller, and under a limit.
fn refusals(row: &Route) -> Vec<Error> {
    let caller = row.caller;
    let mut errors = vec![Error::Internal];
    match row.limit {
        RateLimit::Guesses | RateLimit::Registrations | RateLimit::Mails => {
            errors.push(Error::TooManyRequests(Refusal::EXAMPLE))
        }
        RateLimit::Unlimited => {}
    }
    // What anyone may read from anywhere is kept in memory; everything else asks the database.
    if caller != Caller::AnyoneAnywhere {
        errors.extend([Error::Overloaded { retry_after_seconds: 1 }, Error::Unavailable]);
    }
    errors.extend(match caller {
        Caller::Account => bearer::refusals(),
        Caller::AnyToken | Caller::AccountOrActor => bearer::refusals_to_actors(),
        Caller::AccountOrKey => bearer::refusals_to_read(),
        Caller::Admin => bearer::refusals_to_administer(),
        Caller::Anyone | Caller::AnyoneAnywhere | Caller::RefreshToken => Vec::new(),
    });
    match row.demand {
        Demand::Recent | Demand::Administration => errors.push(Error::InsufficientAuthentication(Freshness::EXAMPLE)),
        Demand::Nothing => {}
    }
    if reads_cookie(caller) {
        errors.extend([cookie::MISSING, cookie::FOREIGN_PAGE, Error::InvalidGrant]);
    }
    errors
}

fn reads_cookie(caller: Caller) -> bool {
    match caller {
        Caller::AnyToken | Caller::RefreshToken => true,
        Caller::Anyone
        | Caller::AnyoneAnywhere
        | Caller::Account
        | Caller::AccountOrActor
        | Caller::AccountOrKey
        | Caller::Admin => false,
    }
}

fn security(caller: Caller) -> Value {
    match caller {
        Caller::Anyone | Caller::AnyoneAnywhere => json!([]),
        // `{}`: the token may be in the body instead.
        Caller::RefreshToken => json!([{"cookie": []}, {}]),
        Caller::AnyToken => json!([{"bearer": []}, {"cookie": []}, {}]),
        Caller::Account | Caller::AccountOrActor => json!([{"bearer": []}, {"oauth2": [Scope::ACCOUNT]}]),
        Caller::AccountOrKey => json!([{"bearer": []}, {"oauth2": [Scope::ACCOUNT]}, {"api_key": []}]),
        Caller::Admin => json!([{"bearer": []}, {"oauth2": [Scope::ADMIN]}]),
    }
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token (RFC 9068) of a session that has not ended, with the scope `account`, or `admin` for \
                 what is below `/v1/admin`.",
        },
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie::NAME_OVER_TLS,
            "description": format!(
                "The refresh token of browser mode. Over plain http, as in development, it is called `{}`. The request \
                 must come from a page of the service's own or of an allowed origin, or carry `X-Requested-With`.",
                cookie::NAME_OVER_HTTP,
            ),
        },
        "api_key": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "An API key with the scope `account`; `Authorization: Bearer` carries one as well.",
        },
        "oauth2": {
            "type": "oauth2",
            "description": "Works where `oauth.password_grant` is switched on; the user name is the e-mail address.",
            "flows": {"password": {
                "tokenUrl": "/oauth2/token",
                "refreshUrl": "/oauth2/token",
                "scopes": {Scope::ACCOUNT: "The user's own account.", Scope::ADMIN: "Everybody's, for administrators."},
            }},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations() -> Vec<(String, Value)> {
        let document = document();
        let mut found = Vec::new();
        for (path, item) in document["paths"].as_object().expect("an object") {
            for (method, operation) in item.as_object().expect("an object") {
                found.push((format!("{} {path}", method.to_uppercase()), operation.clone()));
            }
        }
        found
    }

    #[test]
    fn every_public_row_is_described_and_nothing_else() {
        let described: Vec<String> = operations().into_iter().map(|(name, _)| name).collect();
        let mut rows: Vec<String> = routes::PUBLIC.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
        rows.sort_by(|a, b| a.split(' ').rev().cmp(b.split(' ').rev()));
        assert_eq!(described, rows);
    }

    #[test]
    fn operations_have_names_of_their_own_and_declare_what_their_path_holds() {
        let mut ids = std::collections::BTreeSet::new();
        for (name, operation) in operations() {
            assert!(ids.insert(operation["operationId"].to_string()), "{name}: its operationId is taken");
            let declared = operation["parameters"].as_array().expect("a list").iter();
            let declared: Vec<_> = declared
                .filter(|p| p["in"] == "path")
                .map(|p| format!("{{{}}}", p["name"].as_str().unwrap_or_default()))
                .collect();
            let held: Vec<_> = name.split('/').filter(|part| part.starts_with('{')).collect();
            assert_eq!(declared, held, "{name}");
        }
    }

    #[test]
    fn errors_have_the_form_of_their_path() {
        for (name, operation) in operations() {
            for (status, response) in operation["responses"].as_object().expect("an object") {
                if status.as_str() < "400" {
                    continue;
                }
                let expected = if name.contains("/oauth2/") { "application/json" } else { "application/problem+json" };
                assert!(response["content"].get(expected).is_some(), "{name} {status}");
            }
        }
    }

    #[test]
    fn the_committed_document_is_current() {
        let made = serde_json::to_string_pretty(&document()).expect("plain data");
        crate::generated::expect_file("docs/openapi.json", &format!("{made}\n"));
    }
}
