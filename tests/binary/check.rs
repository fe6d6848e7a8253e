//! `signet check`, and what a stranger is told by `--help`.

use crate::support::program::Place;

#[test]
fn a_service_that_can_start_is_ok() {
    let printed = Place::ready_on_sqlite().succeed(&["check"]);
    assert!(printed.ends_with("ok: serve can start\n"), "{printed}");
    assert!(printed.contains("warning: hashing: less than"), "these tests hash cheaply: {printed}");
}

#[test]
fn everything_wrong_is_found_at_once_one_line_each() {
    let place = Place::new()
        .with("SIGNET_ISSUER", "http://id.example")
        .with("SIGNET_TOKEN__ACCESS_TTL", "0s")
        .with("SIGNET_DATABASE__URL", "sqlite:nowhere/signet.db");
    let output = place.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    for finding in [
        "finding: issuer: must be https",
        "finding: token.access_ttl: must be at least 1s",
        "finding: keys: No such file",
        "finding: cannot reach the database sqlite:nowhere/signet.db",
    ] {
        assert!(printed.lines().any(|line| line.starts_with(finding)), "{finding} in\n{printed}");
    }
    assert_eq!(String::from_utf8_lossy(&output.stderr), "signet: error: 4 finding(s)\n");
}

#[test]
fn help_names_every_command_and_says_what_it_does() {
    let help = Place::new().succeed(&["--help"]);
    for command in ["serve", "dev", "migrate", "check", "keys", "users", "openapi"] {
        let line = help.lines().map(str::trim).find(|line| line.starts_with(command)).expect(command);
        assert!(line.len() > command.len() + 10, "{line}");
    }
    assert!(help.contains("signet dev"), "how to begin: {help}");
    for command in [["keys", "--help"], ["users", "--help"], ["dev", "--help"]] {
        assert!(!Place::new().succeed(&command).is_empty());
    }
}

#[test]
fn migrate_says_what_it_did() {
    let place = Place::new().with("SIGNET_DATABASE__URL", "sqlite:signet.db");
    assert!(place.succeed(&["migrate"]).starts_with("sqlite:signet.db: applied "));
    assert_eq!(place.succeed(&["migrate"]), "sqlite:signet.db: nothing to do\n");
}
