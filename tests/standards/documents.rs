//! What the documents name exists: files and headings that they link to, keys of the configuration and their variables,
//! metrics, alerts, routes, commands and their options.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use signet::routes::{MANAGEMENT, PUBLIC};

use crate::support::program::Place;

/// Every page of the repository that people read, with its path from the root.
fn pages() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let root = root();
    let mut folders = vec![root.join("docs"), root.join("deploy"), root.join("keys")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("readable").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|end| end == "md") {
                found.push(entry);
            }
        }
    }
    found.push(root.join("README.md"));
    found.sort();
    assert!(found.len() > 15, "{found:?}");
    let name = |path: &Path| path.strip_prefix(root).expect("inside").display().to_string();
    found.iter().map(|path| (name(path), read(path))).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each line with whether it is inside a fenced block.
fn lines(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.lines().scan(false, |is_fenced, line| {
        let is_fence = line.trim_start().starts_with("```");
        *is_fenced ^= is_fence;
        Some((line, *is_fenced || is_fence))
    })
}

/// What stands between backticks outside of fenced blocks; two neighbours may be on two lines.
fn quoted(text: &str) -> Vec<String> {
    let prose: Vec<&str> = lines(text).filter(|(_, is_fenced)| !is_fenced).map(|(line, _)| line).collect();
    let pieces = prose.join("\n");
    pieces.split('`').skip(1).step_by(2).map(|piece| piece.replace('\n', " ")).collect()
}

/// The longest pieces of a text that consist of such characters.
fn words(text: &str, is_part: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |letter| !is_part(letter)).filter(|word| !word.is_empty())
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let anchors: BTreeMap<PathBuf, BTreeSet<String>> =
        pages.iter().map(|(name, text)| (root().join(name), anchors(text))).collect();
    let (mut looked_at, mut broken) = (0, Vec::new());
    for (name, text) in &pages {
        for link in links(text) {
            if link.contains("://") {
                continue;
            }
            looked_at += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let page = root().join(name);
            let folder = page.parent().expect("a folder");
            let target = if file.is_empty() { Ok(page.clone()) } else { folder.join(file).canonicalize() };
            match target {
                Ok(path) if anchor.is_empty() || anchors.get(&path).is_some_and(|own| own.contains(anchor)) => {}
                _ => broken.push(format!("{name}: {link}")),
            }
        }
    }
    assert!(looked_at > 100, "{looked_at}");
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Where `](…)` leads.
fn links(text: &str) -> Vec<String> {
    let prose = lines(text).filter(|(_, is_fenced)| !is_fenced).map(|(line, _)| line);
    prose
        .flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned))
        .collect()
}

/// The names that headings get: lower case, hyphens for spaces, no other punctuation.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = lines(text).filter(|(line, is_fenced)| !is_fenced && line.starts_with('#'));
    let name = |heading: &str| -> String {
        let kept =
            heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
        kept.replace(' ', "-")
    };
    headings.map(|(line, _)| name(line.trim_start_matches('#').trim())).collect()
}

/// The keys of the generated reference, and their variables.
fn keys() -> BTreeMap<String, String> {
    let reference = read(&root().join("docs/configuration.md"));
    let rows = reference.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split_once("` | `"));
    let keys: BTreeMap<_, _> = cells
        .filter_map(|(key, rest)| Some((key.to_owned(), rest.split('`').next()?.to_owned())))
        .filter(|(_, variable)| variable.starts_with("SIGNET_"))
        .collect();
    assert!(keys.len() > 50, "{keys:?}");
    keys
}

#[test]
fn every_key_of_the_configuration_exists() {
    let keys = keys();
    let sections: BTreeSet<&str> =
        keys.keys().filter_map(|key| key.split_once('.')).map(|(section, _)| section).collect();
    let variables: BTreeSet<&str> = keys.values().map(String::as_str).collect();
    let said_by_the_program = source();
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for (name, text) in &pages() {
        for quote in quoted(text) {
            let word = quote.split(" = ").next().unwrap_or_default();
            let Some((section, rest)) = word.split_once('.') else { continue };
            let is_name = !rest.is_empty() && rest.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if !is_name || !sections.contains(section) {
                continue;
            }
            looked_at += 1;
            // Roles have whatever name an operator gives them. Units of work and types of messages look like keys, too.
            let is_other = section == "roles" || said_by_the_program.contains(&format!("\"{word}\""));
            if !keys.contains_key(word) && !is_other {
                wrong.push(format!("{name}: {word}"));
            }
        }
        for word in words(text, |c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
            let Some(key) = word.strip_prefix("SIGNET_") else { continue };
            looked_at += 1;
            let of_file = word.strip_suffix("_FILE").is_some_and(|own| variables.contains(own));
            let is_other = key.is_empty() || key == "CONFIG" || key == "REVISION" || key.starts_with("ROLES__");
            // What examples and tests read is not the service's.
            let is_of_others = key.starts_with("TEST_") || ["ISSUER", "AUDIENCE"].contains(&key);
            if !variables.contains(word) && !of_file && !is_other && !is_of_others {
                wrong.push(format!("{name}: {word}"));
            }
        }
    }
    assert!(looked_at > 200, "{looked_at}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// All of the program's text.
fn source() -> String {
    let (mut text, mut folders) = (String::new(), vec![root().join("src")]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                text += &read(&path);
            }
        }
    }
    text
}

