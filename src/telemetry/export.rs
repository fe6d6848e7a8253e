//! Sends spans to a collector: OTLP over HTTP, as protobuf (`traces.endpoint`).
//!
//! No request ever waits for it or fails because of it. Spans go into a bounded queue and are sent by a thread of its own;
//! what does not fit and what the collector does not take is counted and forgotten, and a collector that is away is
//! reported once, not every five seconds.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use async_trait::async_trait;
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter as Otlp, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingDecision, SamplingResult, SdkTracer, SdkTracerProvider,
    ShouldSample, Span, SpanData, SpanExporter, SpanProcessor,
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::trace_context::{Parent, TraceId, trace_state};
use crate::config::{TracesConfig, one_line};
use crate::metrics::Metrics;

/// Spans that may wait to be sent, some 1 KiB each.
const MAX_QUEUE: usize = 4096;
/// Spans in one request to the collector.
const MAX_BATCH: usize = 512;
/// How often what waits is sent, unless a batch is full before.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long the collector may take to accept a batch.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the process is held up for the last spans.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The way to the collector; the last spans are sent when this is dropped.
pub struct Export {
    provider: SdkTracerProvider,
    count: Arc<Count>,
}

impl Export {
    /// Makes ready to send; nothing is sent before there are spans. The configuration must have been checked.
    pub(super) fn start(config: &TracesConfig) -> Self {
        let count = Arc::new(Count::default());
        let otlp = Otlp::builder()
            .with_http()
            .with_http_client(Client::new())
            .with_endpoint(format!("{}/v1/traces", config.endpoint.trim_end_matches('/')))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(SEND_TIMEOUT)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .expect("the configuration was checked, and a client given");
        let exporter = Exporter { otlp, count: Arc::clone(&count), is_failing: AtomicBool::new(false) };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_QUEUE)
            .with_max_export_batch_size(MAX_BATCH)
            .with_scheduled_delay(INTERVAL)
            .build();
        let inner = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let requests = Requests(Sampler::TraceIdRatioBased(config.sample_ratio));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(requests)))
            .with_span_processor(Bounded { inner, count: Arc::clone(&count) })
            .build();
        Self { provider, count }
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("signet")
    }

    /// Counts spans in `metrics` from now on.
    pub fn count_in(&self, metrics: Metrics) {
        // A second service in this process would count the first one's.
        let _ = self.count.metrics.set(metrics);
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        // An error was logged when it happened; a collector that does not answer in time has lost them.
        let _ = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT);
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Export")
    }
}

/// Makes `span`, which nothing has been done with yet, a child of the caller's, and tells which trace it belongs to.
pub(crate) fn join(span: &tracing::Span, parent: Option<&Parent>, headers: &HeaderMap) -> TraceId {
    if let Some(Parent { trace_id, span_id, is_sampled }) = parent {
        let flags = TraceFlags::default().with_sampled(*is_sampled);
        let state = trace_state(headers).parse().unwrap_or_default();
        let remote = SpanContext::new(trace_id.0.into(), SpanId::from(*span_id), flags, true, state);
        // Fails only for a span that was begun.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }
    TraceId(u128::from_be_bytes(span.context().span().span_context().trace_id().to_bytes()))
}

/// Decides about traces that begin here: a share of the requests. What happens without a request is not traced.
#[derive(Debug, Clone)]
struct Requests(Sampler);

impl ShouldSample for Requests {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: opentelemetry::trace::TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let by_ratio = self.0.should_sample(parent, trace_id, name, kind, attributes, links);
        match kind {
            SpanKind::Server => by_ratio,
            _ => SamplingResult { decision: SamplingDecision::Drop, ..by_ratio },
        }
    }
}

/// What became of spans.
#[derive(Default)]
struct Count {
    waiting: AtomicUsize,
    metrics: OnceLock<Metrics>,
}

impl Count {
    fn add(&self, outcome: &str, spans: usize) {
        if let Some(metrics) = self.metrics.get() {
            metrics.trace_spans.with_label_values(&[outcome]).inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
        }
    }
}

/// The library's queue, with an account of what did not fit.
struct Bounded {
    inner: BatchSpanProcessor,
    count: Arc<Count>,
}

impl fmt::Debug for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.count.waiting.fetch_add(1, Ordering::Relaxed) < MAX_QUEUE {
            self.inner.on_end(span);
        } else {
            self.count.waiting.fetch_sub(1, Ordering::Relaxed);
            self.count.add("dropped", 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// The library's exporter, which says once that it fails and once that it works again.
struct Exporter {
    otlp: Otlp,
    count: Arc<Count>,
    is_failing: AtomicBool,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.otlp.fmt(f)
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.otlp.export(batch).await;
        self.count.waiting.fetch_sub(spans, Ordering::Relaxed);
        let was_failing = self.is_failing.swap(outcome.is_err(), Ordering::Relaxed);
        match &outcome {
            Ok(()) => self.count.add("exported", spans),
            Err(error) => {
                self.count.add("failed", spans);
                if !was_failing {
                    let error = one_line(&error.to_string());
                    tracing::warn!(error, "spans cannot be exported; they are dropped until the collector takes them");
                }
            }
        }
        if was_failing && outcome.is_ok() {
            tracing::info!("spans are exported again");
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}

/// Blocks, which only the thread that sends spans notices.
#[derive(Debug)]
struct Client(ureq::Agent);

/// What is read of an answer at most: it is a few bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

impl Client {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(SEND_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("signet/", env!("CARGO_PKG_VERSION")));
        #[cfg(feature = "tls")]
        let config = config.tls_config(
            ureq::tls::TlsConfig::builder()
                .provider(ureq::tls::TlsProvider::NativeTls)
                .root_certs(ureq::tls::RootCerts::PlatformVerifier)
                .build(),
        );
        Self(config.build().new_agent())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let response = self.0.run(Request::from_parts(parts, &body[..]))?;
        let (parts, mut body) = response.into_parts();
        let read = body.with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
        Ok(Response::from_parts(parts, read.into()))
    }
}
