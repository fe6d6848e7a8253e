//! What happens by itself: the key folder is read again every few seconds.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::app::App;

/// How often the key folder is read. A mounted Kubernetes secret changes by a swapped symlink, which no watch survives.
const KEY_POLL: Duration = Duration::from_secs(5);

/// Starts the jobs; they end when the handle is aborted.
pub fn start(app: Arc<App>) -> JoinHandle<()> {
    tokio::task::spawn(async move {
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
    })
}
