//! `signet keys rotate`, `prune` and `revoke`: what they leave in the folder, whatever happens to them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signet::clock::{Clock, Timestamp};
use signet::token::key_file;
use signet::token::keyring::{Keyring, State};

use crate::support::program::Place;
use crate::support::{Value, token, wait};

const HOUR: Duration = Duration::from_secs(3_600);

fn keys(place: &Place) -> PathBuf {
    place.path().join("keys")
}

fn now() -> Timestamp {
    Clock::system().now()
}

/// A place with keys whose times lie so far from now, in hours, oldest first; their ids.
fn with_keys(hours: &[i64]) -> (Place, Vec<String>) {
    let place = Place::new();
    std::fs::create_dir(keys(&place)).expect("made");
    let at = |hours: i64| Timestamp::from_micros(now().as_micros() + hours * 3_600_000_000);
    let kids = hours.iter().map(|hours| key_file::create_at(&keys(&place), at(*hours)).expect("a key").kid).collect();
    (place, kids)
}

fn list(place: &Place) -> Vec<Value> {
    serde_json::from_str(&place.succeed(&["keys", "list", "--json"])).expect("JSON")
}

/// The state of each key, oldest first, those that are revoked last.
fn states(place: &Place) -> Vec<(String, String)> {
    let text = |row: &Value, name: &str| row[name].as_str().expect("text").to_owned();
    list(place).iter().map(|row| (text(row, "kid"), text(row, "state"))).collect()
}

fn state_of(place: &Place, kid: &str) -> String {
    states(place).into_iter().find(|(own, _)| own == kid).map_or_else(String::new, |(_, state)| state)
}

fn ring(dir: &Path) -> Keyring {
    Keyring::new(key_file::read_folder(dir).expect("readable").keys, Duration::from_secs(900))
}

#[test]
fn rotate_schedules_one_successor_and_says_what_happens_when() {
    let (place, kids) = with_keys(&[-1]);
    let said = place.succeed(&["keys", "rotate"]);
    let rows = list(&place);
    assert_eq!(rows.iter().map(|row| row["state"].as_str()).collect::<Vec<_>>(), [Some("signing"), Some("scheduled")]);
    let (next, takes_over) = (rows[1]["kid"].as_str().expect("a kid"), rows[1]["since"].as_str().expect("a time"));
    assert_eq!(rows[0]["until"], rows[1]["since"], "the present one signs until then");
    assert_eq!((&rows[1]["until"], rows[0]["kid"].as_str()), (&Value::Null, Some(kids[0].as_str())));
    assert!(said.starts_with(next) && said.contains(&format!("signs from {takes_over}, in 1d")), "{said}");
    let stays = said.lines().nth(2).expect("a third line");
    assert!(stays.contains(&kids[0]) && stays.contains("stays in the JWKS until"), "{said}");

    let refused = place.fail(&["keys", "rotate"]);
    assert_eq!(refused, format!("{next} is scheduled already and signs from {takes_over}; --force makes another"));
    assert_eq!(list(&place).len(), 2);
    let forced = place.succeed(&["keys", "rotate", "--force", "--activate-in", "48h"]);
    assert!(forced.contains("scheduled before"), "{forced}");
    assert_eq!(list(&place).len(), 3);
}

#[test]
fn rotate_needs_a_key_that_signs_and_time_for_verifiers() {
    assert!(with_keys(&[1]).0.fail(&["keys", "rotate"]).starts_with("no key signs now"));
    let (place, _) = with_keys(&[-1]);
    assert!(place.fail(&["keys", "rotate", "--activate-in", "14m"]).contains("15m"));
    place.succeed(&["keys", "rotate", "--activate-in", "15m"]);
    assert_eq!(list(&place).len(), 2);
}

#[test]
fn prune_removes_what_nothing_needs_and_names_it() {
    // Superseded 50 and 2 hours ago: the one is past every token, the other is not.
    let (place, kids) = with_keys(&[-100, -50, -2, 10]);
    let before = list(&place);
    let said = place.succeed(&["keys", "prune", "--dry-run"]);
    assert!(said.contains(&format!("would go {}", kids[0])), "{said}");
    assert_eq!(list(&place), before);

    let refused = place.fail(&["keys", "prune", &kids[0], &kids[1]]);
    let until = before[1]["until"].as_str().expect("a time");
    let expected = format!("{} verifies tokens that may live until {until}; nothing was removed", kids[1]);
    assert_eq!(refused, expected);
    assert!(place.fail(&["keys", "prune", &kids[2]]).contains("signs until"));
    assert!(place.fail(&["keys", "prune", &kids[3]]).contains("has yet to sign"));
    assert!(place.fail(&["keys", "prune", "nothing"]).contains("has no key nothing"));
    assert_eq!(list(&place), before);

    let said = place.succeed(&["keys", "prune"]);
    let file = before[0]["file"].as_str().expect("a file");
    assert!(said.contains(&format!("removed  {}  {file}", kids[0])), "{said}");
    assert!(!keys(&place).join(file).exists());
    assert_eq!(
        states(&place).iter().map(|(_, state)| state.as_str()).collect::<Vec<_>>(),
        ["retained", "signing", "scheduled"]
    );
}

