//! `signet dev`: the service on one's own machine, with everything made up. On loopback only, since the key is.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::{Failure, serve};
use crate::app::Listeners;
use crate::clock::Clock;
use crate::config::{Config, MfaConfig, Secret, Sources};
use crate::db::{Url, migrations};
use crate::mail::Destination;
use crate::telemetry;
use crate::token::key_file;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where the database and the key are kept from one start to the next
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

pub(super) fn run(path: Option<&Path>, arguments: &Arguments) -> Result<(), Failure> {
    let data = &arguments.data;
    let mut sources = Sources::of_process(path)?;
    sources.defaults = vec![
        ("database.url", format!("sqlite:{}", data.join("signet.db").display())),
        ("keys.dir", data.join("keys").display().to_string()),
        ("mail.url", format!("folder:{}", data.join("mail").display())),
        ("log.format", "text".to_owned()),
        ("log.level", "warn".to_owned()),
        ("shutdown.delay", "0s".to_owned()),
    ];
    let mut config = sources.config()?;
    config.mail.announce = true;
    // What somebody tries on a laptop listens there, too.
    config.webhooks.allow_http = true;
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    config.webhooks.private_networks.extend(loopback.map(IpNet::from));
    let export = telemetry::start(&config);
    let listeners = [config.public.listen, config.management.listen];
    if let Some(listen) = listeners.into_iter().find(|listen| !listen.ip().is_loopback()) {
        return Err(
            format!("dev listens on loopback only, not on {listen}: use `signet serve` for anything else").into()
        );
    }
    std::fs::create_dir_all(data).map_err(|error| format!("cannot make {}: {error}", data.display()))?;
    if config.mfa.secret_key.0.is_empty() {
        config.mfa.secret_key = sealing_key(data)?;
    }
    let listeners = Listeners::bind(&config)?;
    if config.issuer.is_empty() {
        config.issuer = format!("http://{}", listeners.public()?);
    }
    let url: Url = config.database.url.0.parse()?;
    migrations::migrate(&url)?;
    let new_key = make_first_key(&config)?;
    let management = listeners.management()?;
    serve::until_stopped(config, listeners, export.as_ref(), |config| {
        print!("{}", greeting(config, &format!("http://{management}"), &url, new_key));
    })
}

/// Makes a key if there is none; tells whether it did.
fn make_first_key(config: &Config) -> Result<bool, Failure> {
    let dir = &config.keys.dir;
    if dir.exists() && !key_file::read_folder(dir)?.keys.is_empty() {
        return Ok(false);
    }
    key_file::create(dir, Clock::system().now(), Duration::ZERO)?;
    Ok(true)
}

/// What secrets of second factors are sealed with: kept beside the database, made if it is not there.
fn sealing_key(data: &Path) -> Result<Secret, Failure> {
    let path = data.join("mfa.key");
    match std::fs::read_to_string(&path) {
        Ok(key) => return Ok(Secret(key.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("cannot read {}: {error}", path.display()).into()),
    }
    let key = MfaConfig::new_key();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&path).and_then(|mut file| writeln!(file, "{}", key.0));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(key)
}

fn greeting(config: &Config, management: &str, url: &Url, new_key: bool) -> String {
    let Config { issuer, .. } = config;
    let keys = config.keys.dir.display();
    let mail: Destination = config.mail.url.0.parse().unwrap_or(Destination::Nowhere);
    let made = if new_key { " (a new key was made; dev does that, serve never does)" } else { "" };
    format!(
        r#"
  Signet {version} is listening, for development, on this machine only.

    API          {issuer}
    JWKS         {issuer}/.well-known/jwks.json
    operations   {management}/metrics  {management}/health/ready
    issuer       {issuer}
    audience     {audience}
    database     {url}
    keys         {keys}{made}
    mail         {mail}

  Try it:

    curl -s {issuer}/v1/auth/register -H 'Content-Type: application/json' -d '{{"email":"ada@example.com","password":"analytical engine","name":"Ada"}}'

    curl -s {issuer}/v1/auth/login -H 'Content-Type: application/json' -d '{{"email":"ada@example.com","password":"analytical engine"}}'

    curl -s {issuer}/.well-known/jwks.json

  Ctrl-C stops it. Users, sessions and keys are kept.

"#,
        version = env!("CARGO_PKG_VERSION"),
        audience = config.audience(),
    )
}
