//! Webhooks: siblings are told of what happens to users and sessions, by signed messages (Standard Webhooks 1.0).
//!
//! A message is written for each endpoint in the transaction of its event, from one place ([`put`], which
//! [`audit::record`](crate::audit) calls), and delivered by a job ([`deliver`]). So nothing is told that did not happen, nothing
//! that happened is forgotten, and a receiver that is away is nobody's trouble.
//!
//! [`address`] and [`schedule`] are rules; [`endpoints`], [`endpoint`] and [`deliveries`] are what administrators do.
//!
//! Owns: webhook_endpoints, webhook_deliveries.  Emits: WebhookManaged, WebhookGone.

pub mod address;
mod client;
pub mod deliver;
pub mod deliveries;
pub mod endpoint;
pub mod endpoints;
mod fields;
pub mod schedule;
pub mod secret;
mod store;

use std::time::Duration;

use diesel::QueryResult;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::audit::EventId;
use crate::audit::kinds::PublicType;
use crate::db::Tx;
use crate::db::types::id;
pub(crate) use store::delete_old;

id! {
    /// Names an endpoint.
    EndpointId
}

/// What has become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is to be sent, or sent again.
    Pending,
    /// It was taken.
    Delivered,
    /// It was given up.
    Dead,
}

impl State {
    const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The name in the column and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Tells the job of this instance that there is somebody to tell. The others find out by themselves.
#[derive(Debug, Default)]
pub struct Bell(Notify);

impl Bell {
    fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody rings, or `patience` ends.
    async fn listen(&self, patience: Duration) {
        drop(tokio::time::timeout(patience, self.0.notified()).await);
    }
}

/// Has an event told to every endpoint that wants events of its type, if the transaction is committed: one statement, however
/// many there are.
pub(crate) fn put(tx: &mut Tx<'_>, event: EventId, r#type: PublicType, data: &Value) -> QueryResult<()> {
    store::insert_for_all(tx, event, r#type, &body(tx, r#type, data))
}

/// The same for many events at once, which mostly concern nobody: then it is asked once whether there is anybody.
pub(crate) fn put_all(tx: &mut Tx<'_>, events: Vec<(EventId, (PublicType, Value))>) -> QueryResult<()> {
    if events.is_empty() || !store::is_any_enabled(tx)? {
        return Ok(());
    }
    events.iter().try_for_each(|(event, (r#type, data))| put(tx, *event, *r#type, data))
}

/// The bytes that are signed and sent.
fn body(tx: &Tx<'_>, r#type: PublicType, data: &Value) -> String {
    json!({"type": r#type.as_str(), "timestamp": tx.now, "data": data}).to_string()
}
