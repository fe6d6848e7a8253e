//! `signet users`: what has to be possible before there is an administrator.

use std::io::{BufRead, IsTerminal};
use std::path::Path;

use zeroize::Zeroizing;

use super::{Failure, block_on, config_of_command, open_database};
use crate::access::role::Roles;
use crate::account::administer;
use crate::account::email::Email;
use crate::account::password::{NewPassword, Password};
use crate::config::Config;
use crate::field::Invalid;
use crate::hasher::Hasher;
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
    },
    /// Let a disabled user log in again
    Enable {
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
    match command {
        Command::Create { email, name, roles } => {
            let (email, roles) = (address(&email)?, Roles::try_from(roles)?);
            let password = new_password(&config, &email)?;
            let hasher = Hasher::start(&config.hashing, Metrics::default())?;
            let user = block_on(administer::create(&db, &hasher, email, name, &password, roles))??;
            println!("{}  {}  {}", user.id, user.email, user.roles);
        }
        Command::SetRole { email, roles } => {
            let roles = Roles::try_from(roles)?;
            let id = block_on(administer::set_roles(&db, address(&email)?, roles.clone()))?.map_err(no_such_user)?;
            println!("{id}  {email}  {roles}");
        }
        Command::Disable { email } => {
            let id = block_on(administer::disable(&db, address(&email)?))?.map_err(no_such_user)?;
            println!("{id}  {email}  disabled");
        }
        Command::Enable { email } => {
            let id = block_on(administer::enable(&db, address(&email)?))?.map_err(no_such_user)?;
            println!("{id}  {email}  enabled");
        }
        Command::SetPassword { email } => {
            let address = address(&email)?;
            let password = new_password(&config, &address)?;
            let hasher = Hasher::start(&config.hashing, Metrics::default())?;
            let set = block_on(administer::set_password(&db, &hasher, address, &password))?;
            let id = set.map_err(no_such_user)?;
            println!("{id}  {email}  password set, sessions ended");
        }
    }
    Ok(())
}

pub(super) fn address(text: &str) -> Result<Email, Failure> {
    Email::parse(text).map_err(say)
}

fn new_password(config: &Config, email: &Email) -> Result<NewPassword, Failure> {
    let password = Password::parse(&ask_password()?).map_err(say)?;
    NewPassword::accept(password, config.password.min_length, email, &config.issuer).map_err(say)
}

fn say(invalid: Invalid) -> Failure {
    invalid.detail.into()
}

pub(super) fn no_such_user(error: crate::error::Error) -> Failure {
    match error {
        crate::error::Error::NotFound => "there is no such user".into(),
        other => other.into(),
    }
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
