//! Installs the packages that the client programs use: once for each state of the lock files, under the target folder.
//!
//! Without Python, Node or a registry to install from, the tests say once what they leave out;
//! `SIGNET_TEST_INTEROP=required` makes that a failure. A package that a registry has not got is always one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::process;
use crate::support::say;

/// How long an installation may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The programs and the lock files.
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/clients");

/// Why nothing could be installed, through no fault of ours.
struct Missing(String);

/// A Python that has what `requirements.txt` lists, to run one of our programs; `None` if there is none to be had.
pub fn python() -> Option<Command> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let venv = PYTHON.get_or_init(|| or_say("Python", install_python())).as_ref()?;
    let mut command = Command::new(venv.join("bin/python"));
    command.current_dir(CLIENTS);
    Some(command)
}

/// A Node that has what `package-lock.json` lists, to run one of our programs; `None` if there is none to be had.
pub fn node() -> Option<Command> {
    static NODE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let dir = NODE.get_or_init(|| or_say("Node", install_node())).as_ref()?;
    let mut command = Command::new("node");
    command.current_dir(dir);
    Some(command)
}

fn or_say(ecosystem: &str, installed: Result<PathBuf, Missing>) -> Option<PathBuf> {
    match installed {
        Ok(dir) => Some(dir),
        Err(Missing(why)) if std::env::var("SIGNET_TEST_INTEROP").is_ok_and(|wish| wish == "required") => {
            panic!("SIGNET_TEST_INTEROP=required, but {why}")
        }
        Err(Missing(why)) => {
            say(&format!("NOTE: {why}, so no {ecosystem} client was tested."));
            None
        }
    }
}

fn install_python() -> Result<PathBuf, Missing> {
    let version = process::run(Command::new("python3").arg("--version"), "", PATIENCE);
    let Ok(version) = version else { return Err(Missing("there is no python3".to_owned())) };
    once("python", &["requirements.txt"], &version.stdout, |dir| {
        let venv = run(Command::new("python3").args(["-m", "venv"]).arg(dir))?;
        if !venv.is_success() {
            return Err(Missing("python3 has no venv".to_owned()));
        }
        let mut pip = Command::new(dir.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--retries=1"]);
        pip.args(["--no-deps", "--only-binary=:all:", "-r"]).arg(Path::new(CLIENTS).join("requirements.txt"));
        demand(run(&mut pip)?, &["connection broken by", "Max retries exceeded"])
    })
}

fn install_node() -> Result<PathBuf, Missing> {
    for program in ["node", "npm"] {
        if process::run(Command::new(program).arg("--version"), "", PATIENCE).is_err() {
            return Err(Missing(format!("there is no {program}")));
        }
    }
    let dir = once("node", &["package.json", "package-lock.json"], "", |dir| {
        fs::create_dir_all(dir).expect("our own folder");
        for file in ["package.json", "package-lock.json"] {
            fs::copy(Path::new(CLIENTS).join(file), dir.join(file)).expect("our own file");
        }
        let mut npm = Command::new("npm");
        npm.current_dir(dir).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]);
        demand(run(&mut npm)?, &["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "ETIMEDOUT"])
    })?;
    // Node looks for packages beside the program.
    for entry in fs::read_dir(CLIENTS).expect("our own folder").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "mjs") {
            let text = fs::read(entry.path()).expect("our own file");
            let copy = dir.join(entry.file_name());
            if fs::read(&copy).ok().as_ref() != Some(&text) {
                fs::write(copy, text).expect("our own folder");
            }
        }
    }
    Ok(dir)
}

/// Runs `install` unless it has succeeded before for the same lock files; other test programs wait meanwhile.
fn once(
    name: &str,
    locks: &[&str],
    version: &str,
    install: impl FnOnce(&Path) -> Result<(), Missing>,
) -> Result<PathBuf, Missing> {
    let mut digest = Sha256::new_with_prefix(version);
    for lock in locks {
        digest.update(fs::read(Path::new(CLIENTS).join(lock)).expect("our own file"));
    }
    let key: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop");
    fs::create_dir_all(&scratch).expect("the target folder is ours");
    let turn = File::create(scratch.join(format!("{name}.lock"))).expect("our own folder");
    turn.lock().expect("a lock");
    let dir = scratch.join(format!("{name}-{key}"));
    let is_complete = dir.join(".complete");
    if !is_complete.exists() {
        let _ = fs::remove_dir_all(&dir);
        install(&dir)?;
        File::create(is_complete).expect("our own folder");
    }
    Ok(dir)
}

fn run(command: &mut Command) -> Result<process::Ended, Missing> {
    process::run(command, "", PATIENCE).map_err(|error| Missing(format!("{command:?}: {error}")))
}

/// Succeeds; or tells an unreachable registry, by what the installer says of it, from a mistake of ours.
fn demand(ended: process::Ended, unreachable: &[&str]) -> Result<(), Missing> {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    match ended.status {
        Some(status) if status.success() => Ok(()),
        Some(_) if !unreachable.iter().any(|sign| said.contains(sign)) => panic!("the installation failed:\n{said}"),
        Some(_) | None => Err(Missing("the package registry cannot be reached".to_owned())),
    }
}
