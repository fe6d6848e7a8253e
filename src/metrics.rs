//! What operators scrape: every metric name of the service, in one place.
//!
//! A label only ever takes values that this source names (a route's pattern, never a path; an outcome, never a user).

use std::sync::Arc;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

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
        let mut text = Vec::with_capacity(16 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "could not render the metrics");
        }
        String::from_utf8_lossy(&text).into_owned()
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

/// Declares the table, so that a metric is named, described and registered in a single place.
macro_rules! metrics {
    ($($field:ident: $kind:ident $labels:tt = $name:literal, $help:literal;)*) => {
        /// The handles, one for each metric.
        #[expect(missing_docs, reason = "each handle's help text says what it counts")]
        pub struct Table {
            registry: Registry,
            $(pub $field: metrics!(@type $kind),)*
        }

        impl Table {
            fn new(registry: Registry) -> Self {
                $(
                    let $field = metrics!(@make $kind $labels $name, $help);
                    registry.register(Box::new($field.clone())).expect("metric names are distinct and well-formed");
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
    (@make histogram [] $name:literal, $help:literal) => {
        Histogram::with_opts(HistogramOpts::new($name, $help).buckets(LATENCY_BUCKETS_SECONDS.to_vec()))
            .expect("well-formed")
    };
    (@make histograms $labels:tt $name:literal, $help:literal) => {
        HistogramVec::new(HistogramOpts::new($name, $help).buckets(LATENCY_BUCKETS_SECONDS.to_vec()), &$labels)
            .expect("well-formed")
    };
}

metrics! {
    build_info: gauges ["version"] = "signet_build_info", "Always 1; the label is the version.";
    http_requests: counters ["method", "route", "status"] =
        "signet_http_requests_total", "Requests answered, by route pattern, method and status.";
    http_latency: histograms ["method", "route"] =
        "signet_http_request_duration_seconds", "Time from a request's head to its answer's head.";
    http_panics: counter [] = "signet_http_panics_total", "Requests that ended in a defect of ours and were answered 500.";
    registrations: counters ["outcome"] = "signet_registrations_total", "Registrations, by outcome.";
    logins: counters ["outcome"] = "signet_logins_total", "Password checks at log-in, by outcome.";
    refreshes: counters ["outcome"] = "signet_refreshes_total", "Refreshes, by the row of the state table that answered.";
    hash_queue: gauge [] = "signet_hash_queue_depth", "Password hashes waiting for a thread.";
    hash_wait: histogram [] = "signet_hash_wait_seconds", "Time a password hash waited for a thread.";
    hash_time: histogram [] = "signet_hash_duration_seconds", "Time one password hash took.";
    hash_shed: counter [] = "signet_hash_shed_total", "Password hashes refused because the wait would have been too long.";
    database_pool_size: gauge [] = "signet_database_pool_size", "Connections that the pool may open.";
    database_connections_in_use: gauge [] = "signet_database_connections_in_use", "Connections at work.";
    database_wait: histogram [] = "signet_database_wait_seconds", "Time a unit of work waited for its turn.";
    database_transactions: histograms ["name"] =
        "signet_database_transaction_duration_seconds", "Time of each named unit of work, retries included.";
    database_retries: counters ["name"] =
        "signet_database_retries_total", "Transactions begun afresh after a serialization failure or deadlock.";
    keys: gauges ["state"] = "signet_keys", "Keys in the ring, by state.";
    key_reload_failures: counter [] =
        "signet_key_reload_failures_total", "Reads of the key folder that failed; the last good ring stayed.";
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
}
