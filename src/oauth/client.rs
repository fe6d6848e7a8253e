//! Clients that name themselves at the token endpoint (RFC 6749 §2). All are public: none has a secret to prove.

use actix_web::HttpRequest;
use actix_web::http::header;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::form::Form;

/// A client by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) id: String,
}

impl Client {
    /// Reads `client_id` from the form or from HTTP Basic; `None` if the client does not name itself, as when Swagger's
    /// dialog is sent with its client fields left empty.
    ///
    /// # Errors
    /// [`Error::InvalidClient`] if a secret is presented, since none was ever given out, or the two disagree.
    pub(super) fn of(http: &HttpRequest, form: &mut Form) -> Result<Option<Self>> {
        let (basic_id, basic_secret) = basic(http)?.unwrap_or_default();
        let form_id = form.take("client_id").map(|id| id.to_string()).unwrap_or_default();
        let form_secret = form.take("client_secret").is_some();
        if !basic_secret.is_empty() || form_secret {
            return Err(Error::InvalidClient);
        }
        match (basic_id.is_empty(), form_id.is_empty()) {
            (true, true) => Ok(None),
            (false, true) => Ok(Some(Self { id: basic_id })),
            (true, false) => Ok(Some(Self { id: form_id })),
            (false, false) if basic_id == form_id => Ok(Some(Self { id: form_id })),
            (false, false) => Err(Error::InvalidClient),
        }
    }

    /// Whether a session may be opened for it.
    pub(super) fn is_registered(&self, config: &Config) -> bool {
        self.id == config.oauth.default_client || config.oauth.public_clients.contains(&self.id)
    }
}

/// Id and secret of an `Authorization: Basic` header, both form-encoded first (RFC 6749 §2.3.1).
fn basic(http: &HttpRequest) -> Result<Option<(String, String)>> {
    let mut values = http.headers().get_all(header::AUTHORIZATION);
    let Some(value) = values.next() else { return Ok(None) };
    let (None, Ok(value)) = (values.next(), value.to_str()) else { return Err(Error::InvalidClient) };
    let Some((scheme, credentials)) = value.split_once(' ') else { return Err(Error::InvalidClient) };
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Err(Error::InvalidClient);
    }
    let decoded = STANDARD.decode(credentials.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or(Error::InvalidClient)?;
    let (id, secret) = decoded.split_once(':').ok_or(Error::InvalidClient)?;
    let unescape = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8()
            .map(|text| text.into_owned())
            .map_err(|_| Error::InvalidClient)
    };
    Ok(Some((unescape(id)?, unescape(secret)?)))
}
