//! Ports that a test must name before anybody listens there, find free again later, or know to be nobody's.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// From below those that the system gives to whoever asks for any, and to each end of a connection: what it has given once may
/// be somebody else's a moment later.
const FIRST: u16 = 20_000;
const COUNT: u32 = 12_000;

/// Free ones, which no other test of this run is given.
pub fn free<const N: usize>() -> [u16; N] {
    [(); N].map(|()| next())
}

fn next() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Other runs on the same machine begin elsewhere.
    let begin = std::process::id().wrapping_mul(97);
    let mut ports = std::iter::repeat_with(|| {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        FIRST + u16::try_from(number).expect("fewer than there are ports")
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.by_ref().take(100).find(is_free).expect("a free port")
}
