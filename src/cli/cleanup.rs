//! `signet cleanup`: remove what is over, once and now.

use std::path::Path;

use super::{Failure, block_on, config_of_command, open_database};
use crate::cleanup::{self, Removed};
use crate::clock::Clock;
use crate::metrics::Metrics;

pub(super) fn run(path: Option<&Path>) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    // A retention that `serve` refuses must not be obeyed here either.
    if let Some(finding) = config.findings().into_iter().find(|finding| finding.starts_with("cleanup.")) {
        return Err(finding.into());
    }
    let db = open_database(&config)?;
    match block_on(cleanup::pass(&db, &config, &Clock::system(), &Metrics::default()))?? {
        Some(removed) => {
            let Removed { sessions, audit_events, one_time_tokens, throttles, known_sources, api_keys, .. } = removed;
            let (places, users, webhooks) = (removed.api_key_sources, removed.users, removed.webhook_deliveries);
            let (steps, keys) = (removed.second_factors, removed.idempotency_keys);
            println!(
                "removed: {sessions} session(s), {audit_events} audit event(s), {one_time_tokens} one-time token(s), \
                 {steps} second step(s), {throttles} throttle(s), {known_sources} known source(s), {api_keys} API key(s), \
                 {places} place(s) that a key was used from, {users} user(s), {webhooks} webhook(s), \
                 {keys} idempotency key(s)"
            );
        }
        None => println!("nothing done: another instance is at it"),
    }
    Ok(())
}
