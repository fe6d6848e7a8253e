//! Keeps an UPDATE prepared.
//!
//! Diesel prepares an UPDATE anew each time, because its text may vary with the values set. Where it never does, saying
//! so halves the cost of the statement; and a name to find it by spares writing the text at each call.

use std::any::Any;
use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::RunQueryDsl;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};

/// The statement `Name`, whose text is the same at every call. A connection prepares the first text that it is given under
/// a name and never looks at another: each name belongs to one place in the code.
pub(crate) struct Cached<Name, Q>(Q, PhantomData<Name>);

impl<Name, Q> Cached<Name, Q> {
    pub(crate) fn new(statement: Q) -> Self {
        Self(statement, PhantomData)
    }
}

impl<Name, Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for Cached<Name, Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Name: Any, Q> QueryId for Cached<Name, Q> {
    type QueryId = Name;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Name, Q: Query> Query for Cached<Name, Q> {
    type SqlType = Q::SqlType;
}

impl<C, Name, Q> RunQueryDsl<C> for Cached<Name, Q> {}
