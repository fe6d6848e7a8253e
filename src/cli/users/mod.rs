//! `signet users`: what has to be possible before there is an administrator, and what administrators do over HTTP.

mod accounts;
mod directory;
pub(super) mod forms;

use std::path::Path;

use super::{Failure, block_on, config_of_command, import, open_database};
use crate::access::role::Roles;
use crate::account::email::Email;
use crate::account::hand_out::Delivery;
use crate::account::one_time::{OneTimeToken, Purpose};
use crate::account::{administer, hand_out};
use crate::audit::Actor;
use crate::config::Config;
use crate::db::Db;
use crate::error::Error;
use crate::field::Invalid;
use crate::hasher::Hasher;
use crate::mail::{Link, Mail};
use crate::metrics::Metrics;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Create a user; the password is asked for, or read from standard input if that is no terminal
    Create {
        /// The e-mail address
        email: String,
        /// What the user wants to be called
        #[arg(long)]
        name: Option<String>,
        /// A role, such as admin; may be given several times
        #[arg(long = "role", value_name = "ROLE", default_value = Roles::USER)]
        roles: Vec<String>,
        /// A program's account: it gets no password, so nobody logs in; make it a key with `signet api-keys create`
        #[arg(long)]
        service: bool,
    },
    /// Take over users of another service, with the hashes of their passwords
    Import(import::Arguments),
    /// List users: the newest, or whose address or name begins so
    List(directory::Arguments),
    /// Show one user
    Show {
        /// The e-mail address or the id
        user: String,
    },
    /// Set a user's roles, in place of the ones they have; takes effect at the next refresh
    SetRole {
        /// The e-mail address
        email: String,
        /// All the roles that the user is to have
        #[arg(required = true)]
        roles: Vec<String>,
    },
    /// Disable a user: every session ends and none can be opened
    Disable {
        /// The e-mail address
        email: String,
        /// For a time: until 2026-12-24T18:00:00Z, or for 7d; otherwise until they are enabled
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Let a disabled user log in again
    Enable {
        /// The e-mail address or the id
        user: String,
    },
    /// Delete an account: every session ends, none can be opened, and after `account.deletion_grace` everything of it goes
    Delete {
        /// The e-mail address
        email: String,
        /// Remove everything of it at once; nothing brings it back
        #[arg(long)]
        now: bool,
    },
    /// Bring back a deleted account whose time is not over
    Restore {
        /// The e-mail address or the id
        user: String,
    },
    /// Take a user's password and end every session; what they choose another one with goes out by mail, or is printed
    ForceReset {
        /// The e-mail address
        email: String,
    },
    /// End every session of a user
    EndSessions {
        /// The e-mail address
        email: String,
    },
    /// Print a link, or a token, with which a user chooses a new password: for whom mail does not reach
    ResetLink {
        /// The e-mail address
        email: String,
    },
    /// Print a link, or a token, with which a user verifies their address
    VerifyLink {
        /// The e-mail address
        email: String,
    },
    /// Print a link, or a token, with which somebody registers: for `registration = "invite"`
    Invite {
        /// The e-mail address that the account will have
        email: String,
        /// Have the running service send it instead, which verifies the address, too
        #[arg(long)]
        mail: bool,
    },
    /// Change a user's address at once; you vouch for it, and sessions go on
    SetEmail {
        /// The e-mail address
        email: String,
        /// The one to be
        new: String,
    },
    /// Set what a user is called
    SetName {
        /// The e-mail address
        email: String,
        /// The name; nothing if it is not given
        name: Option<String>,
    },
    /// Say whether a user's address is known to be theirs
    SetVerified {
        /// The e-mail address
        email: String,
        /// true or false
        #[arg(action = clap::ArgAction::Set)]
        is_verified: bool,
    },
    /// Take the second factor from a user who has lost it, phone and codes; every session ends, the password stays
    ResetMfa {
        /// The e-mail address
        email: String,
    },
    /// Set a user's password, which ends every session; it is asked for, or read from standard input
    SetPassword {
        /// The e-mail address
        email: String,
    },
}

