//! The words of mails: a text and a page for each [`Template`], built in, and replaced file by file from a folder.
//!
//! The first line of a text is the subject. What goes into a page is escaped by itself; a variable that does not exist is an
//! error, found at start: every template is used once then, with made-up values.

use std::path::Path;
use std::time::Duration;

use minijinja::{Environment, UndefinedBehavior, context};
use zeroize::Zeroizing;

use super::Template;
use super::message::{Links, Message};
use crate::clock::Timestamp;
use crate::config::MailConfig;

/// A mail in words.
#[derive(Debug)]
pub(super) struct Wording {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// All words there are.
pub(super) struct Templates {
    environment: Environment<'static>,
}

macro_rules! built_in {
    ($($name:literal),*) => {
        [$(
            (concat!($name, ".txt"), include_str!(concat!("templates/", $name, ".txt"))),
            (concat!($name, ".html"), include_str!(concat!("templates/", $name, ".html"))),
        )*]
    };
}

const BUILT_IN: [(&str, &str); 36] = built_in![
    "verify_email",
    "already_registered",
    "reset_password",
    "choose_password",
    "confirm_old_address",
    "confirm_new_address",
    "invitation",
    "password_changed",
    "email_changed",
    "account_deleted",
    "new_sign_in",
    "session_ended",
    "factor_added",
    "factor_removed",
    "recovery_code_used",
    "api_key_created",
    "api_key_handed_out",
    "api_key_revoked"
];

impl Templates {
    /// The built-in ones, and those in `folder` in place of theirs; an empty path is no folder.
    ///
    /// # Errors
    /// A file that is no template or is not called like one, in one line.
    pub(super) fn open(folder: &Path) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, text) in BUILT_IN {
            environment.add_template(name, text).map_err(|error| one_line(&error))?;
        }
        if !folder.as_os_str().is_empty() {
            replace(&mut environment, folder)?;
        }
        let templates = Self { environment };
        for template in Template::all() {
            templates.try_out(template)?;
        }
        Ok(templates)
    }

    /// Words a message.
    pub(super) fn word(&self, message: &Message, service: &str, links: &Links) -> Result<Wording, minijinja::Error> {
        let link = links.in_message(message);
        let values = context! {
            service => service,
            name => message.name.as_deref().map(on_one_line),
            token => message.token.as_deref(),
            link => link.as_deref(),
            valid_for => in_words(message.valid_for),
            new_email => message.new_email.as_deref(),
            address => message.address.as_deref(),
            happened_at => to_the_minute(message.happened_at),
        };
        let template = message.template.as_str();
        let text = self.environment.get_template(&format!("{template}.txt"))?.render(values.clone())?;
        let html = self.environment.get_template(&format!("{template}.html"))?.render(values)?;
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let subject = on_one_line(first.strip_prefix("Subject:").unwrap_or(first));
        Ok(Wording { subject, text: rest.trim_start().to_owned(), html })
    }

    /// With values and without: whatever a template does with either, it does now.
    fn try_out(&self, template: Template) -> Result<(), String> {
        let message = |name: Option<&str>| Message {
            template,
            to: "ada@example.com".to_owned(),
            name: name.map(str::to_owned),
            token: Some(Zeroizing::new("sgv_0".to_owned())),
            valid_for: Duration::from_secs(1800),
            new_email: Some("countess@example.com".to_owned()),
            address: name.map(|_| "203.0.113.7".to_owned()),
            happened_at: Timestamp::from_micros(0),
        };
        let linked = MailConfig {
            verify_email_link: "https://app.example/#{token}".to_owned(),
            reset_password_link: "https://app.example/#{token}".to_owned(),
            change_email_link: "https://app.example/#{token}".to_owned(),
            restore_account_link: "https://app.example/#{token}".to_owned(),
            invitation_link: "https://app.example/#{token}".to_owned(),
            ..MailConfig::default()
        };
        let name = template.as_str();
        for (message, config) in [(message(Some("Ada")), linked), (message(None), MailConfig::default())] {
            let wording = self.word(&message, "Acme", &Links::of(&config)).map_err(|error| one_line(&error))?;
            if wording.subject.is_empty() || wording.text.trim().is_empty() {
                return Err(format!("mail.templates: {name}.txt: needs a line `Subject: …`, and a text below it"));
            }
            let carries = |text: &str| template.link().is_none() || text.contains("sgv_0");
            if !carries(&wording.text) || !carries(&wording.html) {
                return Err(format!("mail.templates: {name}: both files must show {{{{ link }}}} or {{{{ token }}}}"));
            }
        }
        Ok(())
    }
}

