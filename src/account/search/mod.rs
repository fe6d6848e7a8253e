//! Finding users: by the beginning of their address or name, and by what they are.
//!
//! A prefix is a range of an index, so no character in it has a meaning of its own. What has no index (a rare role, who is
//! disabled) is looked for among so many rows and no more: a page may be shorter than asked for, or empty, and still have a
//! next one. So no search is ever a walk over the whole table in one request.

mod cursor;
mod store;

use diesel::QueryResult;

pub(crate) use cursor::Cursor;
pub(super) use store::IS_ADMIN;

use super::{ManagedUser, UserId};
use crate::access::role::Roles;
use crate::db::Tx;

/// What users are looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Criteria {
    /// Only this one.
    pub(crate) id: Option<UserId>,
    /// How the address begins, in lower case.
    pub(crate) email: Option<String>,
    /// How the name begins, without regard to the case of ASCII letters.
    pub(crate) name: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) is_active: Option<bool>,
    pub(crate) is_verified: Option<bool>,
}

/// Some of the users that were looked for.
pub(crate) struct Found {
    pub(crate) users: Vec<ManagedUser>,
    /// Where to go on; `None`: there are no more.
    pub(crate) next: Option<Cursor>,
}

/// So many rows are looked at for one page when an index alone does not say which are wanted.
const LOOK: i64 = 1_000;

/// The first `limit` users after `after`. `None` if that is no place in this search.
pub(crate) fn search(
    tx: &mut Tx<'_>,
    criteria: &Criteria,
    after: Option<&Cursor>,
    limit: u16,
) -> QueryResult<Option<Found>> {
    if let Some(id) = criteria.id {
        let found = store::find(tx, id)?.filter(|(user, _)| criteria.admits(user));
        return Ok(Some(Found { users: found.into_iter().map(|(user, _)| user).collect(), next: None }));
    }
    let look = if criteria.is_indexed() { i64::from(limit) + 1 } else { LOOK };
    let rows = match (&criteria.email, &criteria.name, after) {
        (Some(prefix), _, None) => store::by_email(tx, prefix, None, look)?,
        (Some(prefix), _, Some(Cursor::Email(after))) => store::by_email(tx, prefix, Some(after), look)?,
        (None, Some(prefix), None) => store::by_name(tx, prefix, None, look)?,
        (None, Some(prefix), Some(Cursor::Name(name, id))) => store::by_name(tx, prefix, Some((name, *id)), look)?,
        (None, None, None) => store::newest(tx, criteria.wants_admins(), None, look)?,
        (None, None, Some(Cursor::Id(after))) => store::newest(tx, criteria.wants_admins(), Some(*after), look)?,
        (_, _, Some(Cursor::Id(_) | Cursor::Email(_) | Cursor::Name(..))) => return Ok(None),
    };
    Ok(Some(criteria.page(rows, look, usize::from(limit))))
}

/// One user.
pub(crate) fn find(tx: &mut Tx<'_>, id: UserId) -> QueryResult<Option<ManagedUser>> {
    Ok(store::find(tx, id)?.map(|(user, _)| user))
}

/// How many users there are, and how many of them administer: at most `limit` of the former are counted.
pub(crate) fn count(tx: &mut Tx<'_>, limit: i64) -> QueryResult<(i64, i64)> {
    Ok((store::count(tx, limit)?, store::count_admins(tx)?))
}

impl Criteria {
    /// Whether the order of the rows alone says which are wanted.
    fn is_indexed(&self) -> bool {
        let both = self.email.is_some() && self.name.is_some();
        let by_role = self.role.is_some() && !self.wants_admins();
        !both && !by_role && self.is_active.is_none() && self.is_verified.is_none()
    }

    /// Whether the index of administrators is the way: few among many.
    fn wants_admins(&self) -> bool {
        self.email.is_none() && self.name.is_none() && self.role.as_deref() == Some(Roles::ADMIN)
    }

