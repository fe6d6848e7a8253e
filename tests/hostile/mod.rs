//! What nobody should send, sent. `docs/hostile.md` says where each kind of hostile input is tried; here is what concerns
//! every route or every table at once.

mod crossed;
mod ids;
mod many_sessions;
mod mass_assignment;

use crate::support::{Backend, Server, Value};

/// The operations of the API description: method, path, description.
fn operations() -> Vec<(String, String, Value)> {
    let document = signet::http::openapi::document();
    let paths = document["paths"].as_object().expect("paths").clone();
    let of_path = |(path, methods): (String, Value)| -> Vec<(String, String, Value)> {
        let methods = methods.as_object().expect("methods").clone();
        methods.into_iter().map(|(method, described)| (method.to_uppercase(), path.clone(), described)).collect()
    };
    paths.into_iter().flat_map(of_path).collect()
}

/// The columns of a table, as the database knows them.
fn columns(server: &Server, backend: Backend, table: &str) -> Vec<String> {
    let columns = server.query_texts(&match backend {
        Backend::Postgres => {
            format!("SELECT column_name::text AS value FROM information_schema.columns WHERE table_name = '{table}'")
        }
        Backend::Sqlite => format!("SELECT name AS value FROM pragma_table_info('{table}')"),
    });
    assert!(columns.len() > 3, "{table} has {columns:?}");
    columns
}

/// Every row of some tables, but for what a refresh changes in a session.
fn rows(server: &Server, backend: Backend, tables: &[&str]) -> Vec<String> {
    const ROTATING: [&str; 7] =
        ["secret_digest", "parent_digest", "nonce", "generation", "rotated_at", "idle_expires_at", "access_version"];
    let text_of = |table: &&str| -> Vec<String> {
        let columns = columns(server, backend, table);
        let columns = columns.iter().filter(|column| *table != "sessions" || !ROTATING.contains(&column.as_str()));
        let text = |column: &String| match backend {
            Backend::Postgres => format!("coalesce(\"{column}\"::text, '-')"),
            Backend::Sqlite => format!("quote(\"{column}\")"),
        };
        let texts: Vec<String> = columns.map(text).collect();
        server.query_texts(&format!(
            "SELECT '{table} ' || {} AS value FROM {table} ORDER BY 1",
            texts.join(" || ' ' || ")
        ))
    };
    tables.iter().flat_map(text_of).collect()
}

/// `docs/hostile.md` names tests that are there.
#[test]
fn every_test_that_is_named_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/hostile.md")).expect("readable");
    let named: Vec<&str> = document.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
    assert!(named.len() > 25, "{named:?}");
    for name in named.into_iter().filter(|name| !name.contains(' ')) {
        let (module, test) = name.rsplit_once("::").expect("a path");
        let file = |path: &str| std::fs::read_to_string(root.join(format!("tests/{}.rs", path.replace("::", "/"))));
        let is_there = file(name).is_ok() || file(module).is_ok_and(|source| source.contains(&format!("fn {test}(")));
        assert!(is_there, "{name}");
    }
}
