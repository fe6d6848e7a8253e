//! `signet api-keys`: keys of users who are programs, and the end of anybody's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::users::forms::{duration, id, who};
use super::users::{no_such_user, refusal};
use super::{Failure, block_on, config_of_command, open_database};
use crate::api_key::create::{KeyScope, Request, Wanted};
use crate::api_key::key::ApiKey;
use crate::api_key::rotate::{self, Renewal};
use crate::api_key::{ApiKeyId, Described, administer};
use crate::audit::Actor;
use crate::config::Config;
use crate::db::Db;
use crate::error::Error;
use crate::field::{FromField, Seconds, Text};
use crate::http::query::{MAX_LIMIT, Page};
use crate::mail::Mail;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make an API key for a user, and print it: this once, for only a digest is kept
    Create {
        /// The e-mail address or the id of the user; `signet users create --service` makes one for a program
        user: String,
        /// What the key is for, for whoever looks at the list
        #[arg(long)]
        name: String,
        /// What it may do; may be given several times; the user's roles must carry it
        #[arg(long = "scope", value_name = "WORD", required = true)]
        scope: Vec<String>,
        /// How long it works, as 30d; api_keys.default_ttl if not said, and never longer than api_keys.max_ttl
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires_in: Option<Duration>,
    },
    /// List a user's API keys that work
    List {
        /// The e-mail address or the id of the user
        user: String,
        /// As JSON, one key on each line, for programs
        #[arg(long)]
        json: bool,
    },
    /// Give an API key a new secret, and print it: this once. For a time both work
    Rotate {
        /// The e-mail address or the id of the user
        user: String,
        /// The key's id
        id: String,
        /// How long the secret before it still works, at most 7d; 0s ends it at once
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
        overlap: Duration,
        /// How long the key works from now on; as long as it was to work before if not said
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires_in: Option<Duration>,
    },
    /// End an API key, or all that a user has
    Revoke {
        /// The e-mail address or the id of the user
        user: String,
        /// The key's id; all of the user's if not given
        id: Option<String>,
    },
}

pub(super) fn run(path: Option<&Path>, command: Command) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    let (db, outbox, by) = (open_database(&config)?, Mail::open(&config)?.outbox(), Actor::operator());
    match command {
        Command::Create { user, name, scope, expires_in } => {
            let name = Text::from_text(name).map_err(|invalid| format!("the name: {}", invalid.detail))?;
            let scope =
                KeyScope::from_text(scope.join(" ")).map_err(|invalid| format!("the scope: {}", invalid.detail))?;
            let body = Request { name, scope, expires_in: expires_in.map(Seconds) };
            let wanted = Wanted::accept(body, &config.api_keys).map_err(|error| say(&config, error))?;
            let made = administer::create(&db, Arc::new(config.rights()), outbox, by, who(&user)?, wanted);
            show(&block_on(made)?.map_err(|error| refused(&config, &db, &user, error))?);
        }
        Command::List { user, json } => list(&db, &user, json)?,
        Command::Rotate { user, id: key, overlap, expires_in } => {
            let body = rotate::Request { overlap: Some(Seconds(overlap)), expires_in: expires_in.map(Seconds) };
            let renewal = Renewal::wanted(Some(body), &config.api_keys).map_err(|error| say(&config, error))?;
            let rotated = administer::rotate(&db, outbox, by, who(&user)?, id(&key)?, renewal);
            let (_, key) = block_on(rotated)?.map_err(|error| no_such_key(&db, &user, error))?;
            show(&key);
        }
        Command::Revoke { user, id: Some(key) } => {
            let revoked = block_on(administer::revoke(&db, outbox, by, who(&user)?, id(&key)?))?;
            revoked.map_err(|error| no_such_key(&db, &user, error))?;
            println!("1 API key(s) revoked");
        }
        Command::Revoke { user, id: None } => {
            let revoked = block_on(administer::revoke_all(&db, outbox, by, who(&user)?))?;
            println!("{} API key(s) revoked", revoked.map_err(no_such_user)?);
        }
    }
    Ok(())
}

fn show(key: &ApiKey) {
    println!("{}", key.to_text().as_str());
    eprintln!("it is not shown again");
}

fn list(db: &Db, user: &str, json: bool) -> Result<(), Failure> {
    let who = who(user)?;
    let mut after: Option<ApiKeyId> = None;
    loop {
        let page = block_on(administer::list(db, who.clone(), Page { after, limit: MAX_LIMIT }))?;
        let page = page.map_err(no_such_user)?;
        for key in &page.api_keys {
            if json { println!("{}", serde_json::to_string(key)?) } else { println!("{}", line(key)) }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn line(key: &Described) -> String {
    let last_used = key.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {at}"));
    let Described { id, name, hint, scope, expires_at, .. } = key;
    format!("{id}  {hint}…  {name}  [{scope}]  until {expires_at}, {last_used}")
}

fn no_such_key(db: &Db, user: &str, error: Error) -> Failure {
    match error {
        Error::NotFound => "there is no such key: `signet api-keys list` shows those that work".into(),
        other => refusal(db, user, other),
    }
}

fn refused(config: &Config, db: &Db, user: &str, error: Error) -> Failure {
    match error {
        error @ Error::InvalidFields(_) => say(config, error),
        other => refusal(db, user, other),
    }
}

/// What is wrong with what was wanted, in the words of a command line.
fn say(config: &Config, error: Error) -> Failure {
    match error {
        Error::InvalidFields(wrong) if wrong.iter().any(|wrong| wrong.field == "expires_in") => {
            format!("a key lives for {} at most", config.api_keys.max_ttl).into()
        }
        Error::InvalidFields(wrong) => {
            wrong.iter().map(|wrong| wrong.detail.as_ref()).collect::<Vec<_>>().join("; ").into()
        }
        other => no_such_user(other),
    }
}
