//! `signet roles`: what each role carries, by the configuration at hand. No database is asked.

use std::path::Path;

use super::{Failure, config_of_command};
use crate::admin::roles::{RoleItem, RoleList};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(path: Option<&Path>, arguments: &Arguments) -> Result<(), Failure> {
    let list = RoleList::of(&config_of_command(path)?.rights());
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&list)?);
        return Ok(());
    }
    let line = |role: &str, scope: &str| println!("{role:<32}  {}", if scope.is_empty() { "-" } else { scope });
    line("ROLE", "SCOPE");
    line("(everybody)", list.of_everybody.as_str());
    for RoleItem { role, scope } in &list.roles {
        line(role, scope.as_str());
    }
    Ok(())
}
