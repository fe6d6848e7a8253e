//! What happens by itself: the key folder is read again every few seconds, what has ended is
//! removed, events are sealed, and mail and webhooks are sent.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::app::App;
use crate::audit::seal;
use crate::cleanup;
use crate::mail::courier;
use crate::token::schedule::KEY_POLL;
use crate::webhook::deliver;

/// Starts the jobs; they end when the set is dropped.
pub fn start(app: &Arc<App>) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    jobs.spawn(reload_keys(Arc::clone(app)));
    if app.config.cleanup.enabled {
        let app = Arc::clone(app);
        jobs.spawn(async move { cleanup::run(&app).await });
    }
    {
        let app = Arc::clone(app);
        jobs.spawn(async move { seal::run(&app).await });
    }
    {
        let app = Arc::clone(app);
        jobs.spawn(async move { deliver::run(&app).await });
    }
    if app.mail.is_open() {
        let app = Arc::clone(app);
        jobs.spawn(async move { courier::run(&app).await });
    }
    jobs
}

async fn reload_keys(app: Arc<App>) {
    let mut ticks = tokio::time::interval(KEY_POLL);
    ticks.tick().await; // the first is now, and the keys have just been read
    loop {
        ticks.tick().await;
        let app = Arc::clone(&app);
        let reloading = tokio::task::spawn_blocking(move || app.keys.reload(app.clock.now()));
        if reloading.await.is_err() {
            tracing::error!("a defect: reading the keys panicked");
        }
    }
}
