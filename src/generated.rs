//! Files of the repository that are made from the code, and how tests keep them current.
//!
//! `SIGNET_TEST_UPDATE_DOCS=1 cargo test --lib` writes them anew; otherwise a stale one fails its test.

use std::path::Path;

/// The file at `path`, counted from the root of the repository, must be `made`.
pub(crate) fn expect_file(path: &str, made: &str) {
    let there = read(path).unwrap_or_default();
    settle(path, &there, made);
}

/// The region of the file at `path` between `<!-- name -->` and `<!-- /name -->` must be `made`. A file that is not there
/// or has no such region is left alone.
pub(crate) fn expect_region(path: &str, name: &str, made: &str) {
    let Some(there) = read(path) else { return };
    if let Some(current) = with_region(&there, name, made) {
        settle(path, &there, &current);
    }
}

fn read(path: &str) -> Option<String> {
    match std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("cannot read {path}: {error}"),
    }
}

fn settle(path: &str, there: &str, made: &str) {
    if there == made {
        return;
    }
    let renewing = std::env::var_os("SIGNET_TEST_UPDATE_DOCS").is_some();
    assert!(renewing, "{path} is stale; renew it with: SIGNET_TEST_UPDATE_DOCS=1 cargo test --lib");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder can be made");
    std::fs::write(&path, made).expect("the file can be written");
}

fn with_region(text: &str, name: &str, made: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{begin} is not followed by {end}"));
    Some(format!("{before}{begin}\n{made}{end}{after}"))
}

#[test]
fn only_the_region_is_replaced() {
    let text = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n";
    assert_eq!(with_region(text, "x", "new\n").as_deref(), Some("a\n<!-- x -->\nnew\n<!-- /x -->\nb\n"));
    assert_eq!(with_region(text, "y", "new\n"), None);
}

/// What a reader copies is what `tests/interop` runs.
#[test]
fn the_readme_quotes_programs_that_are_tested() {
    let client = |file: &str| read(&format!("tests/interop/clients/{file}")).expect("a client of the interop tests");
    let fenced = |language: &str, text: &str| format!("```{language}\n{}\n```\n", text.trim_end());
    expect_region("README.md", "fastapi", &fenced("python", &client("fastapi_app.py")));
    expect_region("README.md", "express", &fenced("js", &client("express_app.mjs")));
    let actix = client("actix_app.rs");
    let (_, rest) = actix.split_once("impl FromRequest for Caller").expect("the extractor");
    let (verifying, _) = rest.split_once("#[derive(Debug)]\nenum Refused").expect("the errors");
    expect_region("README.md", "actix", &fenced("rust", &format!("impl FromRequest for Caller{verifying}")));
}
