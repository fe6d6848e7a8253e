//! Where a request comes from: what the audit trail remembers of it.

use std::future::{Ready, ready};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use crate::app::App;
use crate::config::{ForwardedHeader, PublicConfig};
use crate::error::{Error, Result};
use crate::throttle::source::is_private;

/// Address, program and id of a request.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The client's address: the socket's, unless that is a trusted proxy's.
    pub address: Option<IpAddr>,
    /// The `User-Agent`, at most [`MAX_USER_AGENT_CHARS`].
    pub user_agent: Option<String>,
    /// See [`RequestId`].
    pub request_id: Option<String>,
}

/// The most that is kept of a `User-Agent`.
pub const MAX_USER_AGENT_CHARS: usize = 256;

impl Origin {
    /// An operator at the command line.
    pub fn command_line() -> Self {
        Self { user_agent: Some(concat!("signet/", env!("CARGO_PKG_VERSION")).to_owned()), ..Self::default() }
    }
}

impl FromRequest for Origin {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = http.app_data::<Data<App>>().expect("every listener carries the application");
        let user_agent = http.headers().get(header::USER_AGENT).map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT_CHARS).collect()
        });
        tell_of_unknown_proxy(http, app);
        ready(Ok(Self {
            address: client_address(http, &app.config.public),
            user_agent,
            request_id: Some(RequestId::of(http).0.to_string()),
        }))
    }
}

/// Behind a proxy that nobody told us about, all clients have one address and limits by address do nothing. Told once: by
/// the look of it only, since strangers can write these headers too. They are believed in no case.
fn tell_of_unknown_proxy(http: &HttpRequest, app: &App) {
    let is_forwarded = ["x-forwarded-for", "forwarded"].iter().any(|name| http.headers().contains_key(*name));
    let Some(peer) = http.peer_addr().filter(|_| is_forwarded).map(|peer| peer.ip().to_canonical()) else { return };
    let is_known = app.config.public.trusted_proxies.iter().any(|network| network.contains(&peer));
    if is_private(peer) && !is_known && !app.unknown_proxy_told.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "requests come through a proxy that is not in public.trusted_proxies: its clients cannot be told apart"
        );
    }
}

/// The request's id: the caller's own `X-Request-Id` if it is short and plain, else a fresh one. It is in the answer, in
/// every log line and in every audit row.
#[derive(Debug, Clone)]
pub struct RequestId(pub Rc<str>);

/// The header that carries it.
pub const REQUEST_ID: header::HeaderName = header::HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_BYTES: usize = 64;

impl RequestId {
    /// The id of a request, given to it when it came in.
    pub fn of(http: &impl HttpMessage) -> Self {
        http.extensions().get::<Self>().cloned().unwrap_or_else(|| Self("".into()))
    }

    /// Gives a request its id: the caller's, or else `fresh`.
    pub(super) fn assign(http: &impl HttpMessage, fresh: uuid::Uuid) -> Self {
        let sent = http.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let plain = sent.filter(|text| {
            (1..=MAX_REQUEST_ID_BYTES).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        });
        let id = Self(plain.map_or_else(|| fresh.to_string().into(), Rc::from));
        http.extensions_mut().insert(id.clone());
        id
    }
}

/// The socket's peer; behind trusted proxies the rightmost address that is not one of them (RFC 7239 §5.2). Whatever a
/// stranger writes into these headers stands further left and is never reached.
pub fn client_address(http: &HttpRequest, config: &PublicConfig) -> Option<IpAddr> {
    let peer = http.peer_addr().map(|address| address.ip().to_canonical())?;
    let is_trusted = |address: &IpAddr| config.trusted_proxies.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let values = |name: &str| {
        let lines: Vec<&str> = http.headers().get_all(name).filter_map(|value| value.to_str().ok()).collect();
        lines.join(",")
    };
    // Only the header that the proxies write: the other one they pass on as the client made it up.
    let hops: Vec<Option<IpAddr>> = match config.forwarded_header {
        ForwardedHeader::XForwardedFor => values("x-forwarded-for").split(',').map(parse_hop).collect(),
        ForwardedHeader::Forwarded => {
            values("forwarded").split(',').map(|element| forwarded_for(element).and_then(parse_hop)).collect()
        }
    };
    // A hop that is no address ends the walk: beyond it nothing can be believed.
    let mut client = peer;
    for hop in hops.into_iter().rev() {
        match hop {
            None => break,
            Some(address) => client = address,
        }
        if !is_trusted(&client) {
            break;
        }
    }
    Some(client)
}

fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    bare.or_else(with_port).or_else(in_brackets).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn address(peer: &str, headers: &[(&'static str, &str)]) -> String {
        address_by(ForwardedHeader::XForwardedFor, peer, headers)
    }

    fn address_by(forwarded_header: ForwardedHeader, peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted_proxies = ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().expect("a network")).into();
        let config = PublicConfig { trusted_proxies, forwarded_header, ..PublicConfig::default() };
        let mut request = TestRequest::default().peer_addr(format!("{peer}:1234").parse().expect("a peer"));
        for header in headers {
            request = request.append_header(*header);
        }
        client_address(&request.to_http_request(), &config).expect("an address").to_string()
    }

    #[test]
    fn a_strangers_headers_are_ignored() {
        assert_eq!(
            address("192.0.2.9", &[("x-forwarded-for", "203.0.113.1"), ("forwarded", "for=203.0.113.1")]),
            "192.0.2.9"
        );
    }

    #[test]
    fn behind_a_trusted_proxy_the_rightmost_untrusted_hop_counts() {
        let xff = |value| address("10.0.0.1", &[("x-forwarded-for", value)]);
        assert_eq!(xff("203.0.113.1"), "203.0.113.1");
        assert_eq!(xff("198.51.100.7, 203.0.113.1, 10.1.1.1"), "203.0.113.1");
        assert_eq!(xff("203.0.113.1, nonsense, 10.1.1.1"), "10.1.1.1");
        assert_eq!(xff(""), "10.0.0.1");
        assert_eq!(
            address("10.0.0.1", &[("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "203.0.113.1:99")]),
            "203.0.113.1"
        );
        assert_eq!(
            xff("203.0.113.1"),
            address("10.0.0.1", &[("forwarded", "for=198.51.100.7"), ("x-forwarded-for", "203.0.113.1")])
        );
        let headers = |value| [("forwarded", value), ("x-forwarded-for", "198.51.100.7")];
        let forwarded = |value| address_by(ForwardedHeader::Forwarded, "10.0.0.1", &headers(value));
        assert_eq!(forwarded("for=203.0.113.1;proto=https, For=\"[2001:db8::1]:80\""), "203.0.113.1");
        assert_eq!(forwarded("for=unknown"), "10.0.0.1");
    }

    #[test]
    fn a_request_id_is_taken_over_only_if_it_is_short_and_plain() {
        let assign = |sent: &str| {
            let request = TestRequest::default().insert_header((REQUEST_ID, sent)).to_http_request();
            let id = RequestId::assign(&request, crate::random::uuid_v7(crate::clock::Timestamp::from_micros(0)));
            assert_eq!(RequestId::of(&request).0, id.0);
            id.0.to_string()
        };
        assert_eq!(assign("trace-1.a_B"), "trace-1.a_B");
        for bad in ["", "a b", "a\tb", "a;b", "<b>", &"x".repeat(65)] {
            assert_ne!(assign(bad), bad);
        }
    }
}
