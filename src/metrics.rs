//! What operators scrape: every metric name of the service, in one place. `docs/metrics.md` is made from it.
//!
//! A label only ever takes values that this source names (a route's pattern, never a path; an outcome, never a user).
//! Where they are known beforehand, every series is there from the start, at zero: a counter that appears with its first
//! event hides that event from `rate`.

#[cfg(test)]
mod deployed;
#[cfg(test)]
mod reference;

use std::sync::Arc;

use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use self::Values::{Described, Known};

/// Latencies from 100 µs, a cached answer, to 10 s, the longest that a request may take.
const LATENCY_BUCKETS_SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// All metrics of one running service; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Table>);

impl std::ops::Deref for Metrics {
    type Target = Table;
    fn deref(&self) -> &Table {
        &self.0
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Table::new(Registry::new())))
    }
}

impl Metrics {
    /// The text exposition format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::with_capacity(64 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "could not render the metrics");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Table {
    /// Counts a token out of a mail that was presented.
    pub(crate) fn count_one_time_token(&self, worked: bool) {
        let outcome = if worked { "used" } else { "refused" };
        self.one_time_tokens.with_label_values(&[outcome]).inc();
    }
}

/// Adds one for as long as the guard lives.
pub(crate) trait Hold {
    fn hold(&self) -> Held;
}

pub(crate) struct Held(IntGauge);

