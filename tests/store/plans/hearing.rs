//! What a running service sends to its database.

use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

/// The statements of one database, in their order.
pub(super) type Heard = Arc<Mutex<Vec<String>>>;

/// Whose statements are listened to: the beginning of the address, and where they go.
static LISTENERS: Mutex<Vec<(String, Heard)>> = Mutex::new(Vec::new());

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears what connections to a database send that are made from now on.
pub(super) fn listen_to(database_url: &str) -> Heard {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_default_instrumentation(|| Some(Box::new(Ear::default()))).expect("nobody panicked while setting it");
    });
    let heard = Heard::default();
    let address = database_url.strip_prefix("sqlite:").unwrap_or(database_url).to_owned();
    locked(&LISTENERS).push((address, Arc::clone(&heard)));
    heard
}

/// At each connection of this process; deaf unless somebody listens to that database.
#[derive(Default)]
struct Ear {
    heard: Option<Heard>,
}

impl Instrumentation for Ear {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                let listeners = locked(&LISTENERS);
                let listener = listeners.iter().find(|(address, _)| url.starts_with(address));
                self.heard = listener.map(|(_, heard)| Arc::clone(heard));
            }
            InstrumentationEvent::StartQuery { query, .. } => {
                if let Some(heard) = &self.heard {
                    // `STATEMENT -- binds: [VALUES]`
                    let text = query.to_string();
                    let statement = text.split(" -- binds").next().unwrap_or_default().to_owned();
                    locked(heard).push(statement);
                }
            }
            _ => {}
        }
    }
}
