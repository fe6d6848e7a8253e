//! Hands messages on over HTTP.
//!
//! A name is resolved once for each attempt, and the connection goes to the addresses that were judged then: a name that says
//! something else a moment later changes nothing. Redirects are not followed, proxies of the environment not asked, and of
//! the answer nothing is read but its head.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::address::Policy;

/// How long an attempt may take as a whole.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// No answer's head needs more.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A message ready to be sent.
pub(super) struct Parcel {
    pub(super) url: String,
    pub(super) id: String,
    pub(super) timestamp_seconds: i64,
    /// Separated by spaces.
    pub(super) signatures: String,
    pub(super) body: String,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Status(u16),
    /// There was none, for this reason.
    Nothing(&'static str),
}

/// The way out.
pub(super) struct Client(Agent);

impl Client {
    pub(super) fn new(policy: Policy) -> Self {
        let found = rustls_native_certs::load_native_certs();
        let roots: Vec<Certificate<'static>> =
            found.certs.iter().map(|der| Certificate::from_der(der.as_ref()).to_owned()).collect();
        if roots.is_empty() {
            tracing::warn!("this machine trusts no certificate, so no webhook can be delivered over https");
        }
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .max_idle_connections(0)
            .max_response_header_size(MAX_HEAD_BYTES)
            .proxy(None)
            .user_agent(concat!("signet/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Self(Agent::with_parts(
            config,
            DefaultConnector::default(),
            Judging { policy, inner: DefaultResolver::default() },
        ))
    }

    /// Sends it, on a thread that may wait.
    pub(super) fn send(&self, parcel: &Parcel) -> Answer {
        let request = self
            .0
            .post(&parcel.url)
            .header("content-type", "application/json")
            .header("webhook-id", &parcel.id)
            .header("webhook-timestamp", parcel.timestamp_seconds.to_string())
            .header("webhook-signature", &parcel.signatures);
        match request.send(&parcel.body) {
            Ok(response) => Answer::Status(response.status().as_u16()),
            Err(error) => Answer::Nothing(reason(&error)),
        }
    }
}

/// In our own words: those of others may quote what they got.
fn reason(error: &Error) -> &'static str {
    match error {
        Error::Timeout(_) => "timeout",
        Error::HostNotFound => "no_address",
        Error::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => "private_address",
        Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => "refused",
        Error::Io(_) | Error::ConnectionFailed => "connection",
        Error::Tls(_) | Error::Rustls(_) => "tls",
        _ => "protocol",
    }
}

/// Gives out no address that may not be reached.
#[derive(Debug)]
struct Judging {
    policy: Policy,
    inner: DefaultResolver,
}

impl Resolver for Judging {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut admitted = self.empty();
        for address in found.iter().filter(|address: &&SocketAddr| self.policy.admits(address.ip())) {
            admitted.push(*address);
        }
        if admitted.is_empty() {
            return Err(Error::Io(std::io::ErrorKind::PermissionDenied.into()));
        }
        Ok(admitted)
    }
}
