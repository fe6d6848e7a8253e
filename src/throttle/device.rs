//! The device token: `sgd_` + base64url( 32 random bytes ), which a client shows at its next log-in to be told from a
//! stranger (OWASP: device cookies). It opens nothing; only its digest is stored, per account.

use actix_web::HttpRequest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::bucket::SourceDigest;
use crate::app::App;
use crate::field::{FromField, Invalid};
use crate::http::cookie;
use crate::random;

/// What every device token begins with, for the eyes of secret scanners.
pub const PREFIX: &str = "sgd_";
const BYTES: usize = 32;

/// A device token in clear. It is wiped when dropped and never prints itself.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct DeviceToken([u8; BYTES]);

impl DeviceToken {
    /// A new one.
    pub fn generate() -> Self {
        Self(random::bytes())
    }

    /// Reads a token; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; BYTES + 1]);
        let length = URL_SAFE_NO_PAD.decode_slice(text.strip_prefix(PREFIX)?, bytes.as_mut_slice()).ok()?;
        let token: [u8; BYTES] = bytes.get(..length)?.try_into().ok()?;
        Some(Self(token))
    }

    /// The text that the client keeps.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0)))
    }

    /// What is stored.
    pub fn digest(&self) -> SourceDigest {
        SourceDigest::of("device", &self.0)
    }
}

impl std::fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(device token)")
    }
}

/// What a client says of its device as it logs in.
#[derive(Debug, Clone, Default)]
pub struct Device {
    /// The token that it was given before.
    pub shown: Option<DeviceToken>,
    /// Whether it wants one.
    pub is_wanted: bool,
}

impl Device {
    /// From the fields of a request, or else from the cookie. In browser mode it is always wanted.
    pub fn of(
        app: &App,
        http: &HttpRequest,
        token: Option<DeviceTokenField>,
        is_wanted: bool,
        browser_mode: bool,
    ) -> Self {
        let shown = match token {
            Some(DeviceTokenField(shown)) => shown,
            None => cookie::device(&app.config, http),
        };
        Self { shown, is_wanted: is_wanted || browser_mode }
    }
}

/// A device token as a field: whatever is none is as good as absent, since a log-in works without.
#[derive(Clone)]
pub struct DeviceTokenField(pub Option<DeviceToken>);

impl FromField for DeviceTokenField {
    fn from_text(text: String) -> Result<Self, Invalid> {
        Ok(Self(DeviceToken::parse(&Zeroizing::new(text))))
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_round_trip_and_prints_nothing() {
        let token = DeviceToken::generate();
        assert_eq!(DeviceToken::parse(&token.to_text()), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "(device token)");
        assert_ne!(token.digest(), DeviceToken::generate().digest());
    }

    #[test]
    fn what_is_no_token_is_none() {
        let text = DeviceToken::generate().to_text();
        for wrong in ["", PREFIX, &text[1..], &text[..text.len() - 1], &format!("{}A", *text), &format!("{}AA", *text)]
        {
            assert!(DeviceToken::parse(wrong).is_none(), "{wrong}");
        }
    }
}
