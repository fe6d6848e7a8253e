//! What the letters in the outbox become when they are sent: decided from the account as it is then.
//!
//! A letter that a stranger asked for says only an address. Whether there is an account, and whether anything is sent, nobody
//! learns but who reads mail there; and mail goes to the address on file, never to a spelling of it that a stranger chose.
//!
//! Emits: PasswordVoided.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;

use super::change_email;
use super::deletion;
use super::email::Email;
use super::one_time::{self, By, Purpose, invitation};
use super::store::{self, Addressee};
use crate::audit::{self, Event};
use crate::config::ThrottleConfig;
use crate::db::Tx;
use crate::http::origin::Origin;
use crate::mail::{Kind, Letter, Message, Notice, Template};
use crate::throttle::quota;

/// What depends on the configuration.
#[derive(Clone)]
pub(crate) struct Terms {
    /// How long a token works.
    pub(crate) token_ttl: Duration,
    /// The hash of a password that nobody knows.
    pub(crate) nobodys_hash: Arc<str>,
    /// How many mails strangers may have sent to one address.
    pub(crate) throttle: ThrottleConfig,
}

/// Makes the message that a letter asks for, with its token; `None` if there is nothing to be sent, or nothing any more.
pub(crate) fn compose(tx: &mut Tx<'_>, letter: &Letter, terms: &Terms) -> QueryResult<Option<Message>> {
    let Ok(email) = Email::parse(&letter.email) else { return Ok(None) };
    match letter.kind {
        Kind::VerifyEmail => match store::find_addressee(tx, &email)? {
            Some(user) if user.is_active && !user.is_verified => {
                with_token(tx, letter, terms, &user, Purpose::VerifyEmail, Template::VerifyEmail)
            }
            Some(_) | None => Ok(None),
        },
        Kind::ResetPassword => match store::find_addressee(tx, &email)? {
            Some(user) if user.is_active => {
                with_token(tx, letter, terms, &user, Purpose::ResetPassword, Template::ResetPassword)
            }
            Some(_) | None => Ok(None),
        },
        Kind::RegisteredAgain => match store::find_addressee(tx, &email)? {
            Some(user) if user.is_active => registered_again(tx, letter, terms, &user),
            Some(_) | None => Ok(None),
        },
        Kind::ConfirmOldAddress | Kind::ConfirmNewAddress => confirmation(tx, letter, terms, &email),
        Kind::Invitation => match store::find_addressee(tx, &email)? {
            Some(_) => Ok(None),
            None => {
                let token = invitation::issue(tx, &email, By::Mail)?;
                let message = Message { valid_for: invitation::TTL, ..notice(letter, Template::Invitation) };
                Ok(Some(Message { token: Some(token.to_text()), ..message }))
            }
        },
        Kind::Notice(what) => tell(tx, letter, what),
        Kind::Unknown => Ok(None),
    }
}

/// Of a change of what somebody logs in with, the address is told that was on file then; of anything else whatever address the
/// account has now.
fn tell(tx: &mut Tx<'_>, letter: &Letter, what: Notice) -> QueryResult<Option<Message>> {
    match what {
        Notice::AccountDeleted => account_deleted(tx, letter),
        Notice::NewSignIn
        | Notice::SessionEnded
        | Notice::ApiKeyCreated
        | Notice::ApiKeyHandedOut
        | Notice::ApiKeyRevoked => to_user(tx, letter, Template::Notice(what)),
        Notice::PasswordChanged
        | Notice::EmailChanged
        | Notice::FactorAdded
        | Notice::FactorRemoved
        | Notice::RecoveryCodeUsed => Ok(Some(notice(letter, Template::Notice(what)))),
    }
}

/// A notice to whatever address an account has now.
fn to_user(tx: &mut Tx<'_>, letter: &Letter, template: Template) -> QueryResult<Option<Message>> {
    let Some(id) = letter.user_id else { return Ok(None) };
    let user = store::find_addressee_by_id(tx, id)?.filter(|user| user.is_active);
    Ok(user.map(|user| Message {
        to: user.email,
        name: user.name.filter(|_| user.is_verified),
        address: letter.address.clone(),
        ..notice(letter, template)
    }))
}

/// Whether an address has had all the mails that strangers may have sent to it; counts this one if not. What is tried again
/// was counted.
fn has_enough(tx: &mut Tx<'_>, letter: &Letter, terms: &Terms, user: &Addressee) -> QueryResult<bool> {
    if letter.attempts > 1 || !letter.kind.is_asked_for_by_strangers() {
        return Ok(false);
    }
    let Ok(email) = Email::parse(&user.email) else { return Ok(false) };
    Ok(!quota::count_mail_to(tx, &terms.throttle, user.id, &email)?)
}

