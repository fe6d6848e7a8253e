//! `[mail]`, and who may open an account.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;

use super::findings::is_loopback;
use super::{Period, Secret};
use crate::mail::{Destination, sender};

/// See [`Config::registration`](super::Config::registration).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Anybody, at once.
    #[default]
    Open,
    /// Anybody who shows that mail to the address reaches them.
    Verified,
    /// Who was invited.
    Invite,
    /// Nobody; an operator makes accounts.
    Closed,
}

/// Mail: verification, password reset, change of address, notices.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    /// How mail leaves: `smtps://USER:PASSWORD@HOST` (TLS from the start, port 465), `smtp://USER:PASSWORD@HOST` (STARTTLS,
    /// demanded; port 587), `smtp://HOST:25?tls=none` (in clear: on this machine, or to a relay on a network of its own), or
    /// `folder:PATH` (each mail a file). `%40` is an `@` in a password. Empty: no mail is sent, and `signet users reset-link`
    /// and `verify-link` make links by hand. `dev` uses `mail` in its data folder.
    #[schemars(extend("default" = ""))]
    pub url: Secret,
    /// The sender, as `Acme <no-reply@acme.example>`; mails call the service by this name. Empty: `no-reply@` the issuer's
    /// host.
    pub from: String,
    /// A file of certificates (PEM) that the mail server's may be signed with, besides those that this machine trusts.
    /// Empty: none.
    pub ca_file: PathBuf,
    /// A folder of templates that replace the built-in ones, file by file: docs/mail.md lists them. Empty: none.
    pub templates: PathBuf,
    /// How long a token in a mail works, from when it is sent: 15m to 60m.
    pub token_ttl: Period,
    /// The page that posts to `/v1/auth/verify-email`, as `https://app.example/verify-email#token={token}`. What follows `#`
    /// stays out of the logs of servers. Empty: the mail shows the token itself.
    pub verify_email_link: String,
    /// The page that posts to `/v1/auth/reset-password`, likewise.
    pub reset_password_link: String,
    /// The page that posts to `/v1/auth/change-email/confirm`, likewise.
    pub change_email_link: String,
    /// The page that posts to `/v1/auth/restore`, likewise.
    pub restore_account_link: String,
    /// The page that posts to `/v1/auth/register` with an invitation, likewise.
    pub invitation_link: String,
    /// Whether each mail's link is printed, too: `dev` does, for whoever sits before it.
    #[serde(skip)]
    pub announce: bool,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            from: String::new(),
            ca_file: PathBuf::new(),
            templates: PathBuf::new(),
            token_ttl: Period(Duration::from_secs(30 * 60)),
            verify_email_link: String::new(),
            reset_password_link: String::new(),
            change_email_link: String::new(),
            restore_account_link: String::new(),
            invitation_link: String::new(),
            announce: false,
        }
    }
}

/// What stands for the token in a link.
pub(crate) const TOKEN_PLACE: &str = "{token}";

const MINUTE: Duration = Duration::from_secs(60);

impl MailConfig {
    /// Whether any mail is sent.
    pub fn is_sent(&self) -> bool {
        !self.url.0.is_empty()
    }

    /// Everything wrong with these values, one line each.
    pub(super) fn findings(&self, issuer: &str) -> Vec<String> {
        let mut findings = Vec::new();
        if let Err(reason) = self.url.0.parse::<Destination>() {
            findings.push(format!("mail.url: {reason}"));
        }
        if sender(&self.from, issuer).is_err() {
            findings.push("mail.from: does not read like Acme <no-reply@acme.example>".to_owned());
        }
        if !(15 * MINUTE..=60 * MINUTE).contains(&self.token_ttl.0) {
            findings.push("mail.token_ttl: must be from 15m to 60m".to_owned());
        }
        findings.extend(self.links().into_iter().filter_map(|(key, link)| link_finding(key, link)));
        findings
    }

    fn links(&self) -> [(&'static str, &str); 5] {
        [
            ("verify_email_link", &self.verify_email_link),
            ("reset_password_link", &self.reset_password_link),
            ("change_email_link", &self.change_email_link),
            ("restore_account_link", &self.restore_account_link),
            ("invitation_link", &self.invitation_link),
        ]
    }
}

fn link_finding(key: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return None;
    }
    if link.matches(TOKEN_PLACE).count() != 1 {
        return Some(format!("mail.{key}: must have `{TOKEN_PLACE}` in it, once"));
    }
    let url = url::Url::parse(&link.replace(TOKEN_PLACE, "token")).ok();
    // Somebody's own program may have a scheme of its own, as `acme-app://verify?token={token}`.
    match url {
        None => Some(format!("mail.{key}: is not a URL")),
        Some(url) if url.scheme() == "http" && !is_loopback(&url) => {
            Some(format!("mail.{key}: must be https, except on loopback: the token would travel in clear"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_value_is_a_finding() {
        let findings = |file: &str| toml::from_str::<MailConfig>(file).expect("parses").findings("https://id.example");
        for good in [
            "",
            "url = 'smtp://user:p%40ss@mail.example'\nfrom = 'Acme <no-reply@acme.example>'",
            "url = 'folder:mails'\nverify_email_link = 'http://localhost:3000/verify#token={token}'",
            "verify_email_link = 'acme-app://verify?token={token}'\ntoken_ttl = '15m'",
        ] {
            assert_eq!(findings(good), Vec::<String>::new(), "{good}");
        }
        for (file, finding) in [
            ("url = 'http://x'", "mail.url: "),
            ("url = 'smtp://'", "mail.url: "),
            ("url = 'folder:'", "mail.url: "),
            ("from = 'nobody'", "mail.from: "),
            ("from = \"a@x\\r\\nBcc: b@x\"", "mail.from: "),
            ("token_ttl = '14m'", "mail.token_ttl: "),
            ("token_ttl = '61m'", "mail.token_ttl: "),
            ("verify_email_link = 'https://app.example/verify'", "mail.verify_email_link: must have `{token}`"),
            ("reset_password_link = 'http://app.example/{token}'", "mail.reset_password_link: must be https"),
            ("change_email_link = '/change?token={token}'", "mail.change_email_link: is not a URL"),
        ] {
            let found = findings(file);
            assert!(found.len() == 1 && found[0].starts_with(finding), "{file}: {found:?}");
        }
    }

    #[test]
    fn a_bad_url_is_not_quoted() {
        let config: MailConfig = toml::from_str("url = 'smtp://u:hunter2@'").expect("parses");
        let found = config.findings("https://id.example").join("\n");
        assert!(!found.is_empty() && !found.contains("hunter2"), "{found}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
