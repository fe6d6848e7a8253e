//! Waiting for what a service, or the system, does by itself.

use std::time::Duration;

/// How often is looked, and for how long at least. On a machine with much to do things take their time, and while it stands
/// still nobody looks; so what is counted is the looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS: u32 = 3_000;

/// Looks until it is so; `otherwise` is what is wrong if it never is.
#[track_caller]
pub fn until(otherwise: &str, mut is_so: impl FnMut() -> bool) {
    assert!(until_some(|| is_so().then_some(())).is_some(), "{otherwise}");
}

/// Looks until there is something; `None` if there never is.
pub fn until_some<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    (0..LOOKS).find_map(|_| {
        let found = look();
        if found.is_none() {
            std::thread::sleep(LOOK_EVERY);
        }
        found
    })
}
