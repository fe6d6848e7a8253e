//! `signet keys export`.

use super::{Desk, Failure};
use crate::token::jwks::Jwk;
use crate::token::key_file;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which; the one that signs now if none is named
    #[arg(allow_hyphen_values = true)]
    kid: Option<String>,
    /// As PEM or as a JWK
    #[arg(long, value_enum, default_value_t = Format::Pem)]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Pem,
    Jwk,
}

pub(super) fn run(desk: &Desk, arguments: &Arguments) -> Result<(), Failure> {
    let ring = desk.ring()?;
    let kid = match &arguments.kid {
        Some(kid) => kid,
        None => ring.signer(desk.now).ok_or("no key may sign now; name one")?.kid,
    };
    let (key, _) = ring.list(desk.now).find(|(key, _)| key.kid == kid).ok_or_else(|| desk.has_no_key(kid))?;
    match arguments.format {
        Format::Pem => print!("{}", key_file::public_pem(key)),
        Format::Jwk => println!("{}", serde_json::to_string(&Jwk::from(key))?),
    }
    Ok(())
}
