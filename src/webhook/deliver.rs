//! The job that delivers messages.
//!
//! A message is claimed in a transaction that says when the next attempt may be, long after this one has ended; then, outside of
//! it, it is sent. An instance that dies in between has sent it or not: **a message may come twice**, with the same
//! `webhook-id`, by which receivers know it.
//!
//! Emits: WebhookGone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::QueryResult;
use tokio::task::JoinSet;

use super::client::{Answer, Client, PATIENCE, Parcel};
use super::store::{self, Delivery, Endpoint};
use super::{EndpointId, State, schedule};
use crate::app::App;
use crate::audit::{self, Event, EventId};
use crate::clock::Timestamp;
use crate::db::{self, Tx};
use crate::http::origin::Origin;
use crate::random;

/// How many messages this instance sends at the same time.
const AT_ONCE: usize = 8;
/// How many of them to one endpoint: one that answers slowly keeps no other waiting.
const AT_ONCE_TO_ONE: usize = 2;
/// How often it looks for messages.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it looks whether another instance was told of an endpoint, while it knows of none.
const LOOK_FOR_ENDPOINTS: Duration = Duration::from_secs(60);
/// How often it counts those that wait.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// When a message whose sender is not heard of any more may be sent again.
const LEASE: Duration = Duration::from_secs(60);
const _: () = assert!(LEASE.as_secs() > 2 * PATIENCE.as_secs());

/// Delivers what is due, until it is dropped.
pub async fn run(app: &Arc<App>) {
    let mut work = Work::default();
    loop {
        // Whatever keeps the database from answering, its own layer has counted and told.
        while let Ok(true) = count(app).await {
            let counted_at = Instant::now();
            while counted_at.elapsed() < COUNT_EVERY {
                work.go_on(app).await;
            }
        }
        // Where there is nobody to tell, nothing is looked for but that.
        app.webhooks.listen(LOOK_FOR_ENDPOINTS).await;
    }
}

/// What this instance is at.
#[derive(Default)]
struct Work {
    /// Only who sends needs the machine's certificates.
    client: Option<Arc<Client>>,
    under_way: JoinSet<EndpointId>,
    busy: Busy,
}

impl Work {
    /// Begins to send what is due, as far as there is room, and waits for some of it to end.
    async fn go_on(&mut self, app: &Arc<App>) {
        while self.under_way.len() < AT_ONCE {
            let Ok(Some(claimed)) = claim(app, self.busy.endpoints()).await else { break };
            let Some(sending) = claimed else { continue };
            let endpoint = sending.key.0;
            self.busy.add(endpoint);
            let client = self.client.get_or_insert_with(|| Arc::new(Client::new(app.config.webhooks.policy())));
            let (app, client) = (Arc::clone(app), Arc::clone(client));
            self.under_way.spawn(async move {
                deliver(&app, client, sending).await;
                endpoint
            });
        }
        // A place that gets free is used at once; else the next look has its time.
        match tokio::time::timeout(LOOK_EVERY, self.under_way.join_next()).await {
            Ok(Some(Ok(endpoint))) => self.busy.remove(endpoint),
            Ok(Some(Err(_panicked))) => self.busy = Busy::default(),
            Ok(None) => tokio::time::sleep(LOOK_EVERY).await,
            Err(_) => {}
        }
    }
}

/// How many messages are under way to each endpoint.
#[derive(Default)]
struct Busy(BTreeMap<EndpointId, usize>);

impl Busy {
    fn endpoints(&self) -> Vec<EndpointId> {
        self.0.iter().filter(|(_, count)| **count >= AT_ONCE_TO_ONE).map(|(id, _)| *id).collect()
    }

    fn add(&mut self, endpoint: EndpointId) {
        *self.0.entry(endpoint).or_default() += 1;
    }

    fn remove(&mut self, endpoint: EndpointId) {
        if let Some(count) = self.0.get_mut(&endpoint) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Counts what waits; whether there is anybody to tell.
async fn count(app: &App) -> Result<bool, db::Error> {
    let (is_wanted, (waiting, oldest), now) =
        app.db.read("webhook.count", |tx| Ok((store::is_any_enabled(tx)?, store::count_waiting(tx)?, tx.now))).await?;
    app.metrics.webhooks_waiting.set(waiting);
    app.metrics.webhooks_oldest.set(oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64()));
    Ok(is_wanted || waiting > 0)
}

/// A message on its way.
struct Sending {
    key: (EndpointId, EventId),
    attempt: i64,
    parcel: Parcel,
}

/// Takes the message that is due; `None` if none is, `Some(None)` if it is not to be sent any more.
async fn claim(app: &App, busy: Vec<EndpointId>) -> Result<Option<Option<Sending>>, db::Error> {
    // On SQLite a look takes no turn from those who write.
    let looking = busy.clone();
    if !app.db.read("webhook.look", move |tx| store::is_any_due(tx, &looking)).await? {
        return Ok(None);
    }
    app.db
        .tx("webhook.claim", move |tx| {
            let Some(delivery) = store::lock_due(tx, &busy)? else { return Ok(None) };
            let endpoint = store::find_endpoint(tx, delivery.endpoint_id)?.filter(|endpoint| endpoint.is_enabled);
            let key = (delivery.endpoint_id, delivery.event_id);
            let Some(endpoint) = endpoint else {
                store::end_attempt(tx, key, delivery.attempts, State::Dead, None, "endpoint_disabled")?;
                return Ok(Some(None));
            };
            store::begin_attempt(tx, &delivery, tx.now + LEASE)?;
            let attempt = delivery.attempts + 1;
            Ok(Some(Some(Sending { key, attempt, parcel: pack(endpoint, delivery, tx.now) })))
        })
        .await
}

fn pack(endpoint: Endpoint, delivery: Delivery, now: Timestamp) -> Parcel {
    let (id, timestamp_seconds) = (delivery.event_id.to_string(), now.as_seconds());
    let previous = endpoint.previous_secret.filter(|_| endpoint.previous_expires_at.is_some_and(|end| end > now));
    let signatures: Vec<String> = std::iter::once(endpoint.secret)
        .chain(previous)
        .map(|secret| secret.sign(&id, timestamp_seconds, &delivery.body))
        .collect();
    Parcel { url: endpoint.url, id, timestamp_seconds, signatures: signatures.join(" "), body: delivery.body }
}

/// Sends one message, and notes what came of it.
async fn deliver(app: &App, client: Arc<Client>, sending: Sending) {
    let Sending { key, attempt, parcel } = sending;
    let answering = tokio::task::spawn_blocking(move || client.send(&parcel));
    let answer = match tokio::time::timeout(2 * PATIENCE, answering).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panicked)) => Answer::Nothing("panic"),
        Err(_) => Answer::Nothing("timeout"),
    };
    let outcome = Outcome::of(answer, attempt);
    let chance = random::bytes::<1>()[0];
    let noted = app.db.tx("webhook.note", move |tx| note(tx, key, attempt, answer, outcome, chance)).await;
    // If it could not be noted, the message comes once more; better than not at all.
    if let Ok(true) = noted {
        tell(app, key.0, attempt, answer, outcome);
    }
}

