//! The job that empties the outbox.
//!
//! A letter is claimed in a transaction that also makes the token it carries and says when the next attempt may be, long
//! after this one has ended. Then, outside of it, the mail is sent. An instance that dies in between has sent nothing, or a
//! mail whose token a later one replaces: **a mail may come twice, and then the newer one works**.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Failure, Kind, Letter, Message, Post, store};
use crate::account::letters::{self, Terms};
use crate::app::App;
use crate::db;

/// How many mails this instance sends at the same time.
pub(super) const COURIERS: usize = 4;
/// How often it looks for letters that other instances, or commands, have put in, and for those that are due again.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long an attempt may take as a whole.
pub(super) const PATIENCE: Duration = Duration::from_secs(45);
/// How long after an attempt began the next one may: longer than any attempt, and twice as long each time.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Two hours in all. Whoever wanted the mail has asked again since.
const MAX_ATTEMPTS: i64 = 8;

/// Sends what is due, until it is dropped.
pub async fn run(app: &Arc<App>) {
    let Some(post) = app.mail.post.clone() else { return };
    let mut under_way = JoinSet::new();
    loop {
        // Whatever keeps the database from answering, its own layer has counted and told.
        if let Ok(true) = look(app).await {
            loop {
                // Before a letter is claimed: its time runs from then on.
                if under_way.len() >= COURIERS {
                    under_way.join_next().await;
                }
                let (letter, message) = match claim(app).await {
                    Ok(Some(Claim::Send(letter, message))) => (letter, message),
                    Ok(Some(Claim::Dropped)) => continue,
                    Ok(None) | Err(_) => break,
                };
                let (app, post) = (Arc::clone(app), Arc::clone(&post));
                under_way.spawn(async move { deliver(&app, post, letter, message).await });
            }
        }
        while under_way.try_join_next().is_some() {}
        app.mail.outbox.listen(LOOK_EVERY).await;
    }
}

/// Whether anything is due.
async fn look(app: &App) -> Result<bool, db::Error> {
    let ((waiting, due, oldest), now) = app.db.read("mail.look", |tx| Ok((store::count_waiting(tx)?, tx.now))).await?;
    app.metrics.mails_waiting.set(waiting);
    app.metrics.mails_oldest.set(oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64()));
    Ok(due > 0)
}

/// What became of a letter that was due.
enum Claim {
    Send(Letter, Box<Message>),
    /// Nothing is to be sent any more.
    Dropped,
}

/// Takes the letter that is due, and makes the message of it; `None` if no letter is.
async fn claim(app: &App) -> Result<Option<Claim>, db::Error> {
    let terms = Terms {
        token_ttl: app.config.mail.token_ttl.0,
        nobodys_hash: app.hasher.nobodys_hash(),
        throttle: app.config.throttle.clone(),
    };
    let claimed = app
        .db
        .tx("mail.claim", move |tx| {
            let Some(mut letter) = store::lock_due(tx)? else { return Ok(None) };
            letter.attempts += 1;
            let message = if letter.attempts > MAX_ATTEMPTS { None } else { letters::compose(tx, &letter, &terms)? };
            let Some(message) = message else {
                store::delete_letter(tx, letter.id)?;
                return Ok(Some((Claim::Dropped, letter.attempts)));
            };
            store::postpone(tx, letter.id, tx.now + wait_after(letter.attempts))?;
            let attempts = letter.attempts;
            Ok(Some((Claim::Send(letter, Box::new(message)), attempts)))
        })
        .await?;
    Ok(claimed.map(|(claim, attempts)| {
        if matches!(claim, Claim::Dropped) {
            let outcome = if attempts > MAX_ATTEMPTS { "given_up" } else { "dropped" };
            app.metrics.mails.with_label_values(&[outcome]).inc();
        }
        claim
    }))
}

fn wait_after(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts - 1).unwrap_or(u32::MAX).min(16);
    FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
}

/// Sends one mail, and takes its letter out if that is the end of it.
async fn deliver(app: &App, post: Arc<Post>, letter: Letter, message: Box<Message>) {
    let now = app.clock.now();
    let (id, kind, attempts) = (letter.id, letter.kind, letter.attempts);
    let links = app.mail.links.clone();
    let sending = tokio::task::spawn_blocking(move || post.send(&letter, &message, &links, now));
    let outcome = match tokio::time::timeout(PATIENCE, sending).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panicked)) => Err(Failure::ForNow("panic")),
        Err(_) => Err(Failure::ForNow("timeout")),
    };
    // If this fails the mail comes once more; better than not at all.
    let _ = match note(app, kind, attempts, outcome) {
        Next::Sent => app.db.tx("mail.sent", move |tx| store::finish(tx, id)).await,
        Next::TryAgain => Ok(()),
        Next::GivenUp => app.db.tx("mail.give_up", move |tx| store::delete_letter(tx, id)).await,
    };
    app.mail.outbox.ring();
}

/// What is to be done with a letter after an attempt.
enum Next {
    Sent,
    TryAgain,
    GivenUp,
}

/// Counts and tells the outcome.
fn note(app: &App, kind: Kind, attempts: i64, outcome: Result<(), Failure>) -> Next {
    let mail = kind.as_str();
    let (counted, next) = match outcome {
        Ok(()) => {
            tracing::debug!(mail, attempts, "a mail was sent");
            ("sent", Next::Sent)
        }
        Err(reason @ Failure::ForNow(_)) if attempts < MAX_ATTEMPTS => {
            tracing::warn!(mail, attempts, %reason, "a mail could not be sent; trying again later");
            ("failed", Next::TryAgain)
        }
        Err(reason) => {
            tracing::error!(mail, attempts, %reason, "a mail was given up");
            ("given_up", Next::GivenUp)
        }
    };
    app.metrics.mails.with_label_values(&[counted]).inc();
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_outlast_every_attempt() {
        let minutes: Vec<u64> = (1..=MAX_ATTEMPTS).map(|attempt| wait_after(attempt).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(PATIENCE < FIRST_WAIT);
        assert_eq!(wait_after(i64::MAX), LONGEST_WAIT);
    }
}
