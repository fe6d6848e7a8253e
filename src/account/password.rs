//! Passwords in clear: parsed at the edge, normalised (NFC), never printed, wiped when dropped.
//!
//! Length is the only rule of composition (NIST SP 800-63B-4 §3.1.1.2); what everybody chooses is refused.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::email::Email;
use crate::field::{FromField, Invalid};

/// The most bytes of a password, before and after normalisation.
pub const MAX_BYTES: usize = 1024;

/// A password as somebody typed it.
#[derive(Clone)]
pub struct Password {
    normal: Zeroizing<String>,
    /// As it was typed, where that is not the same.
    typed: Option<Zeroizing<String>>,
}

impl Password {
    /// Normalises to NFC, so that the same characters from another keyboard are the same password.
    ///
    /// # Errors
    /// If it is empty, longer than [`MAX_BYTES`] or has control characters.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("missing", "a password is required"));
        }
        let normal: Zeroizing<String> =
            if text.len() <= MAX_BYTES { Zeroizing::new(text.nfc().collect()) } else { Zeroizing::default() };
        if normal.is_empty() || normal.len() > MAX_BYTES {
            return Err(Invalid::new("too_long", "a password has at most 1024 bytes"));
        }
        if normal.chars().any(char::is_control) {
            return Err(Invalid::new("control_character", "a password has no control characters"));
        }
        let typed = (normal.as_str() != text).then(|| Zeroizing::new(text.to_owned()));
        Ok(Self { normal, typed })
    }

    /// The password itself, for the hasher.
    pub(crate) fn expose(&self) -> &str {
        &self.normal
    }

    /// As it was typed, and as it is normalised if that is another: for hashes that were made elsewhere.
    pub(crate) fn spellings(&self) -> impl Iterator<Item = &str> {
        self.typed.iter().chain([&self.normal]).map(|text| text.as_str())
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(password)")
    }
}

impl FromField for Password {
    fn from_text(text: String) -> Result<Self, Invalid> {
        Self::parse(&Zeroizing::new(text))
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "password",
            "minLength": 1,
            "maxLength": MAX_BYTES,
            "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$",
        })
    }
}

/// A password that may be set: long enough and not among those that everybody tries first.
#[derive(Debug)]
pub struct NewPassword(Password);

impl NewPassword {
    /// Judges `password` for the account of `email` at the service `issuer`.
    ///
    /// # Errors
    /// `too_short` or `too_common`.
    pub fn accept(password: Password, min_length: usize, email: &Email, issuer: &str) -> Result<Self, Invalid> {
        let text = password.expose();
        if text.chars().count() < min_length {
            let detail = format!("a password has at least {min_length} characters");
            return Err(Invalid { code: "too_short", detail: Cow::Owned(detail) });
        }
        if is_common(text) || is_about(text, email, issuer) {
            return Err(Invalid::new("too_common", "this password is among the first that an attacker tries"));
        }
        Ok(Self(password))
    }

    /// The password, for the hasher.
    pub fn password(&self) -> &Password {
        &self.0
    }
}

/// The commonest passwords of at least eight characters, one a line, in lower case and sorted.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

fn is_common(text: &str) -> bool {
    let lower = Zeroizing::new(text.to_lowercase());
    COMMON.contains(lower.as_str()) || is_one_character(&lower)
}

fn is_one_character(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| characters.all(|other| other == first))
}

/// Whether nothing is left but digits and punctuation once the words anybody would guess are taken out: the user's own
/// name in the address, the name of the service.
fn is_about(text: &str, email: &Email, issuer: &str) -> bool {
    let lower = Zeroizing::new(text.to_lowercase());
    let host = url::Url::parse(issuer).ok().and_then(|url| url.domain().map(str::to_owned)).unwrap_or_default();
    let words = [email.key(), email.local_part(), "signet", "password"].into_iter().chain(host.split('.'));
    words
        .filter(|word| word.len() >= 3)
        .any(|word| lower.contains(word) && lower.replace(word, "").chars().all(|rest| !rest.is_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &str) -> Result<(), &'static str> {
        let email = Email::parse("Alice.Jones@example.com").expect("an address");
        let password = Password::parse(text).map_err(|invalid| invalid.code)?;
        NewPassword::accept(password, 8, &email, "https://login.acme.example").map(drop).map_err(|invalid| invalid.code)
    }

    #[test]
    fn length_is_counted_in_characters_up_to_a_kibibyte() {
        assert_eq!(accept("sieben7"), Err("too_short"));
        assert_eq!(accept("achtacht"), Ok(()));
        assert_eq!(accept("éééééééé"), Err("too_common"), "one character repeated");
        assert_eq!(accept("pässwörté"), Ok(()));
        assert_eq!(accept(&"ab".repeat(512)), Ok(()));
        assert_eq!(accept(&"ab".repeat(513)), Err("too_long"));
    }

    #[test]
    fn what_everybody_tries_first_is_refused() {
        for text in ["password1", "PASSWORD1", "iloveyou2", "12345678", "qwertyuiop", "aaaaaaaaaaaa"] {
            assert_eq!(accept(text), Err("too_common"), "{text}");
        }
        for text in ["alice.jones", "Alice.Jones1!", "alice.jones@example.com", "signet2026!", "acme12345", "login!!!!"]
        {
            assert_eq!(accept(text), Err("too_common"), "{text}");
        }
        assert_eq!(accept("alice.jones rides at dawn"), Ok(()));
        // The digits of an address are no word.
        let email = Email::parse("a@x").expect("an address");
        let digits = Password::parse("9127364518").expect("a password");
        assert!(NewPassword::accept(digits, 8, &email, "http://127.0.0.1:8080").is_ok());
    }

    #[test]
    fn both_spellings_of_an_accent_are_one_password() {
        let composed = Password::parse("caf\u{e9} au lait").expect("valid");
        let decomposed = Password::parse("cafe\u{301} au lait").expect("valid");
        assert_eq!(composed.expose(), decomposed.expose());
    }

    #[test]
    fn control_characters_are_refused_and_nothing_is_printed() {
        for text in ["nul\0inside", "new\nline88", "del\u{7f}ete88"] {
            assert_eq!(accept(text), Err("control_character"));
        }
        assert_eq!(format!("{:?}", Password::parse("hunter2hunter2").expect("valid")), "(password)");
    }

    #[test]
    fn the_list_is_as_large_as_the_bar_demands() {
        assert!(COMMON.len() >= 3_000);
        assert!(COMMON.iter().all(|word| word.chars().count() >= 8 && word.to_lowercase() == **word));
    }
}
