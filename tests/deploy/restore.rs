//! What the restore of an old backup means, on either database: with the commands of docs/operations.md.

use std::path::Path;
use std::process::Command;

use crate::support::program::{Place, Service};
use crate::support::{Answer, Backend, PASSWORD, json, on_both, postgres, say};

const NEW_PASSWORD: &str = "a wholly other phrase";

/// What was done before the backup and after it; each user has one session unless said otherwise.
struct Before {
    /// Has not refreshed since the backup.
    quiet: Answer,
    /// Has refreshed twice since the backup: the newest.
    busy: Answer,
    /// Has refreshed since the backup: the one of the backup's time.
    superseded: Answer,
    /// Has logged out since the backup.
    left: Answer,
    /// Opened after the backup, by a user who was there before.
    opened_later: Answer,
    /// Registered after the backup.
    newcomer: Answer,
}

/// Lives a little, makes a backup, lives on, loses everything, restores; the place with the restored database.
fn restore_after_loss(backend: Backend, dir: &Path) -> Option<(Place, Before)> {
    let url = backend.database(dir);
    if backend == Backend::Postgres && postgres::program("pg_dump").is_none() {
        say("NOTE: no pg_dump found, so backups of Postgres were not tested.");
        return None;
    }
    let place = Place::ready(&url);
    let service = place.serve();
    let client = service.client();
    let quiet = client.register("quiet@example.com");
    let busy = client.refresh(&client.register("busy@example.com").refresh_token()).expect(200);
    let superseded = client.register("superseded@example.com");
    let left = client.register("left@example.com");
    client.register("disabled@example.com");
    client.register("admin@example.com");
    place.succeed(&["users", "set-role", "admin@example.com", "admin"]);
    let changed = client.register("changed@example.com");

    let backup = dir.join("backup");
    back_up(backend, &place, &url, &backup);

    let busy = client.refresh(&client.refresh(&busy.refresh_token()).expect(200).refresh_token()).expect(200);
    client.refresh(&superseded.refresh_token()).expect(200);
    client.post("/v1/auth/logout", &json!({"refresh_token": left.refresh_token()})).expect(204);
    let opened_later = client.login("quiet@example.com");
    let newcomer = client.register("newcomer@example.com");
    place.succeed(&["users", "disable", "disabled@example.com"]);
    place.succeed(&["users", "set-role", "admin@example.com", "user"]);
    let change = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    client.bearer(&changed.access_token()).post("/v1/auth/change-password", &change).expect(204);
    service.signal("KILL");
    drop(service);

    let place = place.with("SIGNET_DATABASE__URL", &restore(backend, &url, &backup));
    Some((place, Before { quiet, busy, superseded, left, opened_later, newcomer }))
}

fn back_up(backend: Backend, place: &Place, url: &str, backup: &Path) {
    let file = backup.to_str().expect("UTF-8");
    match backend {
        Backend::Sqlite => drop(place.succeed(&["backup", file])),
        Backend::Postgres => {
            run(Command::new(postgres::program("pg_dump").expect("asked before")).args([
                "--format=custom",
                "--no-owner",
                &format!("--file={file}"),
                &format!("--dbname={url}"),
            ]));
        }
    }
}

/// The URL of the restored database.
fn restore(backend: Backend, url: &str, backup: &Path) -> String {
    match backend {
        Backend::Sqlite => {
            let file = url.strip_prefix("sqlite:").expect("SQLite's");
            // What a killed service leaves would be replayed into the copy.
            run(Command::new("rm").args([file, &format!("{file}-wal"), &format!("{file}-shm")]));
            run(Command::new("cp").arg(backup).arg(file));
            url.to_owned()
        }
        Backend::Postgres => {
            let url = postgres::empty_database();
            run(Command::new(postgres::program("pg_restore").expect("asked before"))
                .args(["--no-owner", "--exit-on-error", "--single-transaction", &format!("--dbname={url}")])
                .arg(backup));
            url
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn reuses(service: &Service) -> f64 {
    let metrics = service.operator().get("/metrics").text;
    let line = metrics.lines().find_map(|line| line.strip_prefix("signet_refreshes_total{outcome=\"reused\"} "));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

on_both! {
    fn sessions_and_users_are_as_they_were_at_the_time_of_the_backup(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let Some((place, before)) = restore_after_loss(backend, dir.path()) else { return };
        place.succeed(&["check"]);
        assert_eq!(place.succeed(&["migrate"]).matches("nothing to do").count(), 1);
        let service = place.serve();
        let client = service.client();
        let refused = |token: &str| drop(client.refresh(token).expect_problem(401, "invalid_grant"));

        client.refresh(&before.quiet.refresh_token()).expect(200);
        assert_eq!(reuses(&service), 0.0);
        refused(&before.opened_later.refresh_token());
        refused(&before.newcomer.refresh_token());
        assert_eq!(reuses(&service), 0.0, "an unknown session alarms nobody");
        refused(&before.busy.refresh_token());
        assert_eq!(reuses(&service), 1.0, "a newer token than the backup knows looks like a stolen one");

        // What had ended lives again.
        client.refresh(&before.superseded.refresh_token()).expect(200);
        client.refresh(&before.left.refresh_token()).expect(200);
        client.login("disabled@example.com");
        assert_eq!(client.login("admin@example.com").json()["user"]["roles"], json!(["admin"]));
        client.login("changed@example.com");
        let body = json!({"email": "changed@example.com", "password": NEW_PASSWORD});
        client.post("/v1/auth/login", &body).expect_problem(401, "invalid_credentials");

        // The keys are not in the database: access tokens verify, but here nobody stands behind this one.
        let me = |answer: &Answer| client.bearer(&answer.access_token()).get("/v1/auth/me");
        me(&before.quiet).expect(200);
        me(&before.newcomer).expect_problem(401, "invalid_token");
        let again = client.register("newcomer@example.com");
        assert_ne!(again.text_at("/user/id"), before.newcomer.text_at("/user/id"), "an id is never used again");
        me(&before.newcomer).expect_problem(401, "invalid_token");
    }

    fn ending_all_sessions_after_a_restore_leaves_no_old_token_alive_and_raises_no_alarm(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let Some((place, before)) = restore_after_loss(backend, dir.path()) else { return };
        assert_eq!(place.succeed(&["sessions", "end", "--all"]), "7 session(s) ended\n");
        let service = place.serve();
        let client = service.client();
        for answer in [before.quiet, before.busy, before.superseded, before.left, before.opened_later, before.newcomer] {
            client.refresh(&answer.refresh_token()).expect_problem(401, "invalid_grant");
            client.bearer(&answer.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        }
        assert_eq!(reuses(&service), 0.0);
        client.refresh(&client.login("busy@example.com").refresh_token()).expect(200);
    }
}
