//! The built program, as an operator runs it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use signet::clock::Clock;
use signet::token::key_file;

use crate::support::{Backend, Client, Value};

/// A running `signet serve` with a database and a key of its own.
pub struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    pub dir: tempfile::TempDir,
    pub url: String,
}

/// The program with nothing of this process's environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    command.args(arguments).env_clear();
    command
}

/// Runs a command that ends by itself on a service's database.
pub fn run(url: &str, arguments: &[&str]) -> Output {
    command(arguments).env("SIGNET_DATABASE__URL", url).output().expect("the program runs")
}

/// `serve` on free ports, with the keys and the database in `dir`.
pub fn serve(dir: &Path, database: &str) -> Command {
    let mut command = command(&["serve"]);
    command
        .current_dir(dir)
        .env("SIGNET_ISSUER", "http://127.0.0.1")
        .env("SIGNET_DATABASE__URL", database)
        .env("SIGNET_KEYS__DIR", dir.join("keys"))
        .env("SIGNET_PUBLIC__LISTEN", "127.0.0.1:0")
        .env("SIGNET_MANAGEMENT__LISTEN", "127.0.0.1:0");
    command
}

impl Program {
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let database = Backend::Sqlite.database(dir.path());
        key_file::create(&dir.path().join("keys"), Clock::system().now(), Duration::ZERO).expect("a key");
        let mut child = serve(dir.path(), &database)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stderr, written) = (child.stderr.take().expect("piped"), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                written.lock().expect("nobody panics here").push(line);
            }
        });
        let mut program = Self { child, lines, dir, url: String::new() };
        let begun = Instant::now();
        program.url = loop {
            let listening = program.log().into_iter().find(|line| line.contains("\"listening\""));
            if let Some(line) = listening {
                let line: Value = serde_json::from_str(&line).expect("a line of JSON");
                break format!("http://{}", line["public"].as_str().expect("an address"));
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not start: {:?}", program.log());
            std::thread::sleep(Duration::from_millis(20));
        };
        program
    }

    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().expect("nobody panics here").clone()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
