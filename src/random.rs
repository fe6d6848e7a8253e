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
    uuid_v7_of(now, bytes::<10>())
}

/// The first of all UUIDv7 that may be made in the millisecond of `time`.
pub(crate) fn least_uuid_v7(time: Timestamp) -> Uuid {
    uuid_v7_of(time, [0; 10])
}

fn uuid_v7_of(time: Timestamp, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(time.as_micros() / 1_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
