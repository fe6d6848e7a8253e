//! `signet openapi`: the API described for programs.

use super::Failure;

pub(super) fn run() -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(&crate::http::openapi::document())?);
    Ok(())
}
