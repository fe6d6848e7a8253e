//! What a run found, for people and for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::run::{Found, Seen};
use crate::tally::CallTally;

/// One run.
#[derive(Serialize)]
pub struct Report {
    /// `alone`, or whom it had beside it.
    pub name: String,
    pub seconds: f64,
    pub groups: Vec<GroupReport>,
    pub processes: BTreeMap<String, Process>,
    /// What probes counted from before the first request until after the last one, for each that was answered.
    pub probed_per_request: BTreeMap<String, f64>,
}

/// Clients that made the same calls.
#[derive(Serialize)]
pub struct GroupReport {
    /// How many clients made what, at which pace.
    pub name: String,
    pub calls: BTreeMap<String, CallReport>,
    /// Requests that were due and never began.
    pub missed: u64,
}

#[derive(Serialize)]
pub struct CallReport {
    /// Expected answers.
    pub per_second: f64,
    /// Of the expected answers, in milliseconds from when the request was meant to begin.
    pub latency_ms: Latency,
    pub answers: BTreeMap<String, u64>,
}

#[derive(Serialize)]
pub struct Latency {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// What a process and its descendants used, for each request that was answered.
#[derive(Serialize)]
pub struct Process {
    pub cpu_micros_per_request: f64,
    pub minor_faults_per_request: f64,
    pub major_faults: u64,
    /// Cores that it kept busy.
    pub cores: f64,
    /// At the end.
    pub resident_mib: f64,
}

impl Report {
    pub fn new(name: &str, names: &[String], found: &[Found], seen: &Seen, probed: &BTreeMap<String, f64>) -> Self {
        let answered = decimal(found.iter().map(|found| found.tally.answered).sum::<u64>().max(1));
        let requests: u64 = found.iter().map(|found| found.tally.ended()).sum();
        let requests = decimal(requests.max(1));
        let processes = seen.usage.iter().map(|(name, used)| {
            let process = Process {
                cpu_micros_per_request: decimal(used.cpu_micros) / requests,
                minor_faults_per_request: decimal(used.minor_faults) / requests,
                major_faults: used.major_faults,
                cores: decimal(used.cpu_micros) / 1e6 / seen.seconds,
                resident_mib: decimal(used.resident_bytes) / f64::from(1 << 20),
            };
            (name.clone(), process)
        });
        let groups = names.iter().zip(found).map(|(name, found)| {
            let calls =
                found.tally.calls.iter().map(|(name, tally)| (name.clone(), CallReport::new(tally, seen.seconds)));
            GroupReport { name: name.clone(), calls: calls.collect(), missed: found.missed }
        });
        Self {
            name: name.to_owned(),
            seconds: seen.seconds,
            groups: groups.collect(),
            processes: processes.collect(),
            probed_per_request: probed.iter().map(|(name, grown)| (name.clone(), grown / answered)).collect(),
        }
    }
}

impl CallReport {
    fn new(tally: &CallTally, seconds: f64) -> Self {
        let millis = |share| tally.quantile(share).as_secs_f64() * 1e3;
        Self {
            per_second: decimal(tally.completed) / seconds,
            latency_ms: Latency {
                mean: tally.latency.mean() / 1e6,
                p50: millis(0.5),
                p90: millis(0.9),
                p99: millis(0.99),
                p999: millis(0.999),
                max: millis(1.0),
            },
            answers: tally.answers.clone(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count; fifteen digits are enough")]
fn decimal(count: u64) -> f64 {
    count as f64
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for group in &self.groups {
            writeln!(f, "{}, {}, {:.1} s", self.name, group.name, self.seconds)?;
            writeln!(f, "  {:12}{:>10}{:>41}", "", "answers", "latency in ms from the intended start")?;
            let heading = ["per second", "p50", "p90", "p99", "p99.9", "max"];
            write!(f, "  {:12}", "call")?;
            heading.iter().try_for_each(|word| write!(f, "{word:>10}"))?;
            writeln!(f)?;
            for (name, call) in &group.calls {
                let Latency { p50, p90, p99, p999, max, .. } = call.latency_ms;
                write!(f, "  {name:12}{:>10.1}", call.per_second)?;
                [p50, p90, p99, p999, max].iter().try_for_each(|value| write!(f, "{value:>10.3}"))?;
                writeln!(f)?;
            }
            for (name, call) in &group.calls {
                let kinds: Vec<String> = call.answers.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
                writeln!(f, "  {name}: {}", kinds.join(", "))?;
            }
            if group.missed > 0 {
                writeln!(f, "  {} requests were due and never began: there were too few clients", group.missed)?;
            }
        }
        for (name, process) in &self.processes {
            let Process { cpu_micros_per_request: cpu, minor_faults_per_request: faults, cores, resident_mib, .. } =
                process;
            writeln!(
                f,
                "  {name}: {cpu:.1} µs of processor time and {faults:.2} page faults a request, {cores:.2} cores busy, \
                 {resident_mib:.1} MiB resident"
            )?;
        }
        for (name, value) in &self.probed_per_request {
            writeln!(f, "  {name}: {value:.3} a request")?;
        }
        Ok(())
    }
}
