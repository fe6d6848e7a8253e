//! The queries on `webhook_endpoints` and `webhook_deliveries`.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::secret::EndpointSecret;
use super::{EndpointId, State};
use crate::audit::EventId;
use crate::audit::kinds::PublicType;
use crate::clock::Timestamp;
use crate::db::schema::{webhook_deliveries, webhook_endpoints};
use crate::db::types::{Key, Moment};
use crate::db::{Conn, Tx, on};

/// Whom to tell, and how.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = webhook_endpoints)]
pub(super) struct Endpoint {
    pub(super) id: EndpointId,
    pub(super) url: String,
    pub(super) description: Option<String>,
    pub(super) event_types: String,
    pub(super) secret: EndpointSecret,
    pub(super) previous_secret: Option<EndpointSecret>,
    pub(super) previous_expires_at: Option<Timestamp>,
    pub(super) is_enabled: bool,
    pub(super) disabled_reason: Option<String>,
    pub(super) created_at: Timestamp,
}

/// What an endpoint is told.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = webhook_deliveries)]
pub(super) struct Delivery {
    pub(super) endpoint_id: EndpointId,
    pub(super) event_id: EventId,
    pub(super) body: String,
    pub(super) event_type: String,
    pub(super) state: String,
    pub(super) attempts: i64,
    pub(super) due_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) last_attempt_at: Option<Timestamp>,
    pub(super) last_outcome: Option<String>,
}

