//! `signet api-keys`: keys of users who are programs, and the end of anybody's.

use std::path::Path;
use std::sync::Arc;

use super::users::{address, no_such_user};
use super::{Failure, block_on, config_of_command, open_database};
use crate::access::scope::Scope;
use crate::api_key::{ApiKeyId, administer};
use crate::field::{FromField, Text};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make an API key for a user, and print it: this once, for only a digest is kept
    Create {
        /// The e-mail address of the user; `signet users create --service` makes one for a program
        email: String,
        /// What the key is for, for whoever looks at the list
        #[arg(long)]
        name: String,
        /// What it may do; may be given several times; the user's roles must carry it
        #[arg(long = "scope", value_name = "WORD", required = true)]
        scope: Vec<String>,
        /// How long it works, as 30d; api_keys.default_ttl if not said, and never longer than api_keys.max_ttl
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires_in: Option<std::time::Duration>,
    },
    /// List a user's API keys that work
    List {
        /// The e-mail address of the user
        email: String,
    },
    /// End an API key, or all that a user has
    Revoke {
        /// The e-mail address of the user
        email: String,
        /// The key's id; all of the user's if not given
        id: Option<String>,
    },
}

pub(super) fn run(path: Option<&Path>, command: Command) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    let db = open_database(&config)?;
    match command {
        Command::Create { email, name, scope, expires_in } => {
            let name = Text::from_text(name).map_err(|invalid| format!("the name: {}", invalid.detail))?;
            let scope: Scope = scope.join(" ").parse()?;
            if scope.is_empty() {
                return Err("a key is for something: name at least one word".into());
            }
            let ttl = expires_in.unwrap_or(config.api_keys.default_ttl.0);
            if ttl.is_zero() || ttl > config.api_keys.max_ttl.0 {
                return Err(format!("a key lives for {} at most", config.api_keys.max_ttl).into());
            }
            let rights = Arc::new(config.rights());
            let made = administer::create(&db, rights, address(&email)?, name.into_string(), scope, ttl);
            println!("{}", block_on(made)?.map_err(no_such_user)?.to_text().as_str());
            eprintln!("it is not shown again");
        }
        Command::List { email } => {
            for line in block_on(administer::list(&db, address(&email)?))?.map_err(no_such_user)? {
                println!("{line}");
            }
        }
        Command::Revoke { email, id } => {
            let only: Option<ApiKeyId> = id.map(|id| id.parse()).transpose()?;
            let is_one = only.is_some();
            let revoked = block_on(administer::revoke(&db, address(&email)?, only))?;
            let count =
                revoked.map_err(|error| if is_one { "there is no such key".into() } else { no_such_user(error) })?;
            println!("{count} API key(s) revoked");
        }
    }
    Ok(())
}
