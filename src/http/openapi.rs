//! The description of the public API (OpenAPI 3.1), made from the table of routes and from the types that are read and
//! written, so that neither changes without it. `docs/openapi.json` is this document.
//!
//! A feature describes its [`Operation`] beside its handler: what it reads, what it answers, which errors are its own.
//! What follows from the row (who may call, how often) and from the kind of body (what can be wrong with any) is added here.

mod operation;

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

pub use operation::{Operation, Tag};

use super::{bearer, cookie};
use crate::access::scope::Scope;
use crate::access::step_up::{Demand, Freshness};
use crate::error::Error;
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
