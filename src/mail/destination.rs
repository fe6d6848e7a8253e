//! How mail leaves, from the one URL that says it; and in whose name.

use std::path::PathBuf;
use std::str::FromStr;

use lettre::message::Mailbox;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// See [`MailConfig::url`](crate::config::MailConfig::url).
#[derive(Debug, PartialEq, Eq)]
pub enum Destination {
    /// No mail is sent.
    Nowhere,
    /// Each mail becomes a file.
    Folder(PathBuf),
    /// A mail server.
    Smtp(Server),
}

/// A mail server.
#[derive(PartialEq, Eq)]
pub struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Tls,
    pub(super) credentials: Option<(String, Zeroizing<String>)>,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    /// With the connection (RFC 8314 §3.3).
    FromTheStart,
    /// With STARTTLS (RFC 3207), and nothing is said before.
    Demanded,
    /// Never.
    None,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} {:?}", self.host, self.port, self.tls)
    }
}

/// For people; without the password.
impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nowhere => f.write_str("is not sent"),
            Self::Folder(path) => {
                write!(f, "{} (each mail is a file there, and its link is printed here)", path.display())
            }
            Self::Smtp(server) => write!(f, "{server:?}"),
        }
    }
}

const FORM: &str =
    "reads smtps://USER:PASSWORD@HOST, smtp://USER:PASSWORD@HOST, smtp://HOST:25?tls=none or folder:PATH";

impl FromStr for Destination {
    /// Quotes nothing of the URL, which has a password in it.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::Nowhere);
        }
        if let Some(path) = text.strip_prefix("folder:") {
            return if path.is_empty() { Err(FORM) } else { Ok(Self::Folder(PathBuf::from(path))) };
        }
        let url = url::Url::parse(text).map_err(|_| FORM)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(FORM)?;
        let (tls, port) = match (url.scheme(), url.query()) {
            ("smtps", None) => (Tls::FromTheStart, 465),
            ("smtp", None) => (Tls::Demanded, 587),
            ("smtp", Some("tls=none")) => (Tls::None, 25),
            _ => return Err(FORM),
        };
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(FORM);
        }
        let decode =
            |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| FORM);
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) if !user.is_empty() => Some((decode(user)?, Zeroizing::new(decode(password)?))),
            _ => return Err(FORM),
        };
        if tls == Tls::None && credentials.is_some() {
            return Err("must not carry a password with tls=none: it would travel in clear");
        }
        // An IPv6 address is in brackets in a URL and nowhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self::Smtp(Server { host, port: url.port().unwrap_or(port), tls, credentials }))
    }
}

/// In whose name mails are sent: as configured, or `no-reply@` the issuer's host.
pub(crate) fn sender(configured: &str, issuer: &str) -> Result<Mailbox, ()> {
    if configured.chars().any(char::is_control) {
        return Err(());
    }
    if !configured.is_empty() {
        return configured.parse().map_err(|_| ());
    }
    let host = url::Url::parse(issuer).ok().and_then(|url| url.domain().map(str::to_owned));
    format!("no-reply@{}", host.as_deref().unwrap_or("localhost")).parse().map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Server {
        match text.parse() {
            Ok(Destination::Smtp(server)) => server,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_url_says_where_and_how() {
        assert_eq!("".parse(), Ok(Destination::Nowhere));
        assert_eq!("folder:data/mail".parse(), Ok(Destination::Folder(PathBuf::from("data/mail"))));
        let implicit = server("smtps://user%40x:p%3Ass@mail.example");
        assert_eq!((implicit.host.as_str(), implicit.port, implicit.tls), ("mail.example", 465, Tls::FromTheStart));
        assert_eq!(implicit.credentials, Some(("user@x".to_owned(), Zeroizing::new("p:ss".to_owned()))));
        assert!(!format!("{implicit:?}").contains("p:ss"));
        let starttls = server("smtp://mail.example:2525");
        assert_eq!((starttls.port, starttls.tls, starttls.credentials), (2525, Tls::Demanded, None));
        assert_eq!(server("smtp://[::1]:25?tls=none").host, "::1");
    }

    #[test]
    fn what_would_send_a_password_in_clear_or_is_no_such_url_is_refused() {
        for text in [
            "smtp://u:p@x?tls=none",
            "smtp://",
            "smtp://x/path",
            "smtp://x?tls=maybe",
            "smtps://x?tls=none",
            "smtp://u@x",
            "smtp://:p@x",
            "http://x",
            "folder:",
            "mail.example",
        ] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_sender_is_the_issuers_unless_configured() {
        let of = |configured, issuer| sender(configured, issuer).map(|mailbox| mailbox.to_string());
        assert_eq!(of("", "https://id.example/auth").as_deref(), Ok("no-reply@id.example"));
        assert_eq!(of("", "http://127.0.0.1:8080").as_deref(), Ok("no-reply@localhost"));
        assert_eq!(of("Acme <a@acme.example>", "").as_deref(), Ok("Acme <a@acme.example>"));
        assert!(of("Acme\r\nBcc: b@x <a@x>", "").is_err());
    }
}