impl Hold for IntGauge {
    fn hold(&self) -> Held {
        self.inc();
        Held(self.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A row of the table, for the reference.
#[cfg_attr(not(test), expect(dead_code, reason = "only the reference reads more than the labels"))]
struct Row {
    name: &'static str,
    kind: &'static str,
    labels: &'static [Label],
    help: &'static str,
}

/// What tells the series of one metric apart.
#[cfg_attr(not(test), expect(dead_code, reason = "only the reference reads the name"))]
struct Label {
    name: &'static str,
    values: Values,
}

/// What a label can say.
enum Values {
    /// One of these.
    Known(&'static [&'static str]),
    /// One of a set that other parts of the source name, in words for the reference.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the reference reads the words"))]
    Described(&'static str),
}

/// Makes the series of a label whose values are known.
trait KnownSeries {
    fn make_known_series(&self, labels: &[Label]);
}

impl<B: MetricVecBuilder> KnownSeries for MetricVec<B> {
    fn make_known_series(&self, labels: &[Label]) {
        if let [Label { values: Known(values), .. }] = labels {
            for value in *values {
                self.with_label_values(&[value]);
            }
        }
    }
}

/// Declares the table, so that a metric is named, described and registered in a single place.
macro_rules! metrics {
    ($($field:ident: $kind:ident {$($label:ident: $values:expr),*} = $name:literal, $help:literal;)*) => {
        /// The handles, one for each metric.
        #[expect(missing_docs, reason = "each handle's help text says what it counts")]
        pub struct Table {
            registry: Registry,
            $(pub $field: metrics!(@type $kind),)*
        }

        const ROWS: &[Row] = &[$(Row {
            name: $name,
            kind: stringify!($kind),
            labels: &[$(Label { name: stringify!($label), values: $values }),*],
            help: $help,
        }),*];

        impl Table {
            fn new(registry: Registry) -> Self {
                let mut rows = ROWS.iter();
                $(
                    let $field = metrics!(@make $kind [$(stringify!($label)),*] $name, $help);
                    registry.register(Box::new($field.clone())).expect("metric names are distinct and well-formed");
                    let row = rows.next().expect("as many rows as handles");
                    metrics!(@make_known_series $kind $field, row);
                )*
                #[cfg(target_os = "linux")]
                registry
                    .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
                    .expect("the process metrics are registered once");
                Self { registry, $($field,)* }
            }
        }
    };
    (@type counter) => { IntCounter };
    (@type counters) => { IntCounterVec };
    (@type gauge) => { IntGauge };
    (@type gauges) => { IntGaugeVec };
    (@type seconds) => { Gauge };
    (@type histogram) => { Histogram };
    (@type histograms) => { HistogramVec };
    (@make counter [] $name:literal, $help:literal) => { IntCounter::new($name, $help).expect("well-formed") };
    (@make counters $labels:tt $name:literal, $help:literal) => {
        IntCounterVec::new(Opts::new($name, $help), &$labels).expect("well-formed")
    };
    (@make gauge [] $name:literal, $help:literal) => { IntGauge::new($name, $help).expect("well-formed") };
    (@make gauges $labels:tt $name:literal, $help:literal) => {
        IntGaugeVec::new(Opts::new($name, $help), &$labels).expect("well-formed")
    };
    (@make seconds [] $name:literal, $help:literal) => { Gauge::new($name, $help).expect("well-formed") };
    (@make histogram [] $name:literal, $help:literal) => {
        Histogram::with_opts(HistogramOpts::new($name, $help).buckets(LATENCY_BUCKETS_SECONDS.to_vec()))
            .expect("well-formed")
    };
    (@make histograms $labels:tt $name:literal, $help:literal) => {
        HistogramVec::new(HistogramOpts::new($name, $help).buckets(LATENCY_BUCKETS_SECONDS.to_vec()), &$labels)
            .expect("well-formed")
    };
    (@make_known_series counters $field:ident, $row:ident) => { $field.make_known_series($row.labels) };
    (@make_known_series gauges $field:ident, $row:ident) => { $field.make_known_series($row.labels) };
    (@make_known_series histograms $field:ident, $row:ident) => { $field.make_known_series($row.labels) };
    // What has no labels is one series, and there from the start.
    (@make_known_series $kind:ident $field:ident, $row:ident) => { let _ = $row; };
}

const METHODS: Values = Described("`GET`, `HEAD`, `POST`, `PATCH`, `PUT`, `DELETE`, `OPTIONS`, or `(other)`");
const ROUTES: Values = Described("a pattern of the table of routes, as `/v1/auth/sessions/{id}`, or `(none)`");
const STATUSES: Values = Described("three digits");
const WORK: Values = Described("the name that the source gives to the unit of work, as `session.rotate`");
/// What may go wrong with any request, whoever asks: the codes of [`Error`](crate::error::Error).
macro_rules! outcomes {
    ($($own:literal),*) => { Known(&[$($own,)* "overloaded", "unavailable", "internal"]) };
}

metrics! {
    build_info: gauges {
        version: Described("the release"),
        revision: Described("what `SIGNET_REVISION` said when the program was built, or `unknown`")
    } = "signet_build_info", "Always 1; the labels say which build this is.";
    http_requests: counters { method: METHODS, route: ROUTES, status: STATUSES } =
        "signet_http_requests_total", "Requests answered, by route pattern, method and status.";
    http_latency: histograms { method: METHODS, route: ROUTES } =
        "signet_http_request_duration_seconds", "Time from a request's head to its answer's head; whole tenths of a second where it must not tell who has an account.";
    http_panics: counter {} =
        "signet_http_panics_total", "Requests that ended in a defect of ours and were answered 500.";
    draining: gauge {} =
        "signet_draining", "1 from the order to stop on, while the last requests are answered; else 0.";
    registrations: counters {
        outcome: outcomes!(
            "success", "pending", "repeated", "email_taken", "forbidden", "invalid_one_time_token", "too_many_requests"
        )
    } =
        "signet_registrations_total", "Registrations of well-formed accounts, by outcome.";
    logins: counters {
        outcome: outcomes!(
            "success", "mfa_required", "wrong_password", "unknown_user", "disabled", "unverified", "changed_meanwhile",
            "too_many_requests"
        )
    } = "signet_logins_total", "Log-ins with a password, by outcome; one of two steps is counted at each.";
    second_factors: counters {
        outcome: outcomes!("totp", "recovery_code", "wrong_code", "used_code", "unknown", "too_many_requests")
    } = "signet_second_factors_total",
        "Second steps of log-ins, by the factor that was right or by what was wrong; unknown: the first step was over.";
    refreshes: counters {
        outcome: outcomes!(
            "rotated", "repeated", "recovered", "reused", "revoked", "expired", "disabled", "unknown", "mangled",
            "other_client", "scope_exceeded"
        )
    } = "signet_refreshes_total", "Refreshes, by the row of the state table that answered.";
    api_key_uses: counters {
        outcome: outcomes!(
            "success", "mangled", "unknown", "wrong_secret", "superseded", "revoked", "expired", "owner_disabled"
        )
    } = "signet_api_key_uses_total", "API keys that were presented, to be exchanged or by themselves, by outcome.";
    throttled: counters { limit: Known(&crate::throttle::bucket::Limit::NAMES) } =
        "signet_throttled_total", "Requests answered 429, by the limit that they met.";
    reuse_detections: counter {} = "signet_token_reuse_total",
        "Sessions ended because a superseded refresh token was presented, at a refresh or a log-out: two parties held them.";
    hash_threads: gauge {} = "signet_hash_threads", "Threads that hash passwords.";
    hash_queue: gauge {} = "signet_hash_queue_depth", "Password hashes waiting for a thread.";
    hash_wait: histogram {} = "signet_hash_wait_seconds", "Time a password hash waited for a thread.";
    hash_time: histogram {} = "signet_hash_duration_seconds", "Time one password hash took.";
    hash_shed: counter {} =
        "signet_hash_shed_total", "Password hashes refused because the wait would have been too long.";
    database_pool_size: gauge {} = "signet_database_pool_size", "Connections that the pool may open.";
    database_connections_in_use: gauge {} = "signet_database_connections_in_use", "Connections at work.";
    database_wait: histogram {} = "signet_database_wait_seconds", "Time a unit of work waited for its turn.";
    database_transactions: histograms { name: WORK } =
        "signet_database_transaction_duration_seconds", "Time of each named unit of work, retries included.";
    database_retries: counters { name: WORK } =
        "signet_database_retries_total", "Transactions begun afresh after a serialization failure or deadlock.";
    database_failures: counters { kind: Known(&crate::db::Kind::NAMES) } =
        "signet_database_failures_total", "Units of work that the database did not do, by what kept it from it.";
    database_clock_offset: gauge {} = "signet_database_clock_offset_seconds",
        "How far the database's clock was ahead of ours when readiness was last asked; 0 on SQLite.";
    ready: gauges { part: Described("the members of the answer of `/health/ready`") } =
        "signet_ready", "1 if this part was well when readiness was last asked, else 0; not each of them decides.";
    trace_spans: counters { outcome: Known(&["exported", "failed", "dropped"]) } = "signet_trace_spans_total",
        "Spans for the trace collector: exported, failed (not taken) or dropped (the queue was full).";
    keys: gauges { state: Known(&crate::token::keyring::State::NAMES) } = "signet_keys", "Keys in the ring, by state.";
    key_next_activation: seconds {} = "signet_key_next_activation_seconds",
        "Time until the next key begins to sign; +Inf while none is scheduled.";
    key_signing_age: seconds {} = "signet_key_signing_age_seconds",
        "Time since the signing key's own time; +Inf if its file name is no time, NaN while nothing signs.";
    keys_read_age: seconds {} =
        "signet_keys_read_age_seconds", "Time since the key folder was last read without fault, every 5 s if all is well.";
    key_reload_failures: counter {} =
        "signet_key_reload_failures_total", "Reads of the key folder that failed; the last good ring stayed.";
    one_time_tokens: counters { outcome: Known(&["used", "refused"]) } = "signet_one_time_tokens_total",
        "Tokens out of mails that were presented, by whether they worked.";
    mails: counters { outcome: Known(&["sent", "failed", "given_up", "dropped"]) } = "signet_mails_total",
        "Attempts to send a mail: sent, failed (to be tried again) or given up; dropped: there was nothing to send any more.";
    mails_waiting: gauge {} = "signet_mails_waiting", "Mails in the outbox when this instance last looked.";
    mails_oldest: seconds {} = "signet_mail_oldest_waiting_seconds",
        "Age of the oldest mail in the outbox when this instance last looked; 0 if it was empty.";
    webhook_deliveries: counters { outcome: Known(&["delivered", "failed", "given_up", "gone"]) } =
        "signet_webhook_deliveries_total",
        "Attempts to deliver a message to an endpoint: delivered, failed (to be tried again), given up, or answered 410 (gone).";
    webhooks_waiting: gauge {} =
        "signet_webhooks_waiting", "Messages that wait to be delivered, first time or again, when this instance last counted.";
    webhooks_oldest: seconds {} =
        "signet_webhook_oldest_waiting_seconds", "Age of the oldest message that waits, when this instance last counted.";
    audit_head: gauge {} = "signet_audit_sealed_position",
        "Events of the audit trail that were ever sealed, as far as this instance knows: the one that leads in it knows all.";
    audit_seal_lag: seconds {} = "signet_audit_seal_lag_seconds",
        "Age of the oldest event that had no seal when this instance, if it leads in sealing, last looked; else 0.";
    audit_sealed: gauge {} = "signet_audit_seal_last_success_timestamp_seconds",
        "When this instance last sealed all there was; one at a time seals, so look at the newest of all instances.";
    purged_rows: counters {
        table: Known(&crate::cleanup::Table::NAMES)
    } =
        "signet_purged_rows_total", "Rows that this instance removed because they were over, by table.";
    purge_duration: seconds {} =
        "signet_purge_duration_seconds", "Time that this instance's last whole pass of removing took.";
    purge_last_success: gauge {} = "signet_purge_last_success_timestamp_seconds",
        "When this instance last ended a pass of removing; one at a time works, so look at the newest of all instances.";
    purge_failures: counters { reason: Known(&["clock", "database"]) } = "signet_purge_failures_total",
        "Passes of removing that failed: the database was away, or the clock is ahead of the database's.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::default();
        metrics.logins.with_label_values(&["success"]).inc();
        let held = metrics.database_connections_in_use.hold();
        let text = metrics.render();
        assert!(text.contains("signet_logins_total{outcome=\"success\"} 1"), "{text}");
        assert!(text.contains("signet_database_connections_in_use 1"), "{text}");
        drop(held);
        assert!(metrics.render().contains("signet_database_connections_in_use 0"));
    }

    #[test]
    fn every_known_value_is_there_at_zero_from_the_start() {
        let text = Metrics::default().render();
        let mut seen = 0;
        for row in ROWS {
            for Label { name, values } in row.labels {
                let Known(values) = values else { continue };
                for value in *values {
                    let line = format!("{}{{{name}=\"{value}\"}} 0\n", row.name);
                    assert!(text.contains(&line), "{line} is not in\n{text}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 30, "{seen}");
    }
}