/// A message for each endpoint that is enabled and wants this type.
pub(super) fn insert_for_all(tx: &mut Tx<'_>, event: EventId, r#type: PublicType, body: &str) -> QueryResult<()> {
    let wanted = format!("% {} %", r#type.as_str());
    let endpoints = webhook_endpoints::table
        .filter(webhook_endpoints::is_enabled)
        .filter(webhook_endpoints::event_types.eq("").or(webhook_endpoints::event_types.like(wanted)))
        .select((
            webhook_endpoints::id,
            event.into_sql::<Key>(),
            body.into_sql::<Text>(),
            r#type.as_str().into_sql::<Text>(),
            State::Pending.as_str().into_sql::<Text>(),
            0_i64.into_sql::<BigInt>(),
            Some(tx.now).into_sql::<Nullable<Moment>>(),
            tx.now.into_sql::<Moment>(),
        ));
    let insert = diesel::insert_into(webhook_deliveries::table).values(endpoints).into_columns((
        webhook_deliveries::endpoint_id,
        webhook_deliveries::event_id,
        webhook_deliveries::body,
        webhook_deliveries::event_type,
        webhook_deliveries::state,
        webhook_deliveries::attempts,
        webhook_deliveries::due_at,
        webhook_deliveries::created_at,
    ));
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

/// A message for one endpoint, whatever it wants.
pub(super) fn insert_delivery(
    tx: &mut Tx<'_>,
    endpoint: EndpointId,
    event: EventId,
    r#type: PublicType,
    body: &str,
) -> QueryResult<()> {
    let insert = diesel::insert_into(webhook_deliveries::table).values((
        webhook_deliveries::endpoint_id.eq(endpoint),
        webhook_deliveries::event_id.eq(event),
        webhook_deliveries::body.eq(body),
        webhook_deliveries::event_type.eq(r#type.as_str()),
        webhook_deliveries::state.eq(State::Pending.as_str()),
        webhook_deliveries::attempts.eq(0),
        webhook_deliveries::due_at.eq(tx.now),
        webhook_deliveries::created_at.eq(tx.now),
    ));
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

/// Whether anybody is to be told of anything.
pub(super) fn is_any_enabled(tx: &mut Tx<'_>) -> QueryResult<bool> {
    let query = diesel::select(diesel::dsl::exists(webhook_endpoints::table.filter(webhook_endpoints::is_enabled)));
    on!(tx.conn, |c| query.get_result(c))
}

/// How many messages wait, and since when the oldest of them does.
pub(super) fn count_waiting(tx: &mut Tx<'_>) -> QueryResult<(i64, Option<Timestamp>)> {
    let waiting = webhook_deliveries::table.filter(webhook_deliveries::due_at.is_not_null());
    let oldest = waiting.order(webhook_deliveries::created_at).select(webhook_deliveries::created_at);
    on!(tx.conn, |c| Ok((waiting.count().get_result(c)?, oldest.first(c).optional()?)))
}

/// Whether any message is due for an endpoint that is not `busy`.
pub(super) fn is_any_due(tx: &mut Tx<'_>, busy: &[EndpointId]) -> QueryResult<bool> {
    let due = webhook_deliveries::table
        .filter(webhook_deliveries::due_at.le(tx.now))
        .filter(webhook_deliveries::endpoint_id.ne_all(busy));
    let query = diesel::select(diesel::dsl::exists(due));
    on!(tx.conn, |c| query.get_result(c))
}

/// The message that has been due for longest to an endpoint that is not `busy`; nobody else gets it before this transaction
/// ends, and nobody waits for it.
pub(super) fn lock_due(tx: &mut Tx<'_>, busy: &[EndpointId]) -> QueryResult<Option<Delivery>> {
    let due = webhook_deliveries::table
        .filter(webhook_deliveries::due_at.le(tx.now))
        .filter(webhook_deliveries::endpoint_id.ne_all(busy))
        .order(webhook_deliveries::due_at)
        .limit(1);
    match tx.conn {
        Conn::Pg(c) => due.select(Delivery::as_select()).for_update().skip_locked().first(c).optional(),
        // The transaction began with the one lock there is.
        Conn::Sqlite(c) => due.select(Delivery::as_select()).first(c).optional(),
    }
}

/// Notes that an attempt begins, and when the next one may if nothing is heard of this one.
pub(super) fn begin_attempt(tx: &mut Tx<'_>, delivery: &Delivery, until: Timestamp) -> QueryResult<()> {
    let update = diesel::update(webhook_deliveries::table.find((delivery.endpoint_id, delivery.event_id))).set((
        webhook_deliveries::attempts.eq(delivery.attempts + 1),
        webhook_deliveries::last_attempt_at.eq(tx.now),
        webhook_deliveries::last_outcome.eq(None::<String>),
        webhook_deliveries::due_at.eq(until),
    ));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// Notes what came of the attempt of that number, unless the message was sent again meanwhile; whether it was noted.
pub(super) fn end_attempt(
    tx: &mut Tx<'_>,
    (endpoint, event): (EndpointId, EventId),
    attempt: i64,
    state: State,
    due_at: Option<Timestamp>,
    outcome: &str,
) -> QueryResult<bool> {
    let target = webhook_deliveries::table
        .find((endpoint, event))
        .filter(webhook_deliveries::attempts.eq(attempt))
        .filter(webhook_deliveries::state.eq(State::Pending.as_str()));
    let update = diesel::update(target).set((
        webhook_deliveries::state.eq(state.as_str()),
        webhook_deliveries::due_at.eq(due_at),
        webhook_deliveries::last_outcome.eq(outcome),
    ));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Gives up all that waits for an endpoint.
pub(super) fn give_up_all(tx: &mut Tx<'_>, endpoint: EndpointId) -> QueryResult<usize> {
    let target = webhook_deliveries::table
        .filter(webhook_deliveries::endpoint_id.eq(endpoint))
        .filter(webhook_deliveries::state.eq(State::Pending.as_str()));
    let update = diesel::update(target)
        .set((webhook_deliveries::state.eq(State::Dead.as_str()), webhook_deliveries::due_at.eq(None::<Timestamp>)));
    on!(tx.conn, |c| update.execute(c))
}

/// Has what was given up sent again, or one message whatever became of it; how many.
pub(super) fn send_again(tx: &mut Tx<'_>, endpoint: EndpointId, event: Option<EventId>) -> QueryResult<usize> {
    let again = (
        webhook_deliveries::state.eq(State::Pending.as_str()),
        webhook_deliveries::attempts.eq(0),
        webhook_deliveries::due_at.eq(tx.now),
    );
    match event {
        Some(event) => {
            let update = diesel::update(webhook_deliveries::table.find((endpoint, event))).set(again);
            on!(tx.conn, |c| update.execute(c))
        }
        None => {
            let target = webhook_deliveries::table
                .filter(webhook_deliveries::endpoint_id.eq(endpoint))
                .filter(webhook_deliveries::state.eq(State::Dead.as_str()));
            let update = diesel::update(target).set(again);
            on!(tx.conn, |c| update.execute(c))
        }
    }
}

/// The messages of an endpoint, newest first, at most `limit`, older than `before` if that is given.
pub(super) fn list_deliveries(
    tx: &mut Tx<'_>,
    endpoint: EndpointId,
    before: Option<EventId>,
    limit: i64,
) -> QueryResult<Vec<Delivery>> {
    on!(tx.conn, |c| {
        let mut query = webhook_deliveries::table
            .filter(webhook_deliveries::endpoint_id.eq(endpoint))
            .select(Delivery::as_select())
            .into_boxed();
        if let Some(before) = before {
            query = query.filter(webhook_deliveries::event_id.lt(before));
        }
        query.order(webhook_deliveries::event_id.desc()).limit(limit).load(c)
    })
}

pub(super) fn insert_endpoint(
    tx: &mut Tx<'_>,
    url: &str,
    description: Option<&str>,
    event_types: &str,
    secret: &EndpointSecret,
) -> QueryResult<EndpointId> {
    let id = EndpointId::new(tx.now);
    let insert = diesel::insert_into(webhook_endpoints::table).values((
        webhook_endpoints::id.eq(id),
        webhook_endpoints::url.eq(url),
        webhook_endpoints::description.eq(description),
        webhook_endpoints::event_types.eq(event_types),
        webhook_endpoints::secret.eq(secret),
        webhook_endpoints::is_enabled.eq(true),
        webhook_endpoints::created_at.eq(tx.now),
    ));
    on!(tx.conn, |c| insert.execute(c))?;
    Ok(id)
}

pub(super) fn find_endpoint(tx: &mut Tx<'_>, id: EndpointId) -> QueryResult<Option<Endpoint>> {
    let query = webhook_endpoints::table.find(id);
    on!(tx.conn, |c| query.select(Endpoint::as_select()).first(c).optional())
}

/// Reads and locks an endpoint.
pub(super) fn lock_endpoint(tx: &mut Tx<'_>, id: EndpointId) -> QueryResult<Option<Endpoint>> {
    let query = webhook_endpoints::table.find(id);
    match tx.conn {
        Conn::Pg(c) => query.select(Endpoint::as_select()).for_update().first(c).optional(),
        // The transaction began with the one lock there is.
        Conn::Sqlite(c) => query.select(Endpoint::as_select()).first(c).optional(),
    }
}

/// Endpoints, oldest first, at most `limit`, after `after` if that is given.
pub(super) fn list_endpoints(tx: &mut Tx<'_>, after: Option<EndpointId>, limit: i64) -> QueryResult<Vec<Endpoint>> {
    let after = after.unwrap_or_else(|| EndpointId::least(Timestamp::from_micros(0)));
    let query =
        webhook_endpoints::table.filter(webhook_endpoints::id.gt(after)).order(webhook_endpoints::id).limit(limit);
    on!(tx.conn, |c| query.select(Endpoint::as_select()).load(c))
}

/// Writes a locked endpoint.
pub(super) fn update_endpoint(tx: &mut Tx<'_>, endpoint: &Endpoint) -> QueryResult<()> {
    let update = diesel::update(webhook_endpoints::table.find(endpoint.id)).set((
        webhook_endpoints::url.eq(&endpoint.url),
        webhook_endpoints::description.eq(endpoint.description.as_deref()),
        webhook_endpoints::event_types.eq(&endpoint.event_types),
        webhook_endpoints::secret.eq(&endpoint.secret),
        webhook_endpoints::previous_secret.eq(endpoint.previous_secret.as_ref()),
        webhook_endpoints::previous_expires_at.eq(endpoint.previous_expires_at),
        webhook_endpoints::is_enabled.eq(endpoint.is_enabled),
        webhook_endpoints::disabled_reason.eq(endpoint.disabled_reason.as_deref()),
    ));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// Removes a locked endpoint with all its messages.
pub(super) fn delete_endpoint(tx: &mut Tx<'_>, id: EndpointId) -> QueryResult<()> {
    let messages = diesel::delete(webhook_deliveries::table.filter(webhook_deliveries::endpoint_id.eq(id)));
    on!(tx.conn, |c| messages.execute(c))?;
    let endpoint = diesel::delete(webhook_endpoints::table.find(id));
    on!(tx.conn, |c| endpoint.execute(c)).map(|_| ())
}

/// Removes at most `limit` messages of events before `before` that no attempt is made for any more.
pub(crate) fn delete_old(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> QueryResult<usize> {
    let old = webhook_deliveries::table
        .filter(webhook_deliveries::event_id.lt(EventId::least(before)))
        .filter(webhook_deliveries::due_at.is_null())
        .order(webhook_deliveries::event_id)
        .limit(limit)
        .select((webhook_deliveries::endpoint_id, webhook_deliveries::event_id));
    let old: Vec<(EndpointId, EventId)> = on!(tx.conn, |c| old.load(c))?;
    old.into_iter().try_fold(0, |removed, key| {
        // One that was asked for again meanwhile stays.
        let target = webhook_deliveries::table.find(key).filter(webhook_deliveries::due_at.is_null());
        let delete = diesel::delete(target);
        Ok(removed + on!(tx.conn, |c| delete.execute(c))?)
    })
}
