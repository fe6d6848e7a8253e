//! What people get wrong at the command line: each answer says what is wrong and what helps, and exits with a failure.

use std::os::unix::fs::PermissionsExt;

use crate::support::program::Place;
use crate::support::{Backend, PASSWORD, on_both};

/// What is printed on standard error when the command line itself is refused.
#[track_caller]
fn misuse(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(arguments);
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    stderr
}

#[test]
fn an_argument_of_the_wrong_form_is_told_how_it_reads() {
    let place = Place::new();
    for (arguments, said) in [
        (&["serv"][..], "similar subcommands exist: "),
        (&["users", "create", "--rol", "admin", "ada@example.com"], "a similar argument exists: '--role'"),
        (&["audit", "list", "--user", "ada"], "an id reads like 01a1fc6f-48d0-717a-ac6b-fd36c79547f2"),
        (&["audit", "list", "--after", "1"], "an id reads like 01a1fc6f-48d0-717a-ac6b-fd36c79547f2"),
        (
            &["audit", "list", "--from", "2026-11-21"],
            "a time has a date, a time of day and an offset, as 2026-12-24T18:00:00Z",
        ),
        (
            &["audit", "list", "--to", "9999-12-31"],
            "a time has a date, a time of day and an offset, as 2026-12-24T18:00:00Z",
        ),
        (&["audit", "verify", "--noted", "7"], "reads POSITION:DIGEST, as `signet audit verify` prints the head"),
        (&["keys", "new", "--activate-in", "soon"], "a duration reads like 30s, 15m, 12h or 7d"),
        (&["healthcheck", "--timeout", "1"], "a duration reads like 30s, 15m, 12h or 7d"),
        (&["sessions", "end"], "--help"),
    ] {
        let stderr = misuse(&place, arguments);
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_named_with_what_names_it() {
    let place = Place::new();
    let missing = "cannot read missing.toml: No such file or directory (os error 2)";
    assert_eq!(place.fail(&["-c", "missing.toml", "check"]), format!("{missing}; --config names this file"));
    let place = place.with("SIGNET_CONFIG", "missing.toml");
    assert_eq!(place.fail(&["check"]), format!("{missing}; SIGNET_CONFIG names this file"));
    let place = place.without("SIGNET_CONFIG").with("SIGNET_DATABASE__URL_FILE", "missing.toml");
    assert_eq!(place.fail(&["check"]), format!("SIGNET_DATABASE__URL_FILE: {missing}"));
    let place = place.without("SIGNET_DATABASE__URL_FILE");
    std::fs::write(place.path().join("signet.toml"), "audience = \"a\"\n[session]\ngrace = 30s\n").expect("written");
    let line = place.fail(&["check"]);
    assert!(line.starts_with("signet.toml: line 3: "), "{line}");
    std::fs::write(place.path().join("signet.toml"), "issuer = ").expect("written");
    let line = place.fail(&["check"]);
    assert!(line.starts_with("signet.toml: line 1: "), "{line}");
}

#[test]
fn a_folder_of_keys_that_is_not_there_is_said_how_to_make() {
    let place = Place::ready_on_sqlite().with("SIGNET_KEYS__DIR", "elsewhere");
    let said = "elsewhere: there is no such folder; mount it, or have `signet keys new` make it with a first key";
    for command in [&["serve"][..], &["keys", "list"], &["keys", "rotate"], &["keys", "prune"], &["keys", "export"]] {
        assert_eq!(place.fail(command), said);
    }
    place.succeed(&["keys", "new"]);
    place.succeed(&["keys", "list"]);
}

#[test]
fn a_port_that_is_taken_is_said_how_to_change() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    for (key, variable) in
        [("public.listen", "SIGNET_PUBLIC__LISTEN"), ("management.listen", "SIGNET_MANAGEMENT__LISTEN")]
    {
        for command in ["serve", "dev"] {
            assert_eq!(
                Place::ready_on_sqlite().with(variable, &address).fail(&[command]),
                format!(
                    "cannot listen on {address}: Address already in use (os error 98); set `{key}` ({variable}) to another"
                )
            );
        }
    }
}

#[test]
fn a_service_that_does_not_run_is_asked_after() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let place = Place::new().with("SIGNET_MANAGEMENT__LISTEN", &free.to_string());
    let line = place.fail(&["healthcheck"]);
    assert!(line.ends_with("; does the service run, with this `management.listen`?"), "{line}");
}

#[test]
fn the_folder_of_a_sqlite_database_is_made_by_migrate_and_by_nothing_else() {
    let place = Place::on("sqlite:deep/down/signet.db");
    let line = place.fail(&["users", "list"]);
    assert!(line.starts_with("cannot reach the database sqlite:deep/down/signet.db: "), "{line}");
    assert!(line.ends_with("its folder is not there; `signet migrate` makes it"), "{line}");
    assert!(!place.path().join("deep").exists());
    place.succeed(&["migrate"]);
    place.succeed(&["users", "list"]);
}

#[test]
fn a_sqlite_database_that_cannot_be_opened_is_said_why() {
    let place = Place::on("sqlite:signet.db");
    std::fs::create_dir(place.path().join("signet.db")).expect("made");
    for command in [&["migrate"][..], &["users", "list"]] {
        let line = place.fail(command);
        assert!(line.ends_with("unable to open database file: Is a directory (os error 21)"), "{line}");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_that_is_not_compiled_in_is_said_how_to_get() {
    let place = Place::on("postgres://signet@127.0.0.1:9/signet?sslmode=verify-full");
    let line = place.fail(&["migrate"]);
    assert!(line.ends_with("TLS to the database needs a build with the feature `tls`"), "{line}");
}

#[test]
fn a_backup_overwrites_nothing() {
    let place = Place::ready_on_sqlite();
    place.succeed(&["backup", "copy.db"]);
    assert_eq!(
        place.fail(&["backup", "copy.db"]),
        "copy.db: is there already, and nothing is overwritten; name another file"
    );
    let mode = std::fs::metadata(place.path().join("copy.db")).expect("a copy").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

on_both! {
    fn an_unknown_or_a_taken_name_is_said_what_to_do_about(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path()));
        let create = ["users", "create", "ada@example.com"];
        assert!(place.run_with_input(&create, &format!("{PASSWORD}\n")).status.success());
        let taken = "an account with this e-mail address exists: `signet users show` shows it";
        assert_eq!(place.fail(&["users", "create", "ada@example.com", "--service"]), taken);
        assert_eq!(place.fail(&["users", "invite", "ada@example.com"]), taken);
        place.succeed(&["users", "create", "bob@example.com", "--service"]);
        assert_eq!(place.fail(&["users", "set-email", "bob@example.com", "ada@example.com"]), taken);
        let unknown = "there is no such user: `signet users list` shows who there is";
        assert_eq!(place.fail(&["users", "show", "01a1fc6f-48d0-717a-ac6b-fd36c79547f2"]), unknown);
        assert_eq!(place.fail(&["sessions", "end", "eve@example.com"]), unknown);
        for command in [&["users", "show", "ada"][..], &["sessions", "list", "ada"], &["api-keys", "list", "ada"], &["users", "enable", "ada"]] {
            assert_eq!(place.fail(command), "this is neither an e-mail address nor an id");
        }
        assert_eq!(
            place.fail(&["api-keys", "revoke", "ada@example.com", "nightly"]),
            "an id reads like 01a1fc6f-48d0-717a-ac6b-fd36c79547f2"
        );
    }
}
