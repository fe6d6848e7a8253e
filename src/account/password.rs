//! Passwords in clear: parsed at the edge, normalised (NFC), never printed, wiped when dropped.
//!
//! Length is the only rule of composition (NIST SP 800-63B-4 §3.1.1.2); what everybody chooses is refused.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::breached::Breached;
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

/// Whose password it is to be: what an attacker who knows that much would try first.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The account's address.
    pub email: &'a Email,
    /// What its user is called.
    pub name: Option<&'a str>,
    /// The URL of the service.
    pub issuer: &'a str,
}

impl NewPassword {
    /// Judges `password`.
    ///
    /// # Errors
    /// `too_short`, `too_common` or `too_personal`.
    pub fn accept(password: Password, min_length: usize, subject: &Subject<'_>) -> Result<Self, Invalid> {
        let text = password.expose();
        let length = text.chars().count();
        if length < min_length {
            let detail = format!("a password has at least {min_length} characters, and this one has {length}");
            return Err(Invalid { code: "too_short", detail: Cow::Owned(detail) });
        }
        if is_common(text) {
            return Err(Invalid::new("too_common", "this password is among the first that an attacker tries"));
        }
        if is_about(text, subject) {
            let detail = "this password is little more than your name, your address or the name of the service";
            return Err(Invalid::new("too_personal", detail));
        }
        Ok(Self(password))
    }

    /// Refuses it if it was stolen elsewhere. Reads a file: not to be called where nothing may wait.
    ///
    /// # Errors
    /// `password_breached`; or the file's.
    pub fn beside(self, breached: Option<&Breached>) -> io::Result<Result<Self, Invalid>> {
        let is_breached = breached.map(|breached| breached.contains(&self.0)).transpose()?;
        let detail =
            "this password is in a list of passwords that were stolen elsewhere; choose another, here and there";
        Ok(match is_breached {
            Some(true) => Err(Invalid::new("password_breached", detail)),
            Some(false) | None => Ok(self),
        })
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
/// name and the one in the address, the name of the service.
fn is_about(text: &str, subject: &Subject<'_>) -> bool {
    let mut rest = Zeroizing::new(text.to_lowercase());
    let mut words = words_about(subject);
    // The longer ones first: one may be part of another.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let mut found = false;
    for word in &words {
        if rest.contains(word.as_str()) {
            found = true;
            rest = Zeroizing::new(rest.replace(word.as_str(), ""));
        }
    }
    found && rest.chars().all(|left| !left.is_alphabetic())
}

/// Those that are long enough to be a word.
fn words_about(subject: &Subject<'_>) -> Vec<String> {
    let Subject { email, name, issuer } = subject;
    let name = name.unwrap_or_default().to_lowercase();
    let host = url::Url::parse(issuer).ok().and_then(|url| url.domain().map(str::to_owned)).unwrap_or_default();
    let parts_of_name = name.split_whitespace();
    let parts_of_address = email.local_part().split(|c: char| !c.is_alphanumeric());
    let parts_of_host = host.split('.');
    let whole = [email.key(), email.local_part(), name.as_str(), "signet", "password"];
    let words = whole.into_iter().chain(parts_of_name).chain(parts_of_address).chain(parts_of_host);
    words.filter(|word| word.chars().count() >= 3 && word.chars().any(char::is_alphabetic)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &str) -> Result<(), &'static str> {
        let email = Email::parse("Alice.Jones@example.com").expect("an address");
        let password = Password::parse(text).map_err(|invalid| invalid.code)?;
        let subject = Subject { email: &email, name: Some("Alicia Bo Smith"), issuer: "https://login.acme.example" };
        NewPassword::accept(password, 8, &subject).map(drop).map_err(|invalid| invalid.code)
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
        for text in [
            "alice.jones",
            "Alice.Jones1!",
            "jones-alice-99",
            "alice.jones@example.com",
            "Alicia Bo Smith",
            "SmithAlicia!",
            "alicia4acme",
            "signet2026!",
            "acme12345",
            "login!!!!",
        ] {
            assert_eq!(accept(text), Err("too_personal"), "{text}");
        }
        for text in ["alice.jones rides at dawn", "smithereens!", "bo bo bo bo"] {
            assert_eq!(accept(text), Ok(()), "{text}");
        }
        // The digits of an address are no word.
        let email = Email::parse("912@x").expect("an address");
        let digits = Password::parse("9127364518").expect("a password");
        let subject = Subject { email: &email, name: None, issuer: "http://127.0.0.1:8080" };
        assert!(NewPassword::accept(digits, 8, &subject).is_ok());
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
