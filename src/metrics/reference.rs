//! `docs/metrics.md`: made from the table of metrics.

use std::collections::BTreeSet;

use super::{Described, Known, Label, Metrics, ROWS, Row};

const INTRODUCTION: &str = "\
# Metrics

<!-- Made from the table in src/metrics.rs: SIGNET_TEST_UPDATE_DOCS=1 cargo test --lib -->

What `GET /metrics` on the management listener says, in Prometheus' text format. What to look at and what to do about it:
[Operations](operations.md#metrics-and-alerts).

- No label takes a value that a client chose: an instance has some 1,000 series, and under any load fewer than 2,000.
- Where the values of a label are listed, each series is there from the start, at zero; so is each answer of each route that
  [openapi.json](openapi.json) foresees.
- Histograms have the buckets BUCKETS seconds. Histogram `x` is read from the series `x_bucket`, `x_sum` and `x_count`.
- What depends on the time, as the age of a key, is computed when it is asked for.
";

const PROCESS: &str = "
## The process (Linux)

| Name | Type | Meaning |
|---|---|---|
| `process_cpu_seconds_total` | counter | User and system time, in whole seconds |
| `process_max_fds` | gauge | File descriptors that the process may have open |
| `process_open_fds` | gauge | File descriptors that are open: two for each client connection |
| `process_resident_memory_bytes` | gauge | Memory in use |
| `process_start_time_seconds` | gauge | When the process started, in seconds since 1970 |
| `process_threads` | gauge | Threads |
| `process_virtual_memory_bytes` | gauge | Address space |
";

/// `docs/metrics.md`.
fn page() -> String {
    let buckets = super::LATENCY_BUCKETS_SECONDS.map(|bound| bound.to_string()).join(", ");
    let mut page = INTRODUCTION.replace("BUCKETS", &buckets);
    page += "\n## Signet\n\n| Name | Type | Labels | Meaning |\n|---|---|---|---|\n";
    for row in ROWS {
        page += &format!("| `{}` | {} | {} | {} |\n", row.name, kind(row), labels(row.labels), row.help);
    }
    page + PROCESS
}

fn kind(row: &Row) -> &'static str {
    match row.kind {
        "counter" | "counters" => "counter",
        "gauge" | "gauges" | "seconds" => "gauge",
        "histogram" | "histograms" => "histogram",
        other => panic!("{other} is no kind of metric"),
    }
}

fn labels(labels: &[Label]) -> String {
    let written = labels.iter().map(|Label { name, values }| match values {
        Known(values) => {
            format!("`{name}`: {}", values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "))
        }
        Described(words) => format!("`{name}`: {words}"),
    });
    written.collect::<Vec<_>>().join("<br>")
}

/// The names of all series that a service has, as queries call them.
pub(super) fn series() -> BTreeSet<String> {
    let own = ROWS.iter().flat_map(|row| match kind(row) {
        "histogram" => ["_bucket", "_sum", "_count"].map(|suffix| format!("{}{suffix}", row.name)).to_vec(),
        _ => vec![row.name.to_owned()],
    });
    own.chain(process_metrics().into_iter().map(str::to_owned)).collect()
}

fn process_metrics() -> BTreeSet<&'static str> {
    PROCESS.split('`').filter(|word| word.starts_with("process_")).collect()
}

#[test]
fn the_reference_is_current() {
    crate::generated::expect_file("docs/metrics.md", &page());
}

#[test]
fn names_follow_the_conventions() {
    for row in ROWS {
        let is_counter = kind(row) == "counter";
        assert_eq!(row.name.ends_with("_total"), is_counter, "{}", row.name);
        assert!(kind(row) != "histogram" || row.name.ends_with("_seconds"), "{}", row.name);
        assert!(row.help.ends_with('.'), "{}", row.help);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_metrics_are_those_that_are_described() {
    let text = Metrics::default().render();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE process_")?.split(' ').next());
    let rendered: BTreeSet<String> = names.map(|name| format!("process_{name}")).collect();
    assert_eq!(rendered, process_metrics().into_iter().map(str::to_owned).collect());
}
