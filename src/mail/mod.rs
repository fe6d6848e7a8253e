//! Mail: what is to be sent waits in the outbox, in the transaction that wants it sent, and leaves by a job.
//!
//! [`outbox`] takes letters in and hands them out to one instance at a time; whoever wrote a letter makes it a [`Message`]
//! when its time has come ([`account::letters`](crate::account::letters)), so that a token is made only to be sent at once
//! and lies nowhere in clear; [`template`] words it; a [`Mailer`] sends it; [`courier`] is the job that does all this.
//!
//! Owns: outbox.

pub mod courier;
mod destination;
mod folder;
mod message;
mod notice;
pub(crate) mod outbox;
mod smtp;
mod store;
mod template;

use std::sync::Arc;

pub use destination::Destination;
pub(crate) use destination::sender;
pub(crate) use message::{Link, Message};
pub use message::{Parcel, Template};
pub use notice::Notice;
pub use outbox::Outbox;
pub(crate) use outbox::{Kind, Letter};

use self::folder::Folder;
use self::message::Links;
use self::smtp::Smtp;
use self::template::Templates;
use crate::clock::Timestamp;
use crate::config::Config;

/// Hands a mail on. It may take its time: it is called on a thread that may wait.
pub trait Mailer: Send + Sync {
    /// Hands one mail on.
    ///
    /// # Errors
    /// See [`Failure`].
    fn send(&self, parcel: &Parcel) -> Result<(), Failure>;
}

/// Why a mail was not taken. Never in the words of the mail server: those may quote the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Another attempt may succeed; the word says what was in the way.
    #[error("{0}")]
    ForNow(&'static str),
    /// No attempt will: the server will not have this mail, with this code of RFC 5321 §4.2.
    #[error("refused with code {0}")]
    ForGood(u16),
}

/// Everything that makes a mail of a message, and sends it. Clones share it.
#[derive(Clone)]
pub struct Mail {
    outbox: Outbox,
    post: Option<Arc<Post>>,
    links: Links,
}

struct Post {
    mailer: Box<dyn Mailer>,
    templates: Templates,
    from: lettre::message::Mailbox,
    service: String,
}

impl Mail {
    /// Prepares to send as configured. Nothing is reached yet: a mail server that is away comes into use when it comes back.
    ///
    /// # Errors
    /// What is wrong with the templates, the file of certificates or the values; one line.
    pub fn open(config: &Config) -> Result<Self, String> {
        let mail = &config.mail;
        let destination: Destination = mail.url.0.parse().map_err(|reason| format!("mail.url: {reason}"))?;
        let mailer: Box<dyn Mailer> = match destination {
            Destination::Nowhere => {
                return Ok(Self { outbox: Outbox::closed(), post: None, links: Links::of(mail) });
            }
            Destination::Folder(path) => Box::new(Folder::new(path, mail.announce)),
            Destination::Smtp(server) => Box::new(Smtp::new(&server, &mail.ca_file)?),
        };
        let from = sender(&mail.from, &config.issuer).map_err(|()| "mail.from: is no sender".to_owned())?;
        let host = url::Url::parse(&config.issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
        let service = from.name.clone().or(host).unwrap_or_else(|| "Signet".to_owned());
        let templates = Templates::open(&mail.templates)?;
        let post = Post { mailer, templates, from, service };
        Ok(Self { outbox: Outbox::open(), post: Some(Arc::new(post)), links: Links::of(mail) })
    }

    /// Where letters are put in.
    pub(crate) fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// What somebody who has a token is told: the page that takes it, or the token itself.
    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    /// Whether there is anything to send with.
    pub fn is_open(&self) -> bool {
        self.post.is_some()
    }
}

impl Post {
    /// Words a message and hands it on. Each attempt is a mail of its own, with its own `Message-ID`: the token in it is
    /// another one, and whoever keeps only the first of two equal mails must not keep the dead one.
    fn send(&self, letter: &Letter, message: &Message, links: &Links, now: Timestamp) -> Result<(), Failure> {
        let wording = self.templates.word(message, &self.service, links).map_err(|error| {
            tracing::error!(%error, mail = message.template.as_str(), "a template of a mail cannot be used");
            Failure::ForNow("template")
        })?;
        let parcel = Parcel::pack(letter, message, wording, links, &self.from, now)?;
        self.mailer.send(&parcel)
    }
}
