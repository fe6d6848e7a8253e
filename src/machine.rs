//! What of the machine would keep a configuration from working: its clock, and the memory that it gives us.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::Config;

/// What keeps the service from working here, one line each.
pub fn findings(config: &Config, now: Timestamp) -> Vec<String> {
    [clock(now), memory(config, available_memory_bytes())].into_iter().flatten().collect()
}

/// No honest clock is behind this: 2026-11-01.
const RELEASED: Timestamp = Timestamp::from_micros(1_793_491_200_000_000);

fn clock(now: Timestamp) -> Option<String> {
    let is_behind = now.since(RELEASED) == Duration::ZERO;
    is_behind.then(|| format!("this machine's clock says {now}, which is before this release was made"))
}

fn memory(config: &Config, available: Option<u64>) -> Option<String> {
    let threads = u64::try_from(config.hashing.threads()).ok()?;
    let needed = threads.saturating_mul(u64::from(config.hashing.memory_kib)).saturating_mul(1024);
    let available = available?;
    let mib = |bytes: u64| bytes / (1024 * 1024);
    (needed > available).then(|| {
        format!(
            "hashing: {threads} threads with {} KiB each need {} MiB, and this machine or container has {} MiB",
            config.hashing.memory_kib,
            mib(needed),
            mib(available)
        )
    })
}

/// The least of what the machine has and what the container may take; `None` where neither can be told.
fn available_memory_bytes() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let kib: u64 =
            text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.split_whitespace().next()?.parse().ok()?;
        kib.checked_mul(1024)
    });
    // Version 2 and version 1 of control groups; `max` is no number and no limit.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let container = limits.into_iter().filter_map(|path| read(path)?.trim().parse().ok());
    machine.into_iter().chain(container).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_stands_before_the_release_is_a_finding() {
        let finding = clock(Timestamp::from_micros(0)).expect("1970");
        assert!(finding.contains("1970-01-01T00:00:00Z"), "{finding}");
        assert_eq!(clock(RELEASED + Duration::from_secs(1)), None);
    }

    #[test]
    fn hashing_that_needs_more_memory_than_there_is_is_a_finding() {
        let mut config = Config::default();
        config.hashing.threads = 4;
        config.hashing.memory_kib = 256 * 1024;
        let gib = 1024 * 1024 * 1024;
        assert_eq!(memory(&config, Some(gib)), None);
        let finding = memory(&config, Some(gib - 1)).expect("a byte too few");
        assert!(finding.contains("4 threads with 262144 KiB each need 1024 MiB"), "{finding}");
        assert!(available_memory_bytes().is_some_and(|bytes| bytes > 64 * 1024 * 1024));
    }
}
