//! Logs and traces. Logs are JSON lines for machines, or readable lines for people: one line stands for one event and
//! reads alone. Traces are made of spans that are exported if there is somewhere to send them; where there is not, they
//! cost nothing.

mod export;
mod line;
mod trace_context;

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

pub use self::export::Export;
pub(crate) use self::export::join;
pub(crate) use self::trace_context::{Parent, TraceId};
use crate::config::{Config, LogConfig, LogFormat};

/// The target of the span around a request, which is in its log lines and in its trace.
pub(crate) const REQUEST: &str = "signet::request";
/// The target of spans that only traces are made of; where those go nowhere, none is made. Attributes follow
/// OpenTelemetry's semantic conventions where those have a word, and never carry what a log line must not.
pub(crate) const SPANS: &str = "signet::spans";

/// Starts logging to standard error, and exporting if it is configured, for the rest of the process. A second call
/// changes nothing. The last spans are sent when the returned value is dropped.
pub fn start(config: &Config) -> Option<Export> {
    // A panic would print its own lines between the ones that machines read. Where it happened says enough: its words may
    // quote what nobody should read.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a defect: the program panicked");
    }));
    // What is wrong with it is said when the service is built.
    let can_export = config.traces.is_exported() && config.traces.findings().is_empty();
    let export = can_export.then(|| Export::start(&config.traces));
    // Not one subscriber with a layer that may be absent: beside such a layer, spans that nobody wants are asked about
    // again and again. `Err` means that a subscriber is in place: a test program runs many services.
    let _ = match &export {
        None => registry().with(lines(&config.log, false)).try_init(),
        Some(export) => registry().with(lines(&config.log, true)).with(spans(export)).try_init(),
    };
    export
}

/// Spans only: what is logged stays in the log.
fn spans<S: Subscriber + for<'a> LookupSpan<'a>>(export: &Export) -> impl Layer<S> {
    let filter = Targets::new().with_target(REQUEST, LevelFilter::ERROR).with_target(SPANS, LevelFilter::INFO);
    tracing_opentelemetry::layer()
        .with_tracer(export.tracer())
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(filter)
}

fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(config: &LogConfig, beside_traces: bool) -> impl Layer<S> {
    let filter = Targets::new()
        // It calls whatever a stranger sends instead of HTTP an error.
        .with_target("actix_http", LevelFilter::OFF)
        .with_default(tracing::Level::WARN)
        .with_target("signet", config.level.as_tracing())
        // A line finds its request through the spans between them.
        .with_target(SPANS, if beside_traces { LevelFilter::INFO } else { LevelFilter::OFF });
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Json => lines.event_format(line::JsonLine).fmt_fields(line::JsonFields).boxed(),
        LogFormat::Text => {
            lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).fmt_fields(line::PlainFields).boxed()
        }
    };
    lines.with_filter(filter)
}
