//! What `deploy/` asks Prometheus for exists: every metric of an alert or a panel is in the table, every alert is tested
//! and explained.

use std::collections::BTreeSet;

use super::reference;

fn file(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words of a text that look like names of our metrics.
fn names_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("signet_") || word.starts_with("process_")).collect()
}

/// The values of a key in YAML of the plain kind that we write.
fn values<'a>(yaml: &'a str, key: &str) -> Vec<&'a str> {
    yaml.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key)?.strip_prefix(": ")).collect()
}

#[test]
fn alerts_and_panels_ask_for_metrics_that_exist() {
    let known = reference::series();
    for path in ["deploy/prometheus/alerts.yml", "deploy/prometheus/alerts_test.yml", "deploy/grafana/signet.json"] {
        let text = file(path);
        let names = names_in(&text);
        assert!(names.len() > 10, "{path} names hardly any metric: {names:?}");
        for name in names {
            assert!(known.contains(name), "{path} asks for {name}, which no service has");
        }
    }
}

/// The other way round: what nobody looks at in an alert or a panel need not be measured.
#[test]
fn the_dashboard_or_an_alert_shows_every_metric() {
    let text = file("deploy/grafana/signet.json") + &file("deploy/prometheus/alerts.yml");
    let asked = names_in(&text);
    for row in super::ROWS {
        assert!(asked.iter().any(|name| name.starts_with(row.name)), "nothing shows {}", row.name);
    }
}

#[test]
fn every_alert_is_seen_firing_and_not_firing() {
    let rules = file("deploy/prometheus/alerts.yml");
    let tests = file("deploy/prometheus/alerts_test.yml");
    let alerts = values(&rules, "alert");
    assert!(alerts.len() > 15, "{alerts:?}");
    for alert in &alerts {
        let cases: Vec<&str> = tests.split("alertname: ").filter(|case| case.lines().next() == Some(*alert)).collect();
        let quiet = cases.iter().filter(|case| case.lines().nth(1).is_some_and(|line| line.trim() == "exp_alerts: []"));
        let quiet = quiet.count();
        assert!(quiet > 0, "{alert} is never seen quiet");
        assert!(cases.len() > quiet, "{alert} is never seen firing");
    }
    for tested in values(&tests, "alertname") {
        assert!(alerts.contains(&tested), "{tested} is tested and is no alert");
    }
}

#[test]
fn every_alert_has_a_summary_and_a_place_in_the_runbook() {
    let rules = file("deploy/prometheus/alerts.yml");
    let operations = file("docs/operations.md");
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().expect("a name");
        let runbook = format!("docs/operations.md#{}", name.to_lowercase());
        assert_eq!(values(rule, "runbook_url"), [runbook], "{name}");
        assert_eq!((values(rule, "summary").len(), values(rule, "description").len()), (1, 1), "{name}");
        assert!(["page", "ticket"].contains(&values(rule, "severity")[0]), "{name}");
        assert!(operations.lines().any(|line| line == format!("#### {name}")), "docs/operations.md lacks #### {name}");
    }
}