#[test]
fn prune_counts_with_the_life_of_access_tokens_and_removes_every_copy() {
    let (place, kids) = with_keys(&[-100, -50]);
    let file = list(&place)[0]["file"].as_str().expect("a file").to_owned();
    std::fs::copy(keys(&place).join(file), keys(&place).join("2020-01-01T00-00-00Z.pem")).expect("copied");
    let place = place.with("SIGNET_TOKEN__ACCESS_TTL", "3d");
    assert!(place.fail(&["keys", "prune", &kids[0]]).contains("verifies tokens"));
    let place = place.with("SIGNET_TOKEN__ACCESS_TTL", "15m");
    assert_eq!(place.succeed(&["keys", "prune"]).matches("removed").count(), 2);
    assert_eq!(std::fs::read_dir(keys(&place)).expect("readable").count(), 1);
}

#[test]
fn a_revoked_signer_is_followed_by_the_scheduled_key_at_once() {
    let (place, kids) = with_keys(&[-30, -1, 10, 20]);
    let said = place.succeed(&["keys", "revoke", "--yes", &kids[1]]);
    assert!(said.contains(&format!("signing  {}", kids[2])), "{said}");
    for fact in ["within 5s", "up to 5m", "65m", "refresh", "before its time"] {
        assert!(said.contains(fact), "{fact}: {said}");
    }
    assert_eq!(state_of(&place, &kids[0]), "retained");
    assert_eq!(state_of(&place, &kids[1]), "revoked");
    assert_eq!(state_of(&place, &kids[2]), "signing");
    assert_eq!(state_of(&place, &kids[3]), "scheduled");
    assert!(ring(&keys(&place)).signer(now() - Duration::from_secs(50)).is_some(), "also where the clock is behind");
}

