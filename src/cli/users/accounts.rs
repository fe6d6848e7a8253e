//! `signet users create`, and what changes an account that there is: one line says what it is then.

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{address, deleted, forms, gone, no_such_user, say, taken};
use crate::access::role::Roles;
use crate::account::User;
use crate::account::administer::{self, Changes};
use crate::account::breached::Breached;
use crate::account::email::Email;
use crate::account::password::{NewPassword, Password, Subject};
use crate::audit::Actor;
use crate::cli::{Failure, block_on};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::error::Error;
use crate::field::{FromField, Patch, Text};
use crate::hasher::Hasher;
use crate::mail::Mail;
use crate::metrics::Metrics;
use crate::mfa::reset;
use crate::session::end;

pub(super) fn create(
    config: &Config,
    db: &Db,
    email: &str,
    name: Option<String>,
    roles: Vec<String>,
    is_service: bool,
) -> Result<(), Failure> {
    let (email, roles) = (address(email)?, Roles::try_from(roles)?);
    let password = if is_service { None } else { Some(new_password(config, &email, name.as_deref())?) };
    let hasher = Hasher::start(&config.hashing, Metrics::default())?;
    let creating = administer::create(db, &hasher, Actor::operator(), email.clone(), name, password.as_ref(), roles);
    let user = block_on(creating)?.map_err(taken)?;
    println!("{}  {}  {}", user.id, user.email, user.roles);
    Ok(())
}

pub(super) fn set_roles(db: &Db, email: &str, roles: Vec<String>) -> Result<(), Failure> {
    let roles = Roles::try_from(roles)?;
    let set = block_on(administer::set_roles(db, Actor::operator(), address(email)?, roles.clone()))?;
    println!("{}  {email}  {roles}", set.map_err(no_such_user)?);
    Ok(())
}

pub(super) fn disable(db: &Db, email: &str, until: Option<&str>) -> Result<(), Failure> {
    let until = until.map(|text| forms::time(text, Clock::system().now())).transpose()?;
    let disabled = block_on(administer::disable(db, Actor::operator(), address(email)?, until))?;
    let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
    println!("{}  {email}  disabled{until}", disabled.map_err(no_such_user)?);
    Ok(())
}

pub(super) fn enable(db: &Db, user: &str) -> Result<(), Failure> {
    let enabled = block_on(administer::enable(db, Actor::operator(), forms::who(user)?))?;
    let id = enabled.map_err(|error| match error {
        Error::UserDisabled => deleted(),
        other => no_such_user(other),
    })?;
    println!("{id}  {user}  enabled");
    Ok(())
}

pub(super) fn end_sessions(db: &Db, email: &str) -> Result<(), Failure> {
    let ended = block_on(end::of_user(db, Actor::operator(), address(email)?))?;
    println!("{} session(s) ended", ended.map_err(no_such_user)?);
    Ok(())
}

pub(super) fn delete(config: &Config, db: &Db, email: &str, now: bool) -> Result<(), Failure> {
    let outbox = Mail::open(config)?.outbox();
    let grace = if now { Duration::ZERO } else { config.account.deletion_grace.0 };
    let deleted = block_on(administer::delete(db, outbox, Actor::operator(), address(email)?, grace))?;
    match deleted.map_err(|error| gone(db, email, error))? {
        Some(purge_at) => println!("{email}  deleted; can be brought back until {purge_at}"),
        None => println!("{email}  deleted for good"),
    }
    Ok(())
}

pub(super) fn restore(db: &Db, user: &str) -> Result<(), Failure> {
    let restored = block_on(administer::restore(db, Actor::operator(), forms::who(user)?))?;
    let id = restored.map_err(|error| match error {
        Error::NotFound => "there is no such deleted account".into(),
        other => Failure::from(other),
    })?;
    println!("{id}  {user}  is as before, without its sessions");
    Ok(())
}

pub(super) fn set_password(config: &Config, db: &Db, email: &str) -> Result<(), Failure> {
    let address = address(email)?;
    let password = new_password(config, &address, None)?;
    let hasher = Hasher::start(&config.hashing, Metrics::default())?;
    let outbox = Mail::open(config)?.outbox();
    let set = block_on(administer::set_password(db, &hasher, outbox, Actor::operator(), address, &password))?;
    println!("{}  {email}  password set, sessions ended", set.map_err(no_such_user)?);
    Ok(())
}

pub(super) fn reset_mfa(config: &Config, db: &Db, email: &str) -> Result<(), Failure> {
    let outbox = Mail::open(config)?.outbox();
    let reset = block_on(reset::of_user(db, outbox, Actor::operator(), address(email)?))?;
    let (id, had_one) = reset.map_err(no_such_user)?;
    let what = if had_one { "second factor removed, sessions ended" } else { "has no second factor" };
    println!("{id}  {email}  {what}");
    Ok(())
}

pub(super) fn set_email(config: &Config, db: &Db, email: &str, new: &str) -> Result<(), Failure> {
    let changes = Changes { email: Some(address(new)?), ..Changes::default() };
    let changed = change(config, db, email, changes)?;
    println!("{}  {new}", changed.id);
    Ok(())
}

pub(super) fn set_name(config: &Config, db: &Db, email: &str, name: Option<String>) -> Result<(), Failure> {
    let name = name.map(Text::from_text).transpose().map_err(say)?;
    let name = name.map_or(Patch::Remove, |name| Patch::Set(name.into_string()));
    let changed = change(config, db, email, Changes { name, ..Changes::default() })?;
    println!("{}  {}  {}", changed.id, changed.email, changed.name.as_deref().unwrap_or("-"));
    Ok(())
}

pub(super) fn set_verified(config: &Config, db: &Db, email: &str, is_verified: bool) -> Result<(), Failure> {
    let changes = Changes { is_verified: Some(is_verified), ..Changes::default() };
    let changed = change(config, db, email, changes)?;
    let what = if is_verified { "verified" } else { "not verified" };
    println!("{}  {}  {what}", changed.id, changed.email);
    Ok(())
}

fn change(config: &Config, db: &Db, email: &str, changes: Changes) -> Result<User, Failure> {
    let outbox = Mail::open(config)?.outbox();
    let changed = block_on(administer::update(db, outbox, Actor::operator(), address(email)?, changes))?;
    Ok(changed.map_err(taken)?.user)
}

fn new_password(config: &Config, email: &Email, name: Option<&str>) -> Result<NewPassword, Failure> {
    let password = Password::parse(&ask_password()?).map_err(say)?;
    let subject = Subject { email, name, issuer: &config.issuer };
    let accepted = NewPassword::accept(password, config.password.min_length, &subject).map_err(say)?;
    let breached = Breached::open(&config.password.breached_file)?;
    accepted.beside(breached.as_ref())?.map_err(say)
}

fn ask_password() -> Result<Zeroizing<String>, Failure> {
    if std::io::stdin().is_terminal() {
        let first = Zeroizing::new(rpassword::prompt_password("Password: ")?);
        let again = Zeroizing::new(rpassword::prompt_password("Again: ")?);
        if first != again {
            return Err("the two passwords differ".into());
        }
        return Ok(first);
    }
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}
