//! `signet users list`, `signet users show`.

use super::forms::who;
use super::no_such_user;
use crate::account::ManagedUser;
use crate::account::search::{self, Criteria, Cursor};
use crate::cli::{Failure, block_on};
use crate::db::Db;
use crate::error::Error;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Whose address begins so
    #[arg(long, value_name = "PREFIX")]
    email: Option<String>,
    /// Whose name begins so
    #[arg(long, value_name = "PREFIX")]
    name: Option<String>,
    /// Who have this role
    #[arg(long)]
    role: Option<String>,
    /// Who cannot log in
    #[arg(long)]
    disabled: bool,
    /// How many at most
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// As JSON, one user on each line, for programs
    #[arg(long)]
    json: bool,
}

/// How many are asked for at once.
const PAGE: u16 = 100;

pub(super) fn list(db: &Db, arguments: &Arguments) -> Result<(), Failure> {
    let criteria = Criteria {
        email: arguments.email.as_ref().map(|prefix| prefix.to_lowercase()),
        name: arguments.name.clone(),
        role: arguments.role.clone(),
        is_active: arguments.disabled.then_some(false),
        ..Criteria::default()
    };
    let (mut left, mut after) = (arguments.limit, None);
    if !arguments.json {
        println!("{:<36}  {:<8}  {:<20}  EMAIL", "ID", "STATE", "ROLES");
    }
    while left > 0 {
        let page = u16::try_from(left).unwrap_or(PAGE).min(PAGE);
        let found = block_on(page_of(db, criteria.clone(), after, page))??;
        for user in &found.users {
            print(user, arguments.json)?;
        }
        left -= u32::try_from(found.users.len()).unwrap_or(left).min(left);
        match found.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(())
}

async fn page_of(
    db: &Db,
    criteria: Criteria,
    after: Option<Cursor>,
    limit: u16,
) -> Result<search::Found, crate::error::Error> {
    let found = db.read("admin.search", move |tx| search::search(tx, &criteria, after.as_ref(), limit)).await?;
    found.ok_or(Error::NotFound)
}

pub(super) fn show(db: &Db, text: &str) -> Result<(), Failure> {
    let who = who(text)?;
    let found = block_on(db.read("admin.show_user", move |tx| match who.find(tx)? {
        Some(id) => search::find(tx, id),
        None => Ok(None),
    }))??;
    let user = found.ok_or(Error::NotFound).map_err(no_such_user)?;
    println!("{}", serde_json::to_string_pretty(&user)?);
    Ok(())
}

fn print(managed: &ManagedUser, json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string(managed)?);
        return Ok(());
    }
    let user = &managed.user;
    let state = if user.is_active { "active" } else { "disabled" };
    println!("{}  {state:<8}  {:<20}  {}", user.id, user.roles.to_string(), user.email);
    Ok(())
}
