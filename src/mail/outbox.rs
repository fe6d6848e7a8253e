//! The outbox: a row for each mail that waits, written in the transaction that wants it sent.
//!
//! A row holds no token. What is to be sent is decided when it is sent, from the account as it is then: so a request that
//! asks for mail does the same work whether the address has an account or not.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use tokio::sync::Notify;

use super::{Notice, store};
use crate::account::UserId;
use crate::account::email::Email;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::db::types::id;

id! {
    /// Names one letter; sorts by time.
    LetterId
}

/// What a letter asks for. Which mail it becomes, if any, depends on the account when it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A token by which the address is shown to be the user's.
    VerifyEmail,
    /// Somebody registered with an address that has an account.
    RegisteredAgain,
    /// A token for a new password.
    ResetPassword,
    /// A token for the address that an account has, when it is to have another.
    ConfirmOldAddress,
    /// A token for that other address.
    ConfirmNewAddress,
    /// A token to register with.
    Invitation,
    /// Something happened.
    Notice(Notice),
    /// Of another release: it is passed over.
    Unknown,
}

impl Kind {
    const REQUESTS: [Self; 6] = [
        Self::VerifyEmail,
        Self::RegisteredAgain,
        Self::ResetPassword,
        Self::ConfirmOldAddress,
        Self::ConfirmNewAddress,
        Self::Invitation,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::RegisteredAgain => "registered_again",
            Self::ResetPassword => "reset_password",
            Self::ConfirmOldAddress => "confirm_old_address",
            Self::ConfirmNewAddress => "confirm_new_address",
            Self::Invitation => "invitation",
            Self::Notice(notice) => notice.as_str(),
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn from_column(text: &str) -> Self {
        let mut all = Self::REQUESTS.into_iter().chain(Notice::ALL.map(Self::Notice));
        all.find(|kind| kind.as_str() == text).unwrap_or(Self::Unknown)
    }

    /// Whether one that waits is enough. Each notice tells of something that happened.
    fn waits_once(self) -> bool {
        !matches!(self, Self::Notice(_))
    }

    /// Whether anybody who knows an address can ask for it.
    pub(crate) fn is_asked_for_by_strangers(self) -> bool {
        matches!(self, Self::VerifyEmail | Self::ResetPassword | Self::RegisteredAgain)
    }
}

/// A row that was taken out to be sent.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) id: LetterId,
    pub(crate) kind: Kind,
    pub(crate) user_id: Option<UserId>,
    pub(crate) email: String,
    /// Where what it tells of was done from.
    pub(crate) address: Option<String>,
    pub(crate) created_at: Timestamp,
    /// Attempts to send it, this one included.
    pub(crate) attempts: i64,
}

/// Where letters are put in. Clones share it.
#[derive(Clone)]
pub struct Outbox {
    /// `None`: no mail is sent, so none is kept.
    bell: Option<Arc<Notify>>,
}

impl Outbox {
    pub(crate) fn open() -> Self {
        Self { bell: Some(Arc::default()) }
    }

    /// Takes nothing in.
    pub fn closed() -> Self {
        Self { bell: None }
    }

    /// Has a mail sent if the transaction is committed. **Nothing is refused here**: no answer may depend on what was sent
    /// before. The same mail does not wait twice; that an address gets no more than its due, and no token again within a
    /// minute, is seen to when the mail is made.
    pub(crate) fn put(&self, tx: &mut Tx<'_>, kind: Kind, user: Option<UserId>, email: &str) -> QueryResult<()> {
        self.put_from(tx, kind, user, email, None)
    }

    /// Has a user told of something.
    pub(crate) fn tell(&self, tx: &mut Tx<'_>, notice: Notice, user: UserId, email: &str) -> QueryResult<()> {
        self.put(tx, Kind::Notice(notice), Some(user), email)
    }

    /// The same, and where it was done from.
    pub(crate) fn tell_from(
        &self,
        tx: &mut Tx<'_>,
        notice: Notice,
        user: UserId,
        email: &str,
        address: Option<IpAddr>,
    ) -> QueryResult<()> {
        self.put_from(tx, Kind::Notice(notice), Some(user), email, address)
    }

    fn put_from(
        &self,
        tx: &mut Tx<'_>,
        kind: Kind,
        user: Option<UserId>,
        email: &str,
        address: Option<IpAddr>,
    ) -> QueryResult<()> {
        if !self.is_open() {
            return Ok(());
        }
        let parsed = Email::parse(email);
        if parsed.as_ref().is_ok_and(Email::reaches_nobody) {
            return Ok(());
        }
        let key = parsed.map_or_else(|_| email.to_owned(), |email| email.key().to_owned());
        let user_part = user.map(|user| user.to_string()).unwrap_or_default();
        let once_key = kind.waits_once().then(|| format!("{} {user_part} {key}", kind.as_str()));
        let address = address.map(|address| address.to_string());
        store::insert_letter(tx, kind, user, email, once_key.as_deref(), address.as_deref())
    }

    /// Whether anything is taken in.
    pub(crate) fn is_open(&self) -> bool {
        self.bell.is_some()
    }

    /// Takes out what waits for a user who is to be removed.
    pub(crate) fn forget(tx: &mut Tx<'_>, user: UserId) -> QueryResult<()> {
        store::delete_of_user(tx, user)
    }

    /// Tells the courier of this instance that a letter was put in. Whoever forgets to only has it wait for the next look.
    pub(crate) fn ring(&self) {
        if let Some(bell) = &self.bell {
            bell.notify_one();
        }
    }

    /// Waits until somebody rings, or `patience` ends.
    pub(super) async fn listen(&self, patience: Duration) {
        match &self.bell {
            Some(bell) => drop(tokio::time::timeout(patience, bell.notified()).await),
            None => tokio::time::sleep(patience).await,
        }
    }
}