#[test]
fn every_metric_and_every_alert_exists() {
    let metrics = read(&root().join("docs/metrics.md"));
    let metrics: BTreeSet<&str> = words(&metrics, is_of_a_name).collect();
    let alerts = read(&root().join("deploy/prometheus/alerts.yml"));
    let alerts: BTreeSet<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(metrics.len() > 20 && alerts.len() > 20, "{metrics:?} {alerts:?}");
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for (name, text) in &pages() {
        for quote in quoted(text) {
            for word in words(&quote, is_of_a_name).filter(|word| word.starts_with("signet_") && word.len() > 7) {
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
                looked_at += 1;
                if !metrics.contains(word) && !metrics.contains(base) && word != NO_METRIC {
                    wrong.push(format!("{name}: {word}"));
                }
            }
        }
        for word in words(text, |c| c.is_ascii_alphanumeric()) {
            let Some(rest) = word.strip_prefix("Signet") else { continue };
            if rest.starts_with(|first: char| first.is_ascii_uppercase()) {
                looked_at += 1;
                if !alerts.contains(word) {
                    wrong.push(format!("{name}: {word}"));
                }
            }
        }
    }
    assert!(looked_at > 60, "{looked_at}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A cookie.
const NO_METRIC: &str = "signet_device";

fn is_of_a_name(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
}

#[test]
fn every_route_exists() {
    let table: Vec<&str> = PUBLIC.iter().chain(MANAGEMENT).map(|route| route.path).collect();
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for (name, text) in &pages() {
        for begin in ["/v1/", "/oauth2/", "/.well-known/", "/health/"] {
            let places = text.match_indices(begin).map(|(at, _)| at);
            for path in places.map(|at| path_at(text, at)).filter(|path| *path != "/v1/traces") {
                looked_at += 1;
                if !table.iter().any(|route| fits(path, route)) {
                    wrong.push(format!("{name}: {path}"));
                }
            }
        }
    }
    assert!(looked_at > 150, "{looked_at}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The path that begins there, up to what belongs to no path.
fn path_at(text: &str, at: usize) -> &str {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "/.-_{}$…".contains(c);
    let rest = &text[at..];
    rest.find(|c| !is_part(c)).map_or(rest, |end| &rest[..end]).trim_end_matches('.')
}

/// Whether a path is a route; one that ends with a slash or an ellipsis stands for all that go on so.
fn fits(path: &str, route: &str) -> bool {
    let is_beginning = path.ends_with(['/', '…']);
    let (path, mut route) = (path.trim_end_matches(['/', '…']), route.split('/'));
    let is_placeholder = |part: &str| part.starts_with(['{', '$', '…']);
    let fits = path
        .split('/')
        .all(|part| route.next().is_some_and(|own| own == part || (own.starts_with('{') && is_placeholder(part))));
    fits && (is_beginning || route.next().is_none() || path == "/v1/admin")
}

#[test]
fn every_command_and_every_option_exists() {
    let place = Place::new();
    let mut helps: BTreeMap<Vec<String>, Option<String>> = BTreeMap::new();
    let mut help = |words: &[&str]| -> Option<String> {
        let key: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let ask = || {
            let output = place.run(&[words, &["--help"]].concat());
            output.status.success().then(|| String::from_utf8(output.stdout).expect("UTF-8"))
        };
        helps.entry(key).or_insert_with(ask).clone()
    };
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for (name, text) in &pages() {
        for command in commands(text) {
            looked_at += 1;
            let mut words = command
                .split_whitespace()
                .take_while(|word| !["#", "|", "||", "&&", "&", ";", ">"].contains(word))
                .skip(1);
            let first = words.next().unwrap_or_default();
            let general = help(&[first]);
            let has_more = general.as_ref().is_some_and(|text| text.contains("\nCommands:\n"));
            let second = if has_more { words.next() } else { None };
            let own = match second.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-')) {
                Some(second) => help(&[first, second]),
                None => general,
            };
            let Some(own) = own else {
                wrong.push(format!("{name}: {command}"));
                continue;
            };
            let options = words.map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-'));
            for option in options.filter(|word| word.starts_with("--") && word.len() > 2) {
                if !words_of(&own).any(|known| known == option) {
                    wrong.push(format!("{name}: {command}: {option}"));
                }
            }
        }
    }
    assert!(looked_at > 120, "{looked_at}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn words_of(help: &str) -> impl Iterator<Item = &str> {
    words(help, |c| c.is_ascii_alphanumeric() || c == '-')
}

/// Command lines: in blocks, and in quotations.
fn commands(text: &str) -> Vec<String> {
    let blocks = lines(text)
        .filter(|(_, is_fenced)| *is_fenced)
        .map(|(line, _)| line.trim().trim_start_matches("$ ").to_owned());
    let all = blocks.chain(quoted(text));
    all.filter(|line| {
        line.strip_prefix("signet ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
    })
    .collect()
}
