//! Where a service's mails arrive: a folder of files, read as a person would read them.

use std::path::PathBuf;

use signet::config::{Config, Secret};

use super::{Server, secrets, wait};

/// Has a service write its mails into a folder beside its keys.
pub fn into_folder(config: &mut Config) {
    let folder = config.keys.dir.with_file_name("mail");
    config.mail.url = Secret(format!("folder:{}", folder.display()));
}

/// The mails of a service.
pub struct Mailbox<'s> {
    server: &'s Server,
}

/// One mail.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The name of its template.
    pub template: String,
    pub to: String,
    pub subject: String,
    /// All of it, with its parts decoded.
    pub text: String,
}

impl<'s> Mailbox<'s> {
    pub fn of(server: &'s Server) -> Self {
        Self { server }
    }

    /// All mails, oldest first, once none waits that could be sent now.
    #[track_caller]
    pub fn mails(&self) -> Vec<Mail> {
        wait::until("mails wait and are not sent", || self.server.count("outbox") == 0);
        read_folder(&self.folder())
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(self.server.config.mail.url.0.strip_prefix("folder:").expect("mails are files"))
    }

    /// The newest mail to an address, which must be of this kind.
    #[track_caller]
    pub fn newest(&self, to: &str, template: &str) -> Mail {
        let mails = self.mails();
        let mail = mails.iter().rfind(|mail| mail.to == to).unwrap_or_else(|| panic!("nothing to {to}: {mails:?}"));
        assert_eq!(mail.template, template, "{}", mail.text);
        mail.clone()
    }

    /// The newest mail of this kind to an address.
    #[track_caller]
    pub fn newest_of(&self, to: &str, template: &str) -> Mail {
        let mails = self.mails();
        let found = mails.iter().rfind(|mail| mail.to == to && mail.template == template);
        found.unwrap_or_else(|| panic!("no {template} to {to}: {mails:?}")).clone()
    }

    /// How many mails there are to an address.
    #[track_caller]
    pub fn count(&self, to: &str) -> usize {
        self.mails().iter().filter(|mail| mail.to == to).count()
    }
}

/// All mails in a folder, oldest first.
pub fn read_folder(folder: &std::path::Path) -> Vec<Mail> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("readable").path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "eml")).collect();
    paths.sort_by_key(|path| std::fs::metadata(path).and_then(|data| data.modified()).expect("there"));
    paths.iter().map(|path| parse(path)).collect()
}

fn parse(path: &std::path::Path) -> Mail {
    let name = path.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8");
    let template = name.rsplit('.').next().unwrap_or_default().to_owned();
    let text = decode(&std::fs::read_to_string(path).expect("mails are ASCII"));
    Mail { to: header(&text, "To"), subject: header(&text, "Subject"), template, text }
}

/// The value of a header; each of ours is one line.
pub fn header(text: &str, name: &str) -> String {
    let prefix = format!("{name}: ");
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    head.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
}

/// Undoes quoted-printable (RFC 2045 §6.7), which our mails use where they are not plain.
pub fn decode(text: &str) -> String {
    let joined = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let hex = others.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'=') {
            Some(byte) => (bytes.push(byte), rest = &others[2..]).1,
            None => (bytes.push(*first), rest = others).1,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Mail {
    /// The one-time token in it.
    #[track_caller]
    pub fn token(&self) -> String {
        find_token(&self.text).unwrap_or_else(|| panic!("no token in {}", self.text))
    }
}

/// The first one-time token in a text.
pub fn find_token(text: &str) -> Option<String> {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let words = text.split(|c| !is_of_token(c));
    let token = words.into_iter().find(|word| {
        word.len() == 52
            && ["sgv_", "sgp_", "sgo_", "sgn_", "sgu_", "sgi_"].iter().any(|prefix| word.starts_with(prefix))
    })?;
    secrets::note(token);
    Some(token.to_owned())
}