    fn admits(&self, found: &ManagedUser) -> bool {
        let user = &found.user;
        let is_called = |prefix: &str| {
            user.name.as_deref().is_some_and(|name| name.to_ascii_lowercase().starts_with(&prefix.to_ascii_lowercase()))
        };
        self.name.as_deref().is_none_or(is_called)
            && self.role.as_deref().is_none_or(|role| user.roles.contains(role))
            && self.is_active.is_none_or(|wanted| user.is_active == wanted)
            && self.is_verified.is_none_or(|wanted| user.is_verified == wanted)
    }

    /// Of the rows that were looked at, those that are wanted, up to `limit`; and where to go on.
    fn page(&self, rows: Vec<(ManagedUser, Cursor)>, look: i64, limit: usize) -> Found {
        let is_cut = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= look;
        let last = rows.last().map(|(_, cursor)| cursor.clone());
        let mut wanted = rows.into_iter().filter(|(user, _)| self.admits(user));
        let mut page: Vec<(ManagedUser, Cursor)> = wanted.by_ref().take(limit).collect();
        let next = if wanted.next().is_some() {
            page.last().map(|(_, cursor)| cursor.clone())
        } else if is_cut {
            last
        } else {
            None
        };
        Found { users: page.drain(..).map(|(user, _)| user).collect(), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::User;
    use crate::clock::Timestamp;

    fn user(name: &str, roles: &str, is_active: bool) -> (ManagedUser, Cursor) {
        let now = Timestamp::from_micros(0);
        let id = UserId::new(now);
        let user = User {
            id,
            email: "a@x".to_owned(),
            name: Some(name.to_owned()),
            roles: roles.parse().expect("roles"),
            is_active,
            is_verified: true,
            created_at: now,
            last_login_at: None,
        };
        (ManagedUser { user, disabled_until: None }, Cursor::Id(id))
    }

    #[test]
    fn a_page_ends_where_the_next_begins_whether_it_is_full_or_the_look_was_over() {
        let rows: Vec<_> = (0..5).map(|n| user("x", "user", n % 2 == 0)).collect();
        let active = Criteria { is_active: Some(true), ..Criteria::default() };
        let cursor = |index: usize| Some(rows[index].1.clone());
        let page = |look, limit| {
            let found = active.page(rows.clone(), look, limit);
            (found.users.len(), found.next)
        };
        assert_eq!(page(1_000, 10), (3, None), "all was looked at, and all is on the page");
        assert_eq!(page(1_000, 3), (3, None), "nothing more is wanted");
        assert_eq!(page(1_000, 2), (2, cursor(2)), "the third is on the next page");
        assert_eq!(page(5, 3), (3, cursor(4)), "there may be more beyond the look");
        assert_eq!(page(5, 2), (2, cursor(2)));
        let nobody = Criteria { role: Some("auditor".to_owned()), ..Criteria::default() };
        let found = nobody.page(rows.clone(), 5, 2);
        assert_eq!((found.users.len(), found.next), (0, cursor(4)), "an empty page that is not the last");
    }

    #[test]
    fn what_no_index_says_is_asked_of_each_row() {
        let (ada, _) = user("Ada Lovelace", "admin user", true);
        let admits = |criteria: Criteria| criteria.admits(&ada);
        let name = |prefix: &str| admits(Criteria { name: Some(prefix.to_owned()), ..Criteria::default() });
        assert_eq!(["ada", "ADA L", "", "Lovelace", "Ada_", "%"].map(name), [true, true, true, false, false, false]);
        let role = |role: &str| admits(Criteria { role: Some(role.to_owned()), ..Criteria::default() });
        assert_eq!(["admin", "user", "use", "admi"].map(role), [true, true, false, false]);
        assert!(!admits(Criteria { is_active: Some(false), ..Criteria::default() }));
        assert!(!admits(Criteria { is_verified: Some(false), ..Criteria::default() }));
    }
}
