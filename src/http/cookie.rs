//! Browser mode: the refresh token and the device token in cookies that scripts cannot read, and what keeps other sites
//! from using the former.
//!
//! `__Host-` binds the cookie to this very host over TLS (draft-ietf-httpbis-rfc6265bis §4.1.3.2). Over plain http, as
//! `dev` on loopback has it, the cookie loses the prefix and `Secure`, which http cannot carry, and nothing else.

use std::borrow::Cow;

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::session::Grant;
use crate::session::token::RefreshToken;
use crate::throttle::device::DeviceToken;

/// The cookie of a service that is reached over TLS.
pub const NAME_OVER_TLS: &str = "__Host-signet_refresh";
/// The cookie of one that is not.
pub const NAME_OVER_HTTP: &str = "signet_refresh";
/// The cookie with a device token, over TLS.
const DEVICE_NAME_OVER_TLS: &str = "__Host-signet_device";
/// The same without.
const DEVICE_NAME_OVER_HTTP: &str = "signet_device";
/// Any value will do: a page of another site cannot set this header without our leave (a CORS preflight).
pub const CSRF_HEADER: &str = "x-requested-with";

/// No refresh token at all.
pub const MISSING: Error = Error::InvalidRequest(Cow::Borrowed("there is no refresh token in the body or in a cookie"));
/// A cookie, at the word of a page that may not use it.
pub const FOREIGN_PAGE: Error =
    Error::Forbidden("a cookie needs a matching Origin, or an X-Requested-With header from the same origin");

fn name(config: &Config) -> &'static str {
    if config.is_https() { NAME_OVER_TLS } else { NAME_OVER_HTTP }
}

fn device_name(config: &Config) -> &'static str {
    if config.is_https() { DEVICE_NAME_OVER_TLS } else { DEVICE_NAME_OVER_HTTP }
}

fn cookie(config: &Config, name: &'static str, value: String, max_age: Duration) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .http_only(true)
        .secure(config.is_https())
        .same_site(SameSite::Strict)
        .max_age(max_age)
        .finish()
}

/// The cookie with a grant's refresh token; it lives as long as the token.
pub fn carrying(config: &Config, grant: &Grant) -> Cookie<'static> {
    let seconds = grant.refresh_expires_at.since(grant.granted_at).as_secs();
    let max_age = Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
    cookie(config, name(config), grant.refresh_token.to_text().to_string(), max_age)
}

/// The cookie by which an account knows a browser again. It opens nothing and outlives log-out.
pub fn carrying_device(config: &Config, device: &DeviceToken) -> Cookie<'static> {
    let seconds = i64::try_from(config.throttle.known_for.0.as_secs()).unwrap_or(i64::MAX);
    cookie(config, device_name(config), device.to_text().to_string(), Duration::seconds(seconds))
}

/// The device token in the cookie. No page of another site can send it (`SameSite=Strict`), nor gain by it.
pub fn device(config: &Config, http: &HttpRequest) -> Option<DeviceToken> {
    DeviceToken::parse(http.cookie(device_name(config))?.value())
}

/// The cookie that makes a browser forget it.
pub fn gone(config: &Config) -> Cookie<'static> {
    cookie(config, name(config), String::new(), Duration::ZERO)
}

/// The refresh token in the cookie, if the request was made by a page that may.
///
/// The outer error is about the request, the inner result about the token: a browser should forget a token that does not
/// work, but not at the word of another site.
///
/// # Errors
/// Outer: [`Error::InvalidRequest`] without a cookie, [`Error::Forbidden`] from another site. Inner: [`Error::InvalidGrant`].
pub fn presented(config: &Config, http: &HttpRequest) -> Result<Result<RefreshToken>> {
    let cookie = http.cookie(name(config)).ok_or(MISSING)?;
    if !is_same_site(config, http) {
        return Err(FOREIGN_PAGE);
    }
    Ok(RefreshToken::parse(cookie.value()).map_err(|_| Error::InvalidGrant))
}

/// Whether a page of our own made the request: its `Origin` is the issuer's or a listed one; or it could set a header
/// that other sites cannot, and the browser, if it says where from, says the same origin (Fetch metadata).
fn is_same_site(config: &Config, http: &HttpRequest) -> bool {
    let value = |name: &str| http.headers().get(name).map(|value| value.to_str().unwrap_or("(unreadable)"));
    let origin = value(header::ORIGIN.as_str());
    let site = value("sec-fetch-site");
    let own = url::Url::parse(&config.issuer).ok().map(|url| url.origin().ascii_serialization());
    let is_listed = |origin: &str| {
        Some(origin) == own.as_deref() || config.public.allowed_origins.iter().any(|listed| listed == origin)
    };
    match (origin, site) {
        (Some(origin), _) if is_listed(origin) => true,
        (_, Some("same-origin" | "none")) | (None, None) => http.headers().contains_key(CSRF_HEADER),
        (Some(_) | None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn allowed(headers: &[(&'static str, &'static str)]) -> bool {
        let mut config = Config { issuer: "https://id.example/auth".to_owned(), ..Config::default() };
        config.public.allowed_origins = vec!["https://app.example".to_owned()];
        let mut request = TestRequest::post();
        for header in headers {
            request = request.insert_header(*header);
        }
        is_same_site(&config, &request.to_http_request())
    }

    #[test]
    fn a_matching_origin_or_a_header_of_the_same_origin_is_demanded() {
        assert!(allowed(&[("origin", "https://id.example")]));
        assert!(allowed(&[("origin", "https://app.example"), ("sec-fetch-site", "same-site")]));
        assert!(allowed(&[("x-requested-with", "fetch")]));
        assert!(allowed(&[
            ("x-requested-with", "fetch"),
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://localhost:3000")
        ]));
        for refused in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[("origin", "null")],
            &[("origin", "https://evil.example")],
            &[("origin", "https://evil.example"), ("x-requested-with", "fetch")],
            &[("origin", "https://id.example.evil.example")],
            &[("sec-fetch-site", "cross-site"), ("x-requested-with", "fetch")],
            &[("sec-fetch-site", "same-site"), ("x-requested-with", "fetch")],
        ] {
            assert!(!allowed(refused), "{refused:?}");
        }
    }

    #[test]
    fn over_http_only_the_prefix_and_secure_are_dropped() {
        let over = |issuer: &str| gone(&Config { issuer: issuer.to_owned(), ..Config::default() }).to_string();
        assert_eq!(
            over("https://id.example"),
            "__Host-signet_refresh=; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=0"
        );
        assert_eq!(over("http://127.0.0.1:8080"), "signet_refresh=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    }
}
