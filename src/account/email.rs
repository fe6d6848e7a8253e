//! E-mail addresses: parsed at the edge into what the user typed and a key that makes two spellings one.

use email_address::{EmailAddress, Options};
use unicode_normalization::UnicodeNormalization;

use crate::field::{FromField, Invalid};

/// The most bytes of an address (RFC 5321 §4.5.3.1.3, less the angle brackets).
const MAX_BYTES: usize = 254;

/// An e-mail address. It exists only in a form that can be looked up.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    /// As typed, trimmed.
    address: String,
    /// Lower case, the domain in its ASCII form (IDNA); unique among users.
    key: String,
}

impl Email {
    /// Trims and parses.
    ///
    /// The local part is ASCII: an address with a Cyrillic `а` or a full-width `＠` in it looks like somebody else's,
    /// and none of them can be told apart by eye. That is asked of what was sent, before anything is normalised: NFC makes
    /// a `K` of the Kelvin sign, and an address that only becomes somebody's must not reach them. Sub-addresses (`+tag`)
    /// stay distinct.
    ///
    /// # Errors
    /// `too_long` or `malformed`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let malformed = || Invalid::new("malformed", "this is not an e-mail address");
        let text = text.trim();
        if text.len() > MAX_BYTES {
            return Err(Invalid::new("too_long", "an e-mail address has at most 254 bytes"));
        }
        let (local, domain) = text.rsplit_once('@').ok_or_else(malformed)?;
        let address = format!("{local}@{}", domain.nfc());
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| malformed())?;
        let ascii = format!("{local}@{domain}");
        let plain = local.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'(' && b != b')');
        let options = Options::default().without_display_text().without_domain_literal().with_no_minimum_sub_domains();
        if !plain || ascii.len() > MAX_BYTES || EmailAddress::parse_with_options(&ascii, options).is_err() {
            return Err(malformed());
        }
        Ok(Self { key: ascii.to_lowercase(), address })
    }

    /// As the user wrote it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it is looked up by.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether it is in the domain that nobody ever has (RFC 2606 §2), as a program's may be that reads no mail.
    pub fn reaches_nobody(&self) -> bool {
        let domain = self.key.rsplit_once('@').map_or("", |(_, domain)| domain);
        domain == "invalid" || domain.ends_with(".invalid")
    }

    /// What stands before the `@`, in lower case.
    pub fn local_part(&self) -> &str {
        self.key.rsplit_once('@').map_or("", |(local, _)| local)
    }
}

/// Addresses do not belong into logs.
impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(e-mail address)")
    }
}

impl FromField for Email {
    fn from_text(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "email", "maxLength": MAX_BYTES})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<String> {
        Email::parse(text).ok().map(|email| email.key)
    }

    #[test]
    fn spellings_of_one_address_share_a_key() {
        for text in ["a@x", "A@X", "  a@x\t", "A@x"] {
            assert_eq!(key(text).as_deref(), Some("a@x"), "{text:?}");
        }
        assert_eq!(key("o'neil+tag@Bücher.example").as_deref(), Some("o'neil+tag@xn--bcher-kva.example"));
        assert_eq!(key("o'neil@bu\u{308}cher.example"), key("o'neil@xn--bcher-kva.example"));
        assert_eq!(Email::parse(" Alice@Example.COM ").expect("valid").address(), "Alice@Example.COM");
    }

    #[test]
    fn the_domain_of_nobody_is_told_from_those_that_only_look_like_it() {
        let reaches = |text: &str| !Email::parse(text).expect("valid").reaches_nobody();
        assert_eq!(["a@invalid", "a@x.invalid", "a@X.INVALID"].map(reaches), [false; 3]);
        assert_eq!(["a@notinvalid", "a@invalid.example", "invalid@x"].map(reaches), [true; 3]);
    }

    #[test]
    fn what_is_no_address_or_looks_like_anothers_is_refused() {
        let long = format!("{}@x", "a".repeat(300));
        for text in [
            "",
            "@",
            "a@",
            "@x",
            "a",
            "a b@x",
            "a@x y",
            "a@@x",
            "a\0@x",
            "a@x\r\nBcc: b@x",
            "\u{430}@x",
            "\u{212a}@x",
            "a\u{37e}b@x",
            "a\u{ff20}x",
            "\u{202e}a@x",
            "\"a b\"@x",
            "a@[127.0.0.1]",
            "a..b@x",
            ".a@x",
            "a@-x-",
            "A <a@x>",
            &long,
        ] {
            assert_eq!(key(text), None, "{text:?}");
        }
    }
}