fn replace(environment: &mut Environment<'static>, folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("mail.templates: {}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // As editors and mounted volumes leave behind.
        if name.starts_with('.') {
            continue;
        }
        let Some((known, _)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
            return Err(format!("mail.templates: there is no template `{name}`; docs/mail.md lists them"));
        };
        let text = std::fs::read_to_string(entry.path()).map_err(failed)?;
        environment.add_template_owned(*known, text).map_err(|error| one_line(&error))?;
    }
    Ok(())
}

fn one_line(error: &minijinja::Error) -> String {
    let place = error.name().zip(error.line()).map(|(name, line)| format!("{name}:{line}: ")).unwrap_or_default();
    let reason =
        error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    format!("mail.templates: {place}{reason}")
}

/// A header is one line, whatever a user is called and a template makes of it.
fn on_one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn in_words(span: Duration) -> String {
    match span.as_secs() / 60 {
        1 => "a minute".to_owned(),
        0 => "0 minutes".to_owned(),
        minutes if minutes == 24 * 60 => "a day".to_owned(),
        minutes if minutes % (24 * 60) == 0 => format!("{} days", minutes / (24 * 60)),
        minutes if minutes % 60 == 0 && minutes > 60 => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    }
}

/// As `2026-11-21 10:00 UTC`.
fn to_the_minute(time: Timestamp) -> String {
    let text = time.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(date), Some(minute)) => format!("{date} {minute} UTC"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(template: Template) -> Message {
        Message {
            template,
            to: "ada@example.com".to_owned(),
            name: None,
            token: Some(Zeroizing::new("sgp_abc".to_owned())),
            valid_for: Duration::from_secs(1800),
            new_email: Some("new@example.com".to_owned()),
            address: None,
            happened_at: Timestamp::from_micros(1_795_255_200_000_000),
        }
    }

    fn links() -> Links {
        Links::of(&MailConfig {
            reset_password_link: "https://app.example/reset?a=1&b=2#{token}".to_owned(),
            ..MailConfig::default()
        })
    }

    #[test]
    fn a_link_is_shown_where_there_is_a_page_and_the_token_where_there_is_none() {
        let templates = Templates::open(Path::new("")).expect("the built-in ones");
        let reset = templates.word(&message(Template::ResetPassword), "Acme", &links()).expect("worded");
        assert_eq!(reset.subject, "Choose a new password for Acme");
        assert!(reset.text.contains("https://app.example/reset?a=1&b=2#sgp_abc"), "{}", reset.text);
        assert!(
            reset.html.contains("https:&#x2f;&#x2f;app.example") && reset.html.contains("sgp_abc"),
            "{}",
            reset.html
        );
        assert!(reset.text.contains("30 minutes") && !reset.text.contains("{{"), "{}", reset.text);
        let verify = templates.word(&message(Template::VerifyEmail), "Acme", &links()).expect("worded");
        assert!(verify.text.contains("\n    sgp_abc\n") && !verify.text.contains("http"), "{}", verify.text);
    }

    #[test]
    fn what_a_user_is_called_is_neither_markup_nor_a_header() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("reset_password.txt"), "Subject: For {{ name }}\n\n{{ token }}")
            .expect("written");
        let templates = Templates::open(folder.path()).expect("valid");
        let hostile =
            Message { name: Some("<b>\r\nBcc: eve@x\u{2028}y".to_owned()), ..message(Template::ResetPassword) };
        let wording = templates.word(&hostile, "Acme", &links()).expect("worded");
        assert_eq!(wording.subject, "For <b> Bcc: eve@x y");
        assert!(!wording.html.contains("<b>"), "{}", wording.html);
    }

    #[test]
    fn a_template_that_would_fail_later_is_refused_at_once() {
        let refused = |file: &str, text: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join(file), text).expect("written");
            Templates::open(folder.path()).err().unwrap_or_else(|| panic!("{file}: {text}"))
        };
        assert!(refused("verify_mail.txt", "").contains("there is no template `verify_mail.txt`"));
        assert!(refused("verify_email.txt", "Subject: x\n\n{{ nmae }}{{ token }}").contains("verify_email.txt:3"));
        assert!(refused("verify_email.txt", "Subject: x\n\n{% if %}").contains("syntax error"));
        assert!(refused("verify_email.txt", "Subject: x\n\nno token").contains("both files must show"));
        assert!(refused("verify_email.html", "<p>no token</p>").contains("both files must show"));
        assert!(refused("password_changed.txt", "Subject:\n\nx").contains("needs a line `Subject: …`"));
        assert!(
            Templates::open(Path::new("/nowhere"))
                .err()
                .is_some_and(|error| error.starts_with("mail.templates: /nowhere"))
        );
    }
}
