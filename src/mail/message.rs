//! What a mail says, before it is worded; and the mail, ready to be handed on.

use std::time::{Duration, SystemTime};

use lettre::message::{Mailbox, MultiPart};
use zeroize::Zeroizing;

use super::template::Wording;
use super::{Failure, Letter, Notice};
use crate::clock::Timestamp;
use crate::config::{MailConfig, TOKEN_PLACE};

/// Every mail there is; each has its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// The address is to be shown to be the user's.
    VerifyEmail,
    /// Somebody registered with an address that has an account.
    AlreadyRegistered,
    /// Somebody asked for a new password.
    ResetPassword,
    /// Two registered with one address that nobody has verified: whoever reads its mail chooses the password.
    ChoosePassword,
    /// To the address that an account has: another one is to take its place.
    ConfirmOldAddress,
    /// To the address that an account is to have.
    ConfirmNewAddress,
    /// Somebody may open an account.
    Invitation,
    /// Something happened.
    Notice(Notice),
}

impl Template {
    const REQUESTS: [Self; 7] = [
        Self::VerifyEmail,
        Self::AlreadyRegistered,
        Self::ResetPassword,
        Self::ChoosePassword,
        Self::ConfirmOldAddress,
        Self::ConfirmNewAddress,
        Self::Invitation,
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::REQUESTS.into_iter().chain(Notice::ALL.map(Self::Notice))
    }

    /// The name of its files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::AlreadyRegistered => "already_registered",
            Self::ResetPassword => "reset_password",
            Self::ChoosePassword => "choose_password",
            Self::ConfirmOldAddress => "confirm_old_address",
            Self::ConfirmNewAddress => "confirm_new_address",
            Self::Invitation => "invitation",
            Self::Notice(notice) => notice.as_str(),
        }
    }

    /// Which page takes the token that is in it.
    pub(super) fn link(self) -> Option<Link> {
        match self {
            Self::VerifyEmail => Some(Link::VerifyEmail),
            Self::ResetPassword | Self::ChoosePassword => Some(Link::ResetPassword),
            Self::ConfirmOldAddress | Self::ConfirmNewAddress => Some(Link::ChangeEmail),
            Self::Invitation => Some(Link::Invitation),
            Self::AlreadyRegistered => None,
            Self::Notice(notice) => (notice == Notice::AccountDeleted).then_some(Link::RestoreAccount),
        }
    }
}

/// What a mail is about.
pub(crate) struct Message {
    pub(crate) template: Template,
    /// Always the address on file, never one that a stranger typed.
    pub(crate) to: String,
    /// Only of somebody whose address is verified: a stranger could have had us send any words to anybody.
    pub(crate) name: Option<String>,
    /// The token, if there is one to use.
    pub(crate) token: Option<Zeroizing<String>>,
    /// How long that works.
    pub(crate) valid_for: Duration,
    /// The address that is to be.
    pub(crate) new_email: Option<String>,
    /// Where from, as far as that is known.
    pub(crate) address: Option<String>,
    /// When what it is about happened.
    pub(crate) happened_at: Timestamp,
}

/// The pages that take a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    VerifyEmail,
    ResetPassword,
    ChangeEmail,
    RestoreAccount,
    Invitation,
}

/// The configured pages.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    verify_email: String,
    reset_password: String,
    change_email: String,
    restore_account: String,
    invitation: String,
}

impl Links {
    pub(super) fn of(config: &MailConfig) -> Self {
        Self {
            verify_email: config.verify_email_link.clone(),
            reset_password: config.reset_password_link.clone(),
            change_email: config.change_email_link.clone(),
            restore_account: config.restore_account_link.clone(),
            invitation: config.invitation_link.clone(),
        }
    }

    /// The page with the token in it; `None` if none is configured.
    pub(crate) fn to(&self, link: Link, token: &str) -> Option<Zeroizing<String>> {
        let page = match link {
            Link::VerifyEmail => &self.verify_email,
            Link::ResetPassword => &self.reset_password,
            Link::ChangeEmail => &self.change_email,
            Link::RestoreAccount => &self.restore_account,
            Link::Invitation => &self.invitation,
        };
        // A token is made of letters that no URL minds.
        (!page.is_empty()).then(|| Zeroizing::new(page.replace(TOKEN_PLACE, token)))
    }

    /// The link in a message, if it has a token and there is a page for it.
    pub(super) fn in_message(&self, message: &Message) -> Option<Zeroizing<String>> {
        self.to(message.template.link()?, message.token.as_ref()?)
    }
}

/// A mail, whole.
pub struct Parcel {
    pub(super) name: String,
    pub(super) mail: lettre::Message,
    /// What to do with it, for whoever sits before `dev`: the link, or the token.
    pub(super) token_or_link: Option<Zeroizing<String>>,
    pub(super) template: Template,
    pub(super) to: String,
}

impl Parcel {
    pub(super) fn pack(
        letter: &Letter,
        message: &Message,
        wording: Wording,
        links: &Links,
        from: &Mailbox,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        // Nothing that an account has is refused here; another server's rules are its own.
        let malformed = |_| Failure::ForGood(553);
        let to = message.to.parse().map_err(malformed)?;
        let name = format!("{}.{}", letter.id, letter.attempts);
        let sent_at = SystemTime::UNIX_EPOCH + now.since(Timestamp::from_micros(0));
        let mail = lettre::Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(wording.subject)
            .date(sent_at)
            .message_id(Some(format!("<{name}@{}>", from.email.domain())))
            // Nobody's absence is announced to a machine (RFC 3834 §5).
            .header(AutoSubmitted)
            .multipart(MultiPart::alternative_plain_html(wording.text, wording.html))
            .map_err(|_| Failure::ForNow("message"))?;
        let token_or_link = links.in_message(message).or_else(|| message.token.clone());
        Ok(Self { name, mail, token_or_link, template: message.template, to: message.to.clone() })
    }
}

/// `Auto-Submitted: auto-generated`.
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
