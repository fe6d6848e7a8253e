//! SQLite on a disk that is full, or that can only be read. The disk is a small file system in memory; where none can be
//! mounted the tests say so.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::program::Place;
use crate::support::{say, wait};

/// A file system of 4 MiB.
struct Disk(TempDir);

impl Disk {
    fn mount() -> Option<Self> {
        let disk = Self(tempfile::tempdir().expect("a folder"));
        if mount(&["-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs"], disk.path()) {
            return Some(disk);
        }
        std::mem::forget(disk); // nothing to unmount
        say("NOTE: no file system can be mounted here, so a full or read-only disk under SQLite was not tested.");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, mode: &str) {
        assert!(mount(&["-o", &format!("remount,{mode}"), "tmpfs"], self.path()), "remounted {mode}");
    }

    /// Writes until nothing more can be written.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = std::fs::File::create(&path).expect("made");
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }

    fn database_url(&self) -> String {
        format!("sqlite:{}", self.path().join("signet.db").display())
    }
}

fn mount(options: &[&str], path: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(options).arg(path).stderr(Stdio::null()).status().is_ok_and(|end| end.success())
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_writes_as_unavailable_and_loses_nothing() {
    let Some(disk) = Disk::mount() else { return };
    let place = Place::ready(&disk.database_url());
    let mut service = place.serve();
    let client = service.client();
    let session = client.register("ada@example.com");
    let mut token = session.refresh_token();
    let filler = disk.fill();
    let mut refused = 0;
    for _ in 0..200 {
        let answer = client.refresh(&token);
        if answer.status == 200 {
            token = answer.refresh_token(); // there was room in a page that exists
            continue;
        }
        let answer = answer.expect_problem(503, "unavailable");
        assert!(!answer.header("retry-after").is_empty());
        refused += 1;
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "the disk is full");
    client
        .post("/v1/auth/register", &serde_json::json!({"email": "b@example.com", "password": "correct horse battery"}))
        .expect_problem(503, "unavailable");
    client.bearer(&session.access_token()).get("/v1/auth/me").expect(200);
    client.get("/.well-known/jwks.json").expect(200);
    service.wait_for("no space is left");
    let metrics = service.operator().get("/metrics").text;
    assert!(metrics.contains("signet_database_failures_total{kind=\"full\"} 6"), "{metrics}");

    std::fs::remove_file(filler).expect("removed");
    wait::until("it does not recover", || client.refresh(&token).status == 200);
    client.login("ada@example.com");
    client.register("b@example.com");
}

#[test]
fn a_database_on_a_disk_that_can_only_be_read_is_found_before_start() {
    let Some(disk) = Disk::mount() else { return };
    let place = Place::ready(&disk.database_url());
    disk.remount("ro");
    let line = place.fail(&["serve"]);
    assert!(line.contains(&disk.database_url()), "{line}");
    let output = place.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains(&format!("finding: {line}")), "the same words: {line} in {printed}");
    disk.remount("rw");
    place.succeed(&["check"]);
}
