//! The queries on `users` that find several.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};

use super::Cursor;
use crate::account::store::ManagedRow;
use crate::account::{ManagedUser, UserId};
use crate::db::schema::users;
use crate::db::{Conn, Tx, on};

type Rows = Vec<(ManagedUser, Cursor)>;

pub(super) fn find(tx: &mut Tx<'_>, id: UserId) -> QueryResult<Option<(ManagedUser, Cursor)>> {
    let query = users::table.find(id);
    let found: Option<ManagedRow> = on!(tx.conn, |c| query.select(ManagedRow::as_select()).first(c).optional())?;
    Ok(found.map(|row| (row.seen_at(tx.now), Cursor::Id(id))))
}

/// The newest users, or administrators, before `after`.
pub(super) fn newest(tx: &mut Tx<'_>, admins_only: bool, after: Option<UserId>, limit: i64) -> QueryResult<Rows> {
    let rows: Vec<ManagedRow> = on!(tx.conn, |c| {
        let mut query = users::table.order(users::id.desc()).limit(limit).select(ManagedRow::as_select()).into_boxed();
        if admins_only {
            query = query.filter(sql::<Bool>(IS_ADMIN));
        }
        if let Some(after) = after {
            query = query.filter(users::id.lt(after));
        }
        query.load(c)
    })?;
    let place = |user: &ManagedUser| Cursor::Id(user.user.id);
    Ok(rows.into_iter().map(|row| row.seen_at(tx.now)).map(|user| (user.clone(), place(&user))).collect())
}

/// Users whose address begins with `prefix`, in the order of their addresses, after `after`.
pub(super) fn by_email(tx: &mut Tx<'_>, prefix: &str, after: Option<&String>, limit: i64) -> QueryResult<Rows> {
    let key = || sql::<Text>(email_order(tx.conn));
    let (key, from, until, order) = (key(), key(), key(), key());
    let end = end_of_range(prefix);
    let rows: Vec<(ManagedRow, String)> = on!(tx.conn, |c| {
        let mut query = users::table.order(order).limit(limit).select((ManagedRow::as_select(), key)).into_boxed();
        query = match after {
            None => query.filter(from.ge(prefix)),
            Some(after) => query.filter(from.gt(after)),
        };
        if let Some(end) = &end {
            query = query.filter(until.lt(end));
        }
        query.load(c)
    })?;
    Ok(rows.into_iter().map(|(row, key)| (row.seen_at(tx.now), Cursor::Email(key))).collect())
}

/// Users whose name begins with `prefix`, in the order of their names, after `after`.
pub(super) fn by_name(
    tx: &mut Tx<'_>,
    prefix: &str,
    after: Option<(&String, UserId)>,
    limit: i64,
) -> QueryResult<Rows> {
    let prefix = prefix.to_ascii_lowercase();
    let name = || sql::<Text>(name_order(tx.conn));
    let (name, from, same, until, order) = (name(), name(), name(), name(), name());
    let end = end_of_range(&prefix);
    let rows: Vec<(ManagedRow, String)> = on!(tx.conn, |c| {
        let mut query =
            users::table.order((order, users::id)).limit(limit).select((ManagedRow::as_select(), name)).into_boxed();
        query = match after {
            None => query.filter(from.ge(&prefix)),
            // The first part is the range; the second leaves out who is of the same name and was seen.
            Some((after, id)) => {
                let later = same.gt(after).or(users::id.gt(id));
                query.filter(from.ge(after)).filter(later)
            }
        };
        if let Some(end) = &end {
            query = query.filter(until.lt(end));
        }
        query.load(c)
    })?;
    let row = |(row, name): (ManagedRow, String)| {
        let user = row.seen_at(tx.now);
        let place = Cursor::Name(name, user.user.id);
        (user, place)
    };
    Ok(rows.into_iter().map(row).collect())
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How many users there are, if fewer than `limit`, or else that.
pub(super) fn count(tx: &mut Tx<'_>, limit: i64) -> QueryResult<i64> {
    let query = diesel::sql_query(r#"SELECT count(*) AS count FROM (SELECT 1 FROM "users" LIMIT $1) AS counted"#);
    let counted: Count = on!(tx.conn, |c| query.bind::<BigInt, _>(limit).get_result(c))?;
    Ok(counted.count)
}

pub(super) fn count_admins(tx: &mut Tx<'_>) -> QueryResult<i64> {
    let query = users::table.filter(sql::<Bool>(IS_ADMIN)).count();
    on!(tx.conn, |c| query.get_result(c))
}

/// Whether ` admin `, seven characters long, is taken away from the roles with a space on either side. In the words of the index
/// `users_admins`, without which it is not used.
pub(in crate::account) const IS_ADMIN: &str = "length(replace(' ' || roles || ' ', ' admin ', '')) = length(roles) - 5";

/// Byte by byte, as SQLite compares anyway.
fn email_order(conn: &Conn) -> &'static str {
    match conn {
        Conn::Pg(_) => r#"email_key COLLATE "C""#,
        Conn::Sqlite(_) => "email_key",
    }
}

fn name_order(conn: &Conn) -> &'static str {
    match conn {
        Conn::Pg(_) => r#"lower(name COLLATE "C")"#,
        Conn::Sqlite(_) => "lower(name)",
    }
}

/// What sorts right behind every text that begins with `prefix`: the prefix with its last character made the next one.
fn end_of_range(prefix: &str) -> Option<String> {
    let mut rest = prefix.to_owned();
    while let Some(last) = rest.pop() {
        // There are no characters between D7FF and E000.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            rest.push(next);
            return Some(rest);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_of_a_range_is_the_next_text_that_is_no_longer_in_it() {
        for (prefix, end) in [
            ("a", Some("b")),
            ("ada@", Some("adaA")),
            ("%", Some("&")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
        ] {
            assert_eq!(end_of_range(prefix).as_deref(), end, "{prefix:?}");
        }
    }

    proptest! {
        /// By bytes, as both databases compare here.
        #[test]
        fn exactly_what_begins_with_the_prefix_is_in_its_range(prefix in ".{1,4}", other in ".{0,6}", tail in ".{0,3}") {
            let end = end_of_range(&prefix);
            let is_in = |text: &str| text >= prefix.as_str() && end.as_deref().is_none_or(|end| text < end);
            let longer = format!("{prefix}{tail}");
            prop_assert!(is_in(&longer));
            prop_assert_eq!(is_in(&other), other.starts_with(&prefix));
        }
    }
}
