//! `signet keys`.

use crate::support::program::Place;

#[test]
fn the_first_key_signs_at_once_and_the_next_a_day_later() {
    let place = Place::new();
    place.succeed(&["keys", "new"]);
    place.succeed(&["keys", "new"]);
    let list = place.succeed(&["keys", "list"]);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["KID", "STATE", "SINCE", "UNTIL", "FILE"]);
    assert_eq!(rows[1..].iter().map(|row| row[1]).collect::<Vec<_>>(), ["signing", "scheduled"]);
    for row in &rows[1..] {
        assert_eq!(row[0].len(), 43);
        assert_eq!(row[2].replace(':', "-"), row[4].trim_end_matches(".pem"), "the file name is the schedule");
    }
}

#[test]
fn a_private_key_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.succeed(&["keys", "new"]);
    let dir = place.path().join("keys");
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let entries: Vec<_> =
        std::fs::read_dir(&dir).expect("readable").map(|entry| entry.expect("readable").path()).collect();
    assert_eq!(entries.len(), 1, "no draft is left: {entries:?}");
    assert_eq!(mode(&entries[0]), 0o600);
}

#[test]
fn a_key_that_verifiers_could_not_know_in_time_needs_force() {
    let place = Place::new();
    place.succeed(&["keys", "new", "--activate-in", "1m"]);
    assert!(place.fail(&["keys", "new", "--activate-in", "14m"]).contains("15m"));
    place.succeed(&["keys", "new", "--activate-in", "15m"]);
    place.succeed(&["keys", "new", "--activate-in", "1m", "--force"]);
    assert_eq!(place.succeed(&["keys", "list"]).lines().count(), 4);
    assert!(place.succeed(&["keys", "new", "--if-empty"]).contains("has a key already"));
    assert_eq!(place.succeed(&["keys", "list"]).lines().count(), 4);
}

#[test]
fn the_public_half_is_exported_as_pem_and_as_jwk() {
    let place = Place::new();
    place.succeed(&["keys", "new"]);
    let pem = place.succeed(&["keys", "export"]);
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n") && !pem.contains("PRIVATE"));
    let jwk: serde_json::Value =
        serde_json::from_str(&place.succeed(&["keys", "export", "--format", "jwk"])).expect("JSON");
    assert_eq!(jwk.get("d"), None);
    let kid = jwk["kid"].as_str().expect("a kid");
    assert_eq!(place.succeed(&["keys", "export", kid]), pem);
    assert!(place.fail(&["keys", "export", "nothing"]).contains("has no key nothing"));
}

/// One id in 64 does.
#[test]
fn a_key_whose_id_begins_with_a_hyphen_is_exported_like_any_other() {
    use signet::token::key_file;
    let place = Place::new();
    std::fs::create_dir(place.path().join("keys")).expect("made");
    let (pem, key) = std::iter::repeat_with(key_file::generate)
        .map(|pem| (pem.clone(), key_file::parse(&pem, "a.pem").expect("our own key")))
        .find(|(_, key)| key.kid.starts_with('-'))
        .expect("sooner or later");
    std::fs::write(place.path().join("keys/a.pem"), pem.as_bytes()).expect("written");
    assert_eq!(place.succeed(&["keys", "export", &key.kid]), key_file::public_pem(&key));
    assert!(place.succeed(&["keys", "export", &key.kid, "--format", "jwk"]).contains(&key.kid));
}