#[test]
fn a_revoked_signer_without_a_successor_is_followed_by_a_new_key() {
    let (place, kids) = with_keys(&[-1, 10]);
    let said = place.succeed(&["keys", "revoke", "--yes", &kids[0], &kids[1]]);
    assert!(said.contains("no verifier knows it"), "{said}");
    assert_eq!((state_of(&place, &kids[0]), state_of(&place, &kids[1])), ("revoked".to_owned(), "revoked".to_owned()));
    assert_eq!(ring(&keys(&place)).list(now()).map(|(_, state)| state).collect::<Vec<_>>(), [State::Signing]);
    for entry in std::fs::read_dir(keys(&place)).expect("readable").flatten() {
        assert_eq!(entry.metadata().expect("there").permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
}

#[test]
fn a_key_of_this_very_second_can_be_revoked() {
    let place = Place::new();
    for _ in 0..3 {
        let signer = place.succeed(&["keys", "new", "--if-empty"]);
        let _ = signer;
        let kid = list(&place)[0]["kid"].as_str().expect("a kid").to_owned();
        place.succeed(&["keys", "revoke", "--yes", &kid]);
        assert!(ring(&keys(&place)).signer(now()).is_some_and(|signer| signer.kid != kid));
    }
}

#[test]
fn revoking_what_does_not_sign_leaves_the_signer_and_twice_is_once() {
    let (place, kids) = with_keys(&[-30, -1, 10]);
    place.succeed(&["keys", "revoke", "--yes", &kids[0]]);
    place.succeed(&["keys", "revoke", "--yes", &kids[2]]);
    assert_eq!(state_of(&place, &kids[1]), "signing");
    assert_eq!(list(&place).len(), 3, "no key was made");
    assert!(place.succeed(&["keys", "revoke", "--yes", &kids[2]]).contains("was revoked before"));
    assert!(place.fail(&["keys", "revoke", "--yes", "nothing"]).contains("has no key nothing"));
    assert_eq!(list(&place).len(), 3);
}

#[test]
fn revoke_asks_first_and_names_the_broken_file_that_would_keep_it_from_counting() {
    let (place, kids) = with_keys(&[-1]);
    for (answer, is_done) in [("", false), ("no\n", false), ("yes\n", true)] {
        let output = place.run_with_input(&["keys", "revoke", &kids[0]], answer);
        assert_eq!(output.status.success(), is_done, "{answer}");
        assert_eq!(state_of(&place, &kids[0]) == "revoked", is_done, "{answer}");
    }
    let (place, kids) = with_keys(&[-1]);
    std::fs::write(keys(&place).join("broken.pem"), "-----BEGIN PRIVATE KEY-----\nAAAA").expect("written");
    assert!(place.fail(&["keys", "revoke", "--yes", &kids[0]]).starts_with("broken.pem: "));
    assert_eq!(std::fs::read_dir(keys(&place)).expect("readable").count(), 2, "nothing was done");
}

/// Where the order of the steps shows: the next signer comes first, and without it nothing else is done.
#[test]
fn a_revocation_that_cannot_make_the_next_key_leaves_the_present_one() {
    let (place, kids) = with_keys(&[-1]);
    // Each name that the next key may be given is being written by somebody else.
    for seconds in 30..90 {
        let file = key_file::file_name(now() - Duration::from_secs(seconds));
        std::fs::write(keys(&place).join(format!(".{file}.draft")), "").expect("written");
    }
    assert!(place.fail(&["keys", "revoke", "--yes", &kids[0]]).contains("File exists"));
    assert_eq!(states(&place), [(kids[0].clone(), "signing".to_owned())]);
}

/// Killed at any moment: there is a signer, and the same command finishes what it began.
#[test]
fn a_revocation_that_is_killed_leaves_a_signer_and_can_be_finished() {
    let program = env!("CARGO_BIN_EXE_signet");
    let rounds = 24;
    let mut cut_short = 0;
    for round in 0..rounds {
        let (place, kids) = with_keys(if round % 2 == 0 { &[-1, 10] } else { &[-1] });
        let dir = keys(&place);
        let begun = Instant::now();
        let mut revoking = Command::new(program)
            .args(["keys", "revoke", "--yes", &kids[0]])
            .current_dir(place.path())
            .env_clear()
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("the program runs");
        while begun.elapsed() < Duration::from_micros(700 * round) {
            assert!(ring(&dir).signer(now()).is_some());
        }
        let _ = revoking.kill();
        let _ = revoking.wait();
        assert!(ring(&dir).signer(now()).is_some(), "round {round}");
        cut_short += usize::from(ring(&dir).find(&kids[0], now()).is_some());
        // Whoever is killed while they write a key leaves a draft, which keeps its name from others: that of its second.
        wait::until("it cannot be finished", || {
            let output = place.run(&["keys", "revoke", "--yes", &kids[0]]);
            let line = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() || line.contains(".draft: File exists"), "{line}");
            output.status.success()
        });
        let ring = ring(&dir);
        assert!(ring.find(&kids[0], now()).is_none() && ring.signer(now()).is_some(), "round {round}");
    }
    assert!(cut_short > 0, "no round was killed before its end");
}

/// Whoever reads the folder while it is changed always finds one that can be used.
#[test]
fn a_folder_that_is_changed_can_be_read_at_every_moment() {
    let (place, kids) = with_keys(&[-100, -1, 10]);
    let (dir, is_over) = (keys(&place), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut times = 0;
            while !is_over.load(Ordering::SeqCst) {
                let keys = key_file::read_folder(&dir).expect("readable at every moment").keys;
                assert!(Keyring::new(keys, HOUR).signer(now()).is_some(), "somebody signs at every moment");
                times += 1;
            }
            times
        });
        place.succeed(&["keys", "prune"]);
        place.succeed(&["keys", "revoke", "--yes", &kids[1]]);
        place.succeed(&["keys", "revoke", "--yes", &kids[2]]);
        place.succeed(&["keys", "rotate"]);
        is_over.store(true, Ordering::SeqCst);
        assert!(reading.join().expect("no panic") > 0);
    });
}

/// The drill of the runbook: what the thief signed is refused here, the people stay signed in.
#[test]
fn after_a_revocation_a_running_service_refuses_the_key_and_signs_with_the_next() {
    let place = Place::ready_on_sqlite();
    place.succeed(&["keys", "rotate"]);
    let mut service = place.serve();
    let session = service.client().register("ada@example.com");
    let stolen = token::decode(&session.access_token()).0["kid"].as_str().expect("a kid").to_owned();
    let next = list(&place)[1]["kid"].as_str().expect("a kid").to_owned();
    place.succeed(&["keys", "revoke", "--yes", &stolen]);
    service.signal("HUP");
    let line: Value = serde_json::from_str(&service.wait_for("the published keys changed")).expect("JSON");
    assert_eq!((line["removed"].as_str(), line["added"].as_str()), (Some(stolen.as_str()), Some("")));
    service.wait_for("another key signs now");
    service.client().bearer(&session.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
    let jwks = service.client().get("/.well-known/jwks.json").expect(200).json();
    assert_eq!(jwks["keys"].as_array().map(Vec::len), Some(1));
    let fresh = service.client().refresh(&session.refresh_token()).expect(200);
    assert_eq!(token::decode(&fresh.access_token()).0["kid"], next.as_str());
    service.client().bearer(&fresh.access_token()).get("/v1/auth/me").expect(200);
}