pub(super) fn run(path: Option<&Path>, command: Command) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    let db = open_database(&config)?;
    let by = Actor::operator();
    match command {
        Command::List(arguments) => directory::list(&db, &arguments)?,
        Command::Show { user } => directory::show(&db, &user)?,
        Command::Create { email, name, roles, service } => {
            accounts::create(&config, &db, &email, name, roles, service)?;
        }
        Command::Import(arguments) => import::run(&config, &db, &arguments)?,
        Command::SetRole { email, roles } => accounts::set_roles(&db, &email, roles)?,
        Command::Disable { email, until } => accounts::disable(&db, &email, until.as_deref())?,
        Command::ForceReset { email } => force_reset(&config, &db, by, &email)?,
        Command::EndSessions { email } => accounts::end_sessions(&db, &email)?,
        Command::Enable { user } => accounts::enable(&db, &user)?,
        Command::Delete { email, now } => accounts::delete(&config, &db, &email, now)?,
        Command::Restore { user } => accounts::restore(&db, &user)?,
        Command::SetPassword { email } => accounts::set_password(&config, &db, &email)?,
        Command::ResetMfa { email } => accounts::reset_mfa(&config, &db, &email)?,
        Command::ResetLink { email } => hand_out(&config, &db, &email, Purpose::ResetPassword, Link::ResetPassword)?,
        Command::VerifyLink { email } => hand_out(&config, &db, &email, Purpose::VerifyEmail, Link::VerifyEmail)?,
        Command::Invite { email, mail: true } => {
            let mail = Mail::open(&config)?;
            if !mail.is_open() {
                return Err("mail.url is not set, so no mail is sent; without --mail the link is printed".into());
            }
            block_on(hand_out::invite(&db, by, Some(mail.outbox()), address(&email)?))?.map_err(taken)?;
            println!("{email}  is invited by mail, once the service looks");
        }
        Command::Invite { email, mail: false } => {
            let invited = block_on(hand_out::invite(&db, by, None, address(&email)?))?;
            let delivery = invited.map_err(taken)?;
            if let Delivery::Token(token) = delivery {
                show(&config, Link::Invitation, &token, "7d")?;
            }
        }
        Command::SetEmail { email, new } => accounts::set_email(&config, &db, &email, &new)?,
        Command::SetName { email, name } => accounts::set_name(&config, &db, &email, name)?,
        Command::SetVerified { email, is_verified } => accounts::set_verified(&config, &db, &email, is_verified)?,
    }
    Ok(())
}

fn hand_out(config: &Config, db: &Db, email: &str, purpose: Purpose, link: Link) -> Result<(), Failure> {
    let ttl = config.mail.token_ttl;
    let made = block_on(hand_out::token(db, Actor::operator(), address(email)?, purpose, ttl.0))?;
    let token = made.map_err(|error| refusal(db, email, error))?;
    show(config, link, &token, &ttl.to_string())
}

fn force_reset(config: &Config, db: &Db, by: Actor, email: &str) -> Result<(), Failure> {
    let mail = Mail::open(config)?;
    // Only its decoy is wanted, a hash of no password.
    let hasher = Hasher::start(&config.hashing, Metrics::default())?;
    let ttl = config.mail.token_ttl;
    let terms = administer::force_reset::Terms {
        outbox: mail.outbox(),
        by_mail: mail.is_open(),
        nobodys_hash: hasher.nobodys_hash(),
        token_ttl: ttl.0,
    };
    let forced = block_on(administer::force_reset(db, terms, by, address(email)?))?;
    match forced.map_err(|error| refusal(db, email, error))? {
        (id, Delivery::Mail) => println!("{id}  {email}  is told by mail, once the service looks"),
        (_, Delivery::Token(token)) => show(config, Link::ResetPassword, &token, &ttl.to_string())?,
    }
    Ok(())
}

/// Prints the page with the token in it, or the token if no page is configured.
fn show(config: &Config, link: Link, token: &OneTimeToken, ttl: &str) -> Result<(), Failure> {
    let token = token.to_text();
    let page = Mail::open(config)?.links().to(link, &token);
    println!("{}", page.as_deref().unwrap_or(&token).as_str());
    eprintln!("it works once, for {ttl}; whoever has it is taken for the user");
    Ok(())
}

pub(super) fn address(text: &str) -> Result<Email, Failure> {
    Email::parse(text).map_err(say)
}

fn say(invalid: Invalid) -> Failure {
    invalid.detail.into()
}

pub(super) fn no_such_user(error: Error) -> Failure {
    match error {
        Error::NotFound => "there is no such user: `signet users list` shows who there is".into(),
        other => other.into(),
    }
}

/// Why nothing can be done for a user, and what would help. A deleted one is disabled, and enabling does not help.
pub(super) fn refusal(db: &Db, user: &str, error: Error) -> Failure {
    let Error::UserDisabled = error else { return no_such_user(error) };
    match is_deleted(db, user) {
        Ok(true) => deleted(),
        Ok(false) => "the user is disabled: `signet users enable` lets them in again".into(),
        Err(error) => error,
    }
}

fn gone(db: &Db, user: &str, error: Error) -> Failure {
    match error {
        Error::NotFound if is_deleted(db, user).unwrap_or(false) => {
            "the account is deleted already; --now removes everything of it".into()
        }
        other => no_such_user(other),
    }
}

fn is_deleted(db: &Db, user: &str) -> Result<bool, Failure> {
    Ok(block_on(administer::is_deleted(db, forms::who(user)?))??)
}

fn deleted() -> Failure {
    "the account is deleted: `signet users restore` brings it back".into()
}

fn taken(error: Error) -> Failure {
    match error {
        Error::EmailTaken => "an account with this e-mail address exists: `signet users show` shows it".into(),
        other => no_such_user(other),
    }
}
