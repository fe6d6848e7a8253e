//! Logs: JSON lines for machines, or readable lines for people. One line stands for one event and reads alone.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{LogConfig, LogFormat};

/// Starts logging to standard error for the rest of the process. A second call changes nothing.
pub fn start(config: &LogConfig) {
    let filter = Targets::new()
        // It calls whatever a stranger sends instead of HTTP an error.
        .with_target("actix_http", LevelFilter::OFF)
        .with_default(tracing::Level::WARN)
        .with_target("signet", config.level.as_tracing());
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        LogFormat::Text => lines.with_target(false).boxed(),
    };
    // A panic would print its own lines between the ones that machines read. Where it happened says enough: its words may
    // quote what nobody should read.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a defect: the program panicked");
    }));
    // `Err` means that a subscriber is in place: a test program runs many services.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
}
