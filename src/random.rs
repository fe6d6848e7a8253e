//! Randomness, through one door: the operating system's generator.

use uuid::Uuid;

use crate::clock::Timestamp;

/// `N` bytes from the operating system's generator.
///
/// # Panics
/// If the operating system has no randomness to give: nothing here may go on without it.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A UUIDv7 (RFC 9562 §5.7): 48 bits of `now` in milliseconds, 74 random bits. Sorts by time of birth.
pub(crate) fn uuid_v7(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes::<10>()).into_uuid()
}