/// What is to be done with a message after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Delivered,
    TryAgain,
    GivenUp,
    /// The endpoint wants nothing any more.
    Gone,
}

impl Outcome {
    /// Any 2xx is a delivery (Standard Webhooks), 410 the wish to be left alone; a redirect is a failure like any other.
    fn of(answer: Answer, attempt: i64) -> Self {
        match answer {
            Answer::Status(200..=299) => Self::Delivered,
            Answer::Status(410) => Self::Gone,
            Answer::Status(_) | Answer::Nothing(_) if attempt < schedule::MAX_ATTEMPTS => Self::TryAgain,
            Answer::Status(_) | Answer::Nothing(_) => Self::GivenUp,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::TryAgain => "failed",
            Self::GivenUp => "given_up",
            Self::Gone => "gone",
        }
    }
}

fn note(
    tx: &mut Tx<'_>,
    key: (EndpointId, EventId),
    attempt: i64,
    answer: Answer,
    outcome: Outcome,
    chance: u8,
) -> QueryResult<bool> {
    let said = words(answer);
    let due_at = match outcome {
        Outcome::TryAgain => schedule::wait_after(attempt, chance).map(|wait| tx.now + wait),
        Outcome::Delivered | Outcome::GivenUp | Outcome::Gone => None,
    };
    let state = match outcome {
        Outcome::Delivered => State::Delivered,
        Outcome::TryAgain => State::Pending,
        Outcome::GivenUp | Outcome::Gone => State::Dead,
    };
    let noted = store::end_attempt(tx, key, attempt, state, due_at, &said)?;
    if outcome == Outcome::Gone {
        disable(tx, key.0)?;
    }
    Ok(noted)
}

/// Ends an endpoint that answered 410, and gives up what waits for it.
fn disable(tx: &mut Tx<'_>, id: EndpointId) -> QueryResult<()> {
    let Some(endpoint) = store::lock_endpoint(tx, id)?.filter(|endpoint| endpoint.is_enabled) else { return Ok(()) };
    store::update_endpoint(tx, &Endpoint { is_enabled: false, disabled_reason: Some("gone".to_owned()), ..endpoint })?;
    store::give_up_all(tx, id)?;
    audit::record(tx, &Origin::default(), &Event::WebhookGone { endpoint: id })
}

fn words(answer: Answer) -> String {
    match answer {
        Answer::Status(status) => status.to_string(),
        Answer::Nothing(reason) => reason.to_owned(),
    }
}

/// Counts and tells the outcome.
fn tell(app: &App, endpoint: EndpointId, attempts: i64, answer: Answer, outcome: Outcome) {
    app.metrics.webhook_deliveries.with_label_values(&[outcome.as_str()]).inc();
    let reason = words(answer);
    match outcome {
        Outcome::Delivered => tracing::debug!(%endpoint, attempts, "a message was delivered"),
        // The first failure of each is told; that it goes on is seen in the metrics.
        Outcome::TryAgain if attempts == 1 => {
            tracing::warn!(%endpoint, attempts, %reason, "a message could not be delivered; trying again later");
        }
        Outcome::TryAgain => tracing::debug!(%endpoint, attempts, %reason, "a message could not be delivered"),
        Outcome::GivenUp => tracing::error!(%endpoint, attempts, %reason, "a message was given up"),
        Outcome::Gone => tracing::warn!(%endpoint, "an endpoint answered 410 and is disabled"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_2xx_is_a_delivery_and_the_last_failure_ends_it() {
        for (status, outcome) in [
            (200, Outcome::Delivered),
            (204, Outcome::Delivered),
            (301, Outcome::TryAgain),
            (400, Outcome::TryAgain),
            (410, Outcome::Gone),
            (503, Outcome::TryAgain),
        ] {
            assert_eq!(Outcome::of(Answer::Status(status), 1), outcome, "{status}");
        }
        assert_eq!(Outcome::of(Answer::Nothing("timeout"), schedule::MAX_ATTEMPTS - 1), Outcome::TryAgain);
        assert_eq!(Outcome::of(Answer::Nothing("timeout"), schedule::MAX_ATTEMPTS), Outcome::GivenUp);
    }
}
