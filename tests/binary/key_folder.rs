//! The key folder of a running service: swapped, half-written, broken, emptied, gone. The last good keys stay, the log
//! says each trouble once, the metric counts each reading, and the end of the trouble needs nobody.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signet::clock::Clock;
use signet::token::key_file;

use crate::support::program::{Place, Service};
use crate::support::{Value, wait};

const BROKEN: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
const TROUBLE: &str = "could not read the keys";
const RECOVERED: &str = "the keys can be read again";

fn folder(place: &Place) -> PathBuf {
    place.path().join("keys")
}

fn failures(service: &Service) -> u64 {
    let text = service.operator().get("/metrics").text;
    let value = text.lines().find_map(|line| line.strip_prefix("signet_key_reload_failures_total "));
    value.expect("the metric").parse().expect("a number")
}

fn jwks(service: &Service) -> String {
    service.client().get("/.well-known/jwks.json").expect(200).text
}

fn reload(service: &Service) {
    service.signal("HUP");
}

/// Reads the folder a few times more while `spoil` has made it unusable, then after `mend`.
#[track_caller]
fn survives(reason: &str, spoil: impl FnOnce(&Path), mend: impl FnOnce(&Path)) {
    let place = Place::ready_on_sqlite();
    let mut service = place.serve();
    let before = jwks(&service);
    spoil(&folder(&place));
    for times in 1..=3 {
        reload(&service);
        wait_until(|| failures(&service) >= times);
    }
    let line: Value = serde_json::from_str(&service.wait_for(TROUBLE)).expect("JSON");
    assert!(line["error"].as_str().is_some_and(|error| error.contains(reason)), "{reason}: {line}");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(jwks(&service), before);
    let session = service.client().register("ada@example.com");
    service.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200);

    mend(&folder(&place));
    reload(&service);
    service.wait_for(RECOVERED);
    let counted = failures(&service);
    reload(&service);
    place.succeed(&["keys", "new"]);
    reload(&service);
    service.wait_for("the published keys changed");
    assert_eq!(failures(&service), counted);
    assert_eq!(said(&service, TROUBLE), 1, "once, not at every reading: {}", service.log().join("\n"));
    assert_eq!(said(&service, "another key signs now"), 0, "the same one does");
}

fn said(service: &Service, words: &str) -> usize {
    service.log().iter().filter(|line| line.contains(words)).count()
}

#[track_caller]
fn wait_until(holds: impl Fn() -> bool) {
    wait::until("it does not come about", holds);
}

#[test]
fn a_broken_file_leaves_the_keys_in_force() {
    let (spoil, mend) =
        (|dir: &Path| fs::write(dir.join("new.pem"), BROKEN), |dir: &Path| fs::remove_file(dir.join("new.pem")));
    survives("new.pem: not a P-256", |dir| spoil(dir).expect("written"), |dir| mend(dir).expect("removed"));
}

/// Not by us: `keys new` writes elsewhere and renames.
#[test]
fn a_file_that_is_being_written_leaves_the_keys_in_force() {
    let pem = key_file::generate();
    let file = "2020-01-01T00-00-00Z.pem";
    survives(
        file,
        |dir| fs::write(dir.join(file), &pem[..pem.len() / 2]).expect("written"),
        |dir| fs::write(dir.join(file), pem.as_bytes()).expect("written"),
    );
}

#[test]
fn a_folder_that_is_emptied_leaves_the_keys_in_force() {
    let aside = tempfile::tempdir().expect("a folder");
    let move_all = |from: &Path, to: &Path| {
        for entry in fs::read_dir(from).expect("readable").flatten() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
            fs::remove_file(entry.path()).expect("removed");
        }
    };
    survives(
        "has no private key that may sign now",
        |dir| move_all(dir, aside.path()),
        |dir| move_all(aside.path(), dir),
    );
}

#[test]
fn a_folder_that_vanishes_leaves_the_keys_in_force() {
    let aside = |dir: &Path| dir.with_file_name("aside");
    survives(
        "keys: there is no such folder",
        |dir| fs::rename(dir, aside(dir)).expect("moved"),
        |dir| fs::rename(aside(dir), dir).expect("moved"),
    );
}

