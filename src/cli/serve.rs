//! `signet serve`: the service as it runs in production.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::app::{App, Listeners, Running, StartError, Stopper};
use crate::clock::Clock;
use crate::config::{Config, Sources};
use crate::patience;
use crate::telemetry::{self, Export};

pub(super) fn run(path: Option<&Path>) -> Result<(), Failure> {
    let config = Sources::of_process(path)?.config()?;
    let export = telemetry::start(&config);
    let listeners = Listeners::bind(&config)?;
    until_stopped(config, listeners, export.as_ref(), |_| {})
}

/// Builds the service, serves, and ends on SIGTERM or SIGINT once the requests under way are answered, or at once on the
/// second one. Before SIGTERM takes effect balancers are given `shutdown.delay` to notice; at Ctrl-C a person waits.
/// SIGHUP reads the keys again.
pub(super) fn until_stopped(
    config: Config,
    listeners: Listeners,
    export: Option<&Export>,
    started: impl FnOnce(&Config),
) -> Result<(), Failure> {
    let app = App::build(config, Clock::system())?;
    if let Some(export) = export {
        export.count_in(app.metrics.clone());
    }
    let config = app.config.clone();
    let (public, management) = (listeners.public()?, listeners.management()?);
    let system = actix_web::rt::System::new();
    let outcome = system.block_on(async move {
        let delay = config.shutdown.delay.0;
        let running = Running::start(app, listeners).map_err(StartError::Io)?;
        let stopper = Arc::new(running.stopper());
        let signals = tokio::task::spawn(obey_signals(Arc::clone(&stopper), delay)?);
        tracing::info!(%public, %management, issuer = config.issuer, "listening");
        started(&config);
        let outcome = running.run().await;
        signals.abort();
        tracing::info!("stopped");
        outcome.map_err(Failure::from)
    });
    // Not taken apart: that would wait for the thread of a job that waits for a disk or a database which answers nothing.
    std::mem::forget(system);
    outcome
}

fn obey_signals(stopper: Arc<Stopper>, delay: Duration) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        let delay = loop {
            tokio::select! {
                _ = terminate.recv() => break delay,
                _ = interrupt.recv() => break Duration::ZERO,
                _ = hang_up.recv() => {
                    let stopper = Arc::clone(&stopper);
                    drop(tokio::task::spawn_blocking(move || stopper.reload_keys()).await);
                }
            }
        };
        let stop = async {
            stopper.drain();
            if !delay.is_zero() {
                tracing::info!(
                    delay_seconds = delay.as_secs_f64(),
                    "stopping: not ready any more, and serving until balancers know"
                );
                patience::rest(delay).await;
            }
            tracing::info!("stopping: no more connections are taken, requests under way are finished");
            stopper.stop().await;
        };
        tokio::select! {
            () = stop => {}
            _ = terminate.recv() => stopper.halt().await,
            _ = interrupt.recv() => stopper.halt().await,
        }
    })
}
