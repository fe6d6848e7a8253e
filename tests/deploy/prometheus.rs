//! `deploy/prometheus/`, judged by promtool.

use std::process::Command;

use crate::support::prometheus;

fn promtool(arguments: &[&str]) {
    if !prometheus::is_available() {
        return;
    }
    let run = Command::new("promtool").args(arguments).current_dir(prometheus::folder()).output().expect("it is there");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(run.status.success(), "{arguments:?}: {}{}", said(&run.stdout), said(&run.stderr));
}

#[test]
fn the_configuration_is_valid() {
    promtool(&["check", "config", "prometheus.yml"]);
}

#[test]
fn the_alerts_are_valid() {
    promtool(&["check", "rules", "alerts.yml"]);
}

#[test]
fn the_alerts_fire_when_they_should_and_only_then() {
    promtool(&["test", "rules", "alerts_test.yml"]);
}
