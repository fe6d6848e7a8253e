//! Changing what is known about a user: name, address, roles, whether the address is theirs. All of it or nothing.
//!
//! Emits: UserUpdated, EmailChanged, RolesChanged.

use diesel::QueryResult;

use super::Who;
use crate::access::role::Roles;
use crate::account::change_email::confirm::{Replacement, put_in_force};
use crate::account::email::Email;
use crate::account::last_admin::may_lose_an_admin;
use crate::account::{ManagedUser, UserId, search, store};
use crate::audit::{self, Actor, Event};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::field::Patch;
use crate::mail::Outbox;
use crate::session;

/// What is to be otherwise.
#[derive(Debug, Clone)]
pub struct Changes {
    /// What the user is called.
    pub name: Patch<String>,
    /// In force at once. Whoever changes it vouches for it, unless `is_verified` says otherwise; sessions go on.
    pub email: Option<Email>,
    /// Whether the address is known to be the user's.
    pub is_verified: Option<bool>,
    /// All that the user is to have. Once this has returned, no token with others is issued.
    pub roles: Option<Roles>,
}

impl Default for Changes {
    fn default() -> Self {
        Self { name: Patch::Keep, email: None, is_verified: None, roles: None }
    }
}

/// Makes the changes and gives the user as they are then.
///
/// # Errors
/// [`Error::NotFound`], [`Error::EmailTaken`], [`Error::LastAdmin`], or the database's; then nothing is changed.
pub async fn update(db: &Db, outbox: Outbox, by: Actor, who: impl Into<Who>, changes: Changes) -> Result<ManagedUser> {
    let who = who.into();
    db.tx("account.update", move |tx| {
        let Some(id) = who.find(tx)? else { return Ok(Err(Error::NotFound)) };
        update_in(tx, &outbox, &by, id, &changes)
    })
    .await?
}

/// Sets a user's roles. Once this has returned, no token with the old ones is issued.
///
/// # Errors
/// As [`update`].
pub async fn set_roles(db: &Db, by: Actor, who: impl Into<Who>, roles: Roles) -> Result<UserId> {
    let changes = Changes { roles: Some(roles), ..Changes::default() };
    update(db, Outbox::closed(), by, who, changes).await.map(|managed| managed.user.id)
}

/// What may be refused comes first: the transaction is committed whatever the outcome.
fn update_in(
    tx: &mut Tx<'_>,
    outbox: &Outbox,
    by: &Actor,
    id: UserId,
    changes: &Changes,
) -> QueryResult<Result<ManagedUser>> {
    let is_to_be_none = changes.roles.as_ref().is_some_and(|roles| !roles.contains(Roles::ADMIN));
    if is_to_be_none && let Err(refusal) = may_lose_an_admin(tx, by, id)? {
        return Ok(Err(refusal));
    }
    if let Some(email) = &changes.email {
        let is_verified = changes.is_verified.unwrap_or(true);
        if !put_in_force(tx, outbox, id, Replacement { email, is_verified, even_if_disabled: true })? {
            return Ok(Err(Error::EmailTaken));
        }
        audit::record_by(tx, by, &Event::EmailChanged { user: id, by_operator: true })?;
    }
    if let Some(roles) = &changes.roles {
        change_roles(tx, by, id, roles)?;
    }
    let mut changed = Vec::new();
    match &changes.name {
        Patch::Keep => {}
        Patch::Remove => store::set_name(tx, id, None)?,
        Patch::Set(name) => store::set_name(tx, id, Some(name))?,
    }
    if changes.name != Patch::Keep {
        changed.push("name");
    }
    if let (Some(is_verified), None) = (changes.is_verified, &changes.email) {
        store::set_verified(tx, id, is_verified)?;
        changed.push("is_verified");
    }
    if !changed.is_empty() {
        audit::record_by(tx, by, &Event::UserUpdated { user: id, changed })?;
    }
    Ok(search::find(tx, id)?.ok_or(Error::NotFound))
}

fn change_roles(tx: &mut Tx<'_>, by: &Actor, id: UserId, roles: &Roles) -> QueryResult<()> {
    if let Some(access_version) = store::update_roles(tx, id, roles)? {
        session::set_access_version(tx, id, access_version)?;
        audit::record_by(tx, by, &Event::RolesChanged { user: id, roles: roles.clone() })?;
    }
    Ok(())
}
