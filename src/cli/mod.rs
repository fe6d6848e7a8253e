//! The command line: one file per command.

mod api_keys;
mod audit;
mod backup;
mod check;
mod cleanup;
mod dev;
mod healthcheck;
mod import;
mod keys;
mod mfa;
mod migrate;
mod openapi;
mod roles;
mod serve;
mod sessions;
mod statistics;
mod users;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::clock::Clock;
use crate::config::{Config, Sources, one_line};
use crate::db::migrations;
use crate::db::{Db, Url};
use crate::metrics::Metrics;

/// Signet keeps users and their sessions, signs access tokens, and publishes the keys with which your services verify
/// them offline.
///
/// Try it: `signet dev`. Configuration is read from signet.toml and from SIGNET_… environment variables; see
/// docs/configuration.md.
#[derive(Parser)]
#[command(name = "signet", version, max_term_width = 100)]
struct Arguments {
    /// The configuration file; signet.toml in this folder if there is one [env: SIGNET_CONFIG]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (production: needs a database that is migrated and a signing key)
    Serve,
    /// Serve on this machine with everything made up: a SQLite database and a key in a data folder
    Dev(dev::Arguments),
    /// Bring the database's schema up to this release
    Migrate,
    /// Look for everything that would keep `serve` from working, one line for each finding
    Check,
    /// Ask the running service how it is: exit code 0 if it is well
    Healthcheck(healthcheck::Arguments),
    /// Make, rotate, list, prune, revoke and export signing keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Create, import, invite, find and show users, set their roles, names, passwords and addresses, disable, enable, delete and restore them
    #[command(subcommand)]
    Users(users::Command),
    /// Make API keys for services, list, rotate and end users' keys
    #[command(subcommand)]
    ApiKeys(api_keys::Command),
    /// List the roles of the configuration, and what scope each carries
    Roles(roles::Arguments),
    /// List and end sessions
    #[command(subcommand)]
    Sessions(sessions::Command),
    /// Print how much of everything there is, as JSON
    Statistics,
    /// Replace the key that second factors are sealed with
    #[command(subcommand)]
    Mfa(mfa::Command),
    /// List, export and verify the audit trail
    #[command(subcommand)]
    Audit(audit::Command),
    /// Copy a SQLite database while it is in use
    Backup(backup::Arguments),
    /// Remove what is over, once and now, as `serve` does by itself every hour: for a cron job beside `cleanup.enabled = false`
    Cleanup,
    /// Print the OpenAPI description of the API
    Openapi,
}

/// Whatever ends a command; printed as one line.
type Failure = Box<dyn std::error::Error>;

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let Arguments { config, command } = Arguments::parse();
    let path = config.as_deref();
    let outcome = match command {
        Command::Serve => serve::run(path),
        Command::Dev(arguments) => dev::run(path, &arguments),
        Command::Migrate => migrate::run(path),
        Command::Check => check::run(path),
        Command::Healthcheck(arguments) => healthcheck::run(path, &arguments),
        Command::Keys(command) => keys::run(path, command),
        Command::Users(command) => users::run(path, command),
        Command::ApiKeys(command) => api_keys::run(path, command),
        Command::Roles(arguments) => roles::run(path, &arguments),
        Command::Sessions(command) => sessions::run(path, command),
        Command::Statistics => statistics::run(path),
        Command::Mfa(command) => mfa::run(path, command),
        Command::Audit(command) => audit::run(path, command),
        Command::Backup(arguments) => backup::run(path, &arguments),
        Command::Cleanup => cleanup::run(path),
        Command::Openapi => openapi::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signet: error: {}", one_line(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// The configuration, with logs for people: for commands that end by themselves.
fn config_of_command(path: Option<&std::path::Path>) -> Result<Config, Failure> {
    Ok(Sources::of_process(path)?.config()?)
}

fn url_of(config: &Config) -> Result<Url, Failure> {
    Ok(config.database.url.0.parse()?)
}

/// A database whose schema is the known one.
fn open_database(config: &Config) -> Result<Db, Failure> {
    let url = url_of(config)?;
    migrations::require_current(&url)?;
    Ok(Db::open(url, 1, config.database.max_wait.0, Clock::system(), Metrics::default()))
}

/// Runs something asynchronous to its end.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
