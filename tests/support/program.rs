//! Runs the program in a folder of its own, with nothing in its environment but what a test puts there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::{Client, ports, secrets, wait};

/// A folder to run in.
pub struct Place {
    pub dir: Rc<TempDir>,
    program: PathBuf,
    environment: Vec<(String, String)>,
}

impl Place {
    /// An empty folder; every port is a free one.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let program = PathBuf::from(env!("CARGO_BIN_EXE_signet"));
        let place = Self { dir: Rc::new(dir), program, environment: Vec::new() };
        place
            .with("SIGNET_PUBLIC__LISTEN", "127.0.0.1:0")
            .with("SIGNET_MANAGEMENT__LISTEN", "127.0.0.1:0")
            .with("SIGNET_HASHING__MEMORY_KIB", "64")
            .with("SIGNET_HASHING__ITERATIONS", "1")
            .with("SIGNET_SHUTDOWN__DELAY", "0s")
    }

    /// One in which `serve` can start on that database.
    pub fn ready(database_url: &str) -> Self {
        let place = Self::on(database_url);
        assert!(place.run(&["migrate"]).status.success());
        assert!(place.run(&["keys", "new"]).status.success());
        place
    }

    /// One whose commands work on that database, migrated or not.
    pub fn on(database_url: &str) -> Self {
        Self::new()
            .with("SIGNET_ISSUER", "http://localhost:8080")
            .with("SIGNET_DATABASE__URL", database_url)
            // How fast the machine is today is not what most tests are about; more than this is warned of.
            .with("SIGNET_DATABASE__MAX_WAIT", "10s")
            .with("SIGNET_HASHING__MAX_WAIT", "10s")
    }

    /// One in which `serve` can start on SQLite.
    pub fn ready_on_sqlite() -> Self {
        Self::ready("sqlite:signet.db")
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        if name == "SIGNET_DATABASE__URL" {
            secrets::note_database_url(value);
        }
        self.environment.retain(|(own, _)| own != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with another release of the program.
    pub fn with_program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// The same folder for the program of this tree.
    pub fn with_this_program(&self) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_signet"));
        Self { dir: Rc::clone(&self.dir), program, environment: self.environment.clone() }
    }

    /// With the program's own default instead.
    pub fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(own, _)| own != name);
        self
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.path()).env_clear().envs(self.environment.iter().cloned());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).stdin(Stdio::null()).output().expect("the program runs");
        secrets::pass_on(&String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Runs a command to its end with something on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("read");
        child.wait_with_output().expect("the program ends")
    }

    /// Runs a command that must succeed; what it printed.
    #[track_caller]
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs a command that must fail with one line; that line.
    #[track_caller]
    pub fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        let errors: Vec<&str> = stderr.lines().collect();
        assert_eq!(errors.len(), 1, "one line: {stderr}");
        errors[0].strip_prefix("signet: error: ").unwrap_or_else(|| panic!("{stderr}")).to_owned()
    }

    /// Starts `serve` and waits until it listens.
    pub fn serve(&self) -> Service {
        self.start(&["serve"])
    }

    /// Starts a command that listens and waits until it does.
    pub fn start(&self, arguments: &[&str]) -> Service {
        let mut service = self.spawn(arguments);
        let line = service.wait_for("listening");
        // `"public":"ADDRESS"` or, for people, `public=ADDRESS`.
        let address = |name: &str| {
            let (_, rest) =
                line.split_once(&format!("{name}\":\"")).or_else(|| line.split_once(&format!("{name}=")))?;
            Some(format!("http://{}", rest.split(['"', ' ']).next()?))
        };
        service.url = address("public").expect("an address");
        service.management_url = address("management").expect("an address");
        service
    }

    /// Starts `serve` at a level at which it does not say where it listens.
    pub fn serve_quietly(self, level: &str) -> (Self, Service) {
        let [port] = ports::free();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let place = self.with("SIGNET_LOG__LEVEL", level).with("SIGNET_PUBLIC__LISTEN", &address.to_string());
        let mut service = place.spawn(&["serve"]);
        service.url = format!("http://{address}");
        wait::until("it does not listen", || TcpStream::connect(address).is_ok());
        (place, service)
    }

    fn spawn(&self, arguments: &[&str]) -> Service {
        let mut command = self.command(arguments);
        // `dev` is quiet otherwise, and this is how the ports are learned.
        let level = if secrets::are_noted() { "debug" } else { "info" };
        for (name, value) in [("SIGNET_LOG__LEVEL", level), ("SIGNET_LOG__FORMAT", "json")] {
            if !self.environment.iter().any(|(own, _)| own == name) {
                command.env(name, value);
            }
        }
        command.process_group(0);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                secrets::pass_on(&line);
                written.lock().expect("nobody panics here").push(line);
            }
        });
        Service { child, log, heard: 0, url: String::new(), management_url: String::new() }
    }
}

/// A running service; killed when dropped.
pub struct Service {
    pub child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// How many lines of it were waited for or passed over.
    heard: usize,
    pub url: String,
    pub management_url: String,
}

impl Service {
    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    pub fn operator(&self) -> Client {
        Client::new(&self.management_url)
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("nobody panics here").clone()
    }

    /// Waits for the next log line that has `text` in it.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        let heard = self.heard;
        let next = |log: Vec<String>| {
            let found = log[heard..].iter().position(|line| line.contains(text))?;
            Some((heard + found + 1, log[heard + found].clone()))
        };
        let found = wait::until_some(|| next(self.log()));
        let (heard, line) = found.unwrap_or_else(|| panic!("no {text} in the log:\n{}", self.log().join("\n")));
        self.heard = heard;
        line
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([format!("-{name}"), pid]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for the end; the exit code and what was printed.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = wait::until_some(|| self.child.try_wait().expect("a child")).expect("it ends");
        let mut printed = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut printed).expect("UTF-8");
        (status.code(), printed)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