#[test]
fn a_key_that_may_not_be_read_leaves_the_keys_in_force() {
    // Root reads everything, so the file is a folder: it cannot be read either.
    survives(
        "a.pem: Is a directory",
        |dir| fs::create_dir(dir.join("a.pem")).expect("made"),
        |dir| fs::remove_dir(dir.join("a.pem")).expect("removed"),
    );
}

/// A second trouble on top of the first is news.
#[test]
fn each_new_trouble_is_said() {
    let place = Place::ready_on_sqlite();
    let mut service = place.serve();
    for file in ["b.pem", "a.pem"] {
        fs::write(folder(&place).join(file), BROKEN).expect("written");
        reload(&service);
        let heard = service.wait_for(TROUBLE);
        assert!(heard.contains(file), "{heard}");
        fs::remove_file(folder(&place).join(file)).expect("removed");
    }
    reload(&service);
    service.wait_for(RECOVERED);
}

/// A mounted Kubernetes secret: the files are links into `..data`, itself a link that the kubelet swaps for the next
/// generation. Nobody sends a signal: the folder is read every few seconds.
#[test]
fn a_swapped_secret_volume_is_followed_without_a_signal() {
    let place = Place::ready_on_sqlite();
    let dir = folder(&place);
    let first = fs::read_dir(&dir).expect("readable").next().expect("a key").expect("an entry").file_name();
    let generation = |name: &str| dir.join(format!("..2026_{name}"));
    fs::create_dir(generation("1")).expect("made");
    fs::rename(dir.join(&first), generation("1").join(&first)).expect("moved");
    symlink("..2026_1", dir.join("..data")).expect("linked");
    symlink(Path::new("..data").join(&first), dir.join(&first)).expect("linked");

    let mut service = place.serve();
    let before = jwks(&service);
    // The next generation: the same key and a scheduled one.
    fs::create_dir(generation("2")).expect("made");
    fs::copy(generation("1").join(&first), generation("2").join(&first)).expect("copied");
    let day = Duration::from_secs(86_400);
    let second = key_file::create_at(&generation("2"), Clock::system().now() + day).expect("a key");
    symlink("..2026_2", dir.join("..data_tmp")).expect("linked");
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).expect("swapped");
    symlink(Path::new("..data").join(&second.file), dir.join(&second.file)).expect("linked");
    fs::remove_dir_all(generation("1")).expect("removed");

    let line = service.wait_for("the published keys changed");
    assert!(line.contains(&second.kid), "{line}");
    let after: Value = serde_json::from_str(&jwks(&service)).expect("JSON");
    assert_eq!(after["keys"].as_array().map(Vec::len), Some(2));
    assert_ne!(after.to_string(), before);
    assert_eq!(failures(&service), 0);
    service.client().register("ada@example.com");
}

#[test]
fn a_private_key_that_others_can_read_is_a_warning_when_it_appears_and_not_again() {
    use std::os::unix::fs::PermissionsExt;
    const WARNING: &str = "others than its owner can read";
    let place = Place::ready_on_sqlite();
    let mut service = place.serve();
    place.succeed(&["keys", "new"]);
    let files = fs::read_dir(folder(&place)).expect("readable").flatten();
    let newest = files.map(|entry| entry.path()).max().expect("two keys");
    fs::set_permissions(&newest, fs::Permissions::from_mode(0o644)).expect("set");
    for _ in 0..2 {
        reload(&service);
    }
    service.wait_for(WARNING);
    reload(&service);
    fs::write(folder(&place).join("a.pem"), BROKEN).expect("written");
    reload(&service);
    service.wait_for(TROUBLE);
    fs::remove_file(folder(&place).join("a.pem")).expect("removed");
    reload(&service);
    service.wait_for(RECOVERED);
    assert_eq!(said(&service, WARNING), 1, "{}", service.log().join("\n"));
}
