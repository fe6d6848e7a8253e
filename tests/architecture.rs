//! What the source promises about itself.

use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a folder of the source").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn rules_know_neither_http_nor_the_database() {
    let pure = [
        "access/caller.rs",
        "access/rights.rs",
        "api_key/rules.rs",
        "access/step_up.rs",
        "mfa/totp.rs",
        "session/family.rs",
        "throttle/rules.rs",
        "throttle/source.rs",
        "token/keyring.rs",
        "token/schedule.rs",
    ]
    .map(|file| source().join(file));
    for file in pure {
        let text = std::fs::read_to_string(&file).expect("a file of the source");
        for foreign in ["actix", "diesel", "crate::db", "crate::http", "crate::app"] {
            assert!(!text.contains(foreign), "{} speaks of {foreign}", file.display());
        }
    }
}

#[test]
fn only_stores_and_the_database_layer_name_tables() {
    let allowed = ["store.rs", "schema.rs"];
    for file in files_below(&source()) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let names_tables = text.contains("db::schema::");
        let is_audit = file.ends_with("audit/mod.rs"); // a feature of one table and three statements
        assert!(!names_tables || allowed.contains(&name) || is_audit, "{} names a table", file.display());
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    for file in files_below(&source()).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs")) {
        let text = std::fs::read_to_string(&file).expect("readable");
        assert!(text.starts_with("//! "), "{} does not begin with a line on what it is", file.display());
    }
}

/// The two folders of migrations have the same steps, and each step makes the same tables and columns.
#[test]
fn both_databases_have_the_same_migrations() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let steps = |database: &str| -> Vec<String> {
        let entries = std::fs::read_dir(root.join(database)).expect("a folder of migrations");
        let mut steps: Vec<String> =
            entries.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8")).collect();
        steps.sort();
        steps
    };
    assert_eq!(steps("postgres"), steps("sqlite"));
    for step in steps("postgres") {
        let shape = |database: &str| {
            let sql = std::fs::read_to_string(root.join(database).join(&step).join("up.sql")).expect("an up.sql");
            // Triggers come last, and each database has a language of its own for them.
            shape(sql.split("-- Triggers").next().unwrap_or_default())
        };
        assert_eq!(shape("postgres"), shape("sqlite"), "{step}");
    }
}

/// Names of tables, columns and indexes, and which columns are mandatory; types are each database's own, and Postgres has to
/// be told where bytes are to be compared as they are.
fn shape(sql: &str) -> Vec<String> {
    let of_both = sql.lines().filter(|line| !line.contains("-- Postgres only"));
    let statements =
        of_both.map(|line| line.split("--").next().unwrap_or_default().trim().replace(" COLLATE \"C\"", ""));
    let statements: Vec<String> = statements.filter(|line| !line.is_empty()).collect();
    statements
        .iter()
        .filter_map(|line| {
            let words: Vec<&str> = line.trim_end_matches([',', ';', '(']).split_whitespace().collect();
            match words.as_slice() {
                [")", ..] | [] => None,
                ["CREATE" | "ALTER" | "DROP", ..] => Some(words.join(" ")),
                // As little as of a column of a new table: its type, and how a default is written, are each database's own.
                ["ADD", "COLUMN", column, _type, rest @ ..] => {
                    let rest: Vec<&str> = rest.iter().copied().take_while(|word| *word != "DEFAULT").collect();
                    Some(format!("ADD {column} {}", rest.join(" ")))
                }
                [column, _type, rest @ ..] => Some(format!("{column} {}", rest.join(" "))),
                [word] => Some((*word).to_owned()),
            }
        })
        .collect()
}
