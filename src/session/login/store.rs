//! The statement of a log-in with nothing to decide: what [`accounts::mark_login`], [`insert_session`] and [`audit::record`]
//! write, in one round trip instead of five. On Postgres only, where a round trip is what costs.
//!
//! [`insert_session`]: crate::session::store::insert_session

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment};

use crate::account::User;
use crate::account::store::{self as accounts, Credentials, UserRow};
use crate::audit::{self, Event};
use crate::db::{Cached, Conn, Tx};
use crate::http::origin::Origin;
use crate::session::store::{NewSession, insert_session_if_entered};
use crate::throttle::bucket::BucketId;

/// Opens the session `new`, if the account is as it was `checked`, its roles too, and `counted` admits guesses. `None` if
/// not: then nothing was written.
pub(super) fn enter(
    tx: &mut Tx<'_>,
    checked: &Credentials,
    counted: Option<BucketId>,
    new: &NewSession<'_>,
    event: &Event,
    from: &Origin,
) -> QueryResult<Option<User>> {
    let Conn::Pg(c) = &mut *tx.conn else { return Ok(None) };
    let now = tx.now;
    let entry = Entry {
        marked: accounts::mark_login_part(now, checked, counted),
        opened: insert_session_if_entered(new),
        noted: audit::insert_if_entered(now, from, event),
    };
    let entered: Option<UserRow> = Cached::<Entering, _>::new(entry).get_result(c).optional()?;
    Ok(entered.map(User::from))
}

/// The name of the statement [`Entry`].
struct Entering;

struct Entry<M, O, N> {
    marked: M,
    opened: O,
    noted: N,
}

impl<M: QueryFragment<Pg>, O: QueryFragment<Pg>, N: QueryFragment<Pg>> QueryFragment<Pg> for Entry<M, O, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH entered AS (");
        self.marked.walk_ast(out.reborrow())?;
        out.push_sql("), opened AS (");
        self.opened.walk_ast(out.reborrow())?;
        out.push_sql("), noted AS (");
        self.noted.walk_ast(out.reborrow())?;
        out.push_sql(") SELECT * FROM entered");
        Ok(())
    }
}

impl<M: Query, O, N> Query for Entry<M, O, N> {
    type SqlType = M::SqlType;
}
