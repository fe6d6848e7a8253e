//! Mails to a mail server: SMTP (RFC 5321) over TLS, with certificates judged by rustls.

use std::path::Path;
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{Error, PoolConfig};
use lettre::{SmtpTransport, Transport};

use super::destination::{self, Server};
use super::{Failure, Mailer, Parcel};

/// How long the server may take for one command; an attempt as a whole has [`super::courier::PATIENCE`].
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is kept for the next mail, though not for long: most servers end silent ones after minutes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A mail server.
pub(super) struct Smtp(SmtpTransport);

impl Smtp {
    /// Reads the certificates; reaches nobody yet.
    pub(super) fn new(server: &Server, ca_file: &Path) -> Result<Self, String> {
        let tls = match server.tls {
            destination::Tls::None => Tls::None,
            destination::Tls::Demanded => Tls::Required(parameters(&server.host, ca_file)?),
            destination::Tls::FromTheStart => Tls::Wrapper(parameters(&server.host, ca_file)?),
        };
        let connections = u32::try_from(super::courier::COURIERS).expect("a handful");
        let mut builder = SmtpTransport::builder_dangerous(&server.host)
            .port(server.port)
            .tls(tls)
            .timeout(Some(COMMAND_TIMEOUT))
            .pool_config(PoolConfig::new().max_size(connections).idle_timeout(IDLE_TIMEOUT));
        if let Some((user, password)) = &server.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.to_string()));
        }
        Ok(Self(builder.build()))
    }
}

fn parameters(host: &str, ca_file: &Path) -> Result<TlsParameters, String> {
    let mut parameters = TlsParameters::builder(host.to_owned());
    if !ca_file.as_os_str().is_empty() {
        let refused = |reason: String| format!("mail.ca_file: {}: {reason}", ca_file.display());
        let pem = std::fs::read(ca_file).map_err(|error| refused(error.to_string()))?;
        if !pem.windows(10).any(|window| window == b"-----BEGIN") {
            return Err(refused("there is no certificate (PEM) in it".to_owned()));
        }
        let certificate = Certificate::from_pem(&pem).map_err(|error| refused(error.to_string()))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build().map_err(|error| format!("mail.url: TLS cannot be set up: {error}"))
}

impl Mailer for Smtp {
    fn send(&self, parcel: &Parcel) -> Result<(), Failure> {
        self.0.send(&parcel.mail).map(drop).map_err(|error| judge(&error))
    }
}

/// The codes by which a server refuses this mail or this recipient (RFC 5321 §4.2.3). Any other refusal is about us, as a
/// password that it does not like, and may be mended while the mail waits.
const ABOUT_THE_MAIL: [u16; 6] = [550, 551, 552, 553, 554, 556];

fn judge(error: &Error) -> Failure {
    let code = error.status().map(u16::from);
    match code {
        Some(code) if error.is_permanent() && ABOUT_THE_MAIL.contains(&code) => Failure::ForGood(code),
        Some(_) if error.is_permanent() => Failure::ForNow("refused"),
        Some(_) => Failure::ForNow("refused for now"),
        None if error.is_tls() => Failure::ForNow("tls"),
        None if error.is_timeout() => Failure::ForNow("timeout"),
        None if error.is_client() => Failure::ForNow("unsupported by the server"),
        None => Failure::ForNow("unreachable"),
    }
}