/// Two have registered with one address. If nobody has shown yet that it is theirs, and nobody has used the account, the first
/// may have been somebody who waits for the other to confirm it; so neither password counts, and whoever reads the address's
/// mail chooses one.
fn registered_again(tx: &mut Tx<'_>, letter: &Letter, terms: &Terms, user: &Addressee) -> QueryResult<Option<Message>> {
    if user.is_verified || user.last_login_at.is_some() {
        if has_enough(tx, letter, terms, user)? {
            return Ok(None);
        }
        return Ok(Some(Message { to: user.email.clone(), ..notice(letter, Template::AlreadyRegistered) }));
    }
    if letter.attempts == 1 && store::void_password(tx, user.id, &terms.nobodys_hash)? {
        one_time::void(tx, user.id, &[Purpose::VerifyEmail])?;
        audit::record(tx, &Origin::default(), &Event::PasswordVoided { user: user.id })?;
    }
    with_token(tx, letter, terms, user, Purpose::ResetPassword, Template::ChoosePassword)
}

/// For either side of a change of address, if it is still wanted and this side has not agreed yet.
fn confirmation(tx: &mut Tx<'_>, letter: &Letter, terms: &Terms, email: &Email) -> QueryResult<Option<Message>> {
    let Some(id) = letter.user_id else { return Ok(None) };
    let (Some(user), Some(change)) = (store::find_addressee_by_id(tx, id)?, change_email::pending(tx, id)?) else {
        return Ok(None);
    };
    if !user.is_active {
        return Ok(None);
    }
    let is_of_old = letter.kind == Kind::ConfirmOldAddress;
    if is_of_old {
        if change.old_confirmed || !user.has_address(email) {
            return Ok(None);
        }
        let message = with_token(tx, letter, terms, &user, Purpose::ConfirmOldAddress, Template::ConfirmOldAddress)?;
        return Ok(message.map(|message| Message { new_email: Some(change.email), ..message }));
    }
    if change.new_confirmed || change.email_key != email.key() {
        return Ok(None);
    }
    if let Some(owner) = store::find_addressee(tx, email)? {
        // The one who asked is told nothing, the owner of the address that somebody wanted it.
        let message = Message { to: owner.email, ..notice(letter, Template::AlreadyRegistered) };
        return Ok(owner.is_active.then_some(message));
    }
    let message = with_token(tx, letter, terms, &user, Purpose::ConfirmNewAddress, Template::ConfirmNewAddress)?;
    Ok(message.map(|message| Message {
        to: change.email.clone(),
        name: None,
        new_email: Some(change.email),
        ..message
    }))
}

/// With a token for whoever deleted the account themselves, as long as it can be brought back.
fn account_deleted(tx: &mut Tx<'_>, letter: &Letter) -> QueryResult<Option<Message>> {
    let notice = notice(letter, Template::Notice(Notice::AccountDeleted));
    let Some(id) = letter.user_id else { return Ok(Some(notice)) };
    let (Some(user), Some(purge_at)) = (store::find_addressee_by_id(tx, id)?, deletion::find_restorable(tx, id)?)
    else {
        return Ok(None);
    };
    let token = one_time::issue(tx, id, Purpose::RestoreAccount, By::Mail, purge_at.since(tx.now))?;
    Ok(Some(Message {
        to: user.email,
        name: user.name.filter(|_| user.is_verified),
        token: Some(token.to_text()),
        valid_for: purge_at.since(letter.created_at),
        ..notice
    }))
}

/// With a fresh token, unless the user was sent one a moment ago. What is tried again may: the last mail did not arrive.
fn with_token(
    tx: &mut Tx<'_>,
    letter: &Letter,
    terms: &Terms,
    user: &Addressee,
    purpose: Purpose,
    template: Template,
) -> QueryResult<Option<Message>> {
    if letter.attempts == 1 && one_time::is_too_soon(tx, user.id, purpose)? {
        return Ok(None);
    }
    if has_enough(tx, letter, terms, user)? {
        return Ok(None);
    }
    let token = one_time::issue(tx, user.id, purpose, By::Mail, terms.token_ttl)?;
    Ok(Some(Message {
        to: user.email.clone(),
        name: user.name.clone().filter(|_| user.is_verified),
        token: Some(token.to_text()),
        valid_for: terms.token_ttl,
        ..notice(letter, template)
    }))
}

fn notice(letter: &Letter, template: Template) -> Message {
    Message {
        template,
        to: letter.email.clone(),
        name: None,
        token: None,
        valid_for: Duration::ZERO,
        new_email: None,
        address: None,
        happened_at: letter.created_at,
    }
}
