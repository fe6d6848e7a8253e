//! A client program: run to its end, or serving until the test is over, and never longer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a program may take to answer, or a server to listen. Both take a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program, killed when it is dropped: also by a test that fails.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Process {
    fn start(command: &mut Command) -> io::Result<Self> {
        // Nothing leaves the machine through a proxy, and nothing is written beside the programs.
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }

    /// How it ended; `None` if it had to be stopped.
    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return Some(status);
            }
            if begun.elapsed() > patience {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program said, and how it ended (`None`: it took too long and was stopped).
pub struct Ended {
    pub status: Option<ExitStatus>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

/// Runs a program to its end; an error if there is no such program.
pub fn run(command: &mut Command, input: &str, patience: Duration) -> io::Result<Ended> {
    let mut process = Process::start(command)?;
    let stdout = collect(process.child.stdout.take());
    let stderr = collect(process.child.stderr.take());
    // A program that ends early says why itself.
    let _ = process.stdin.take().expect("piped").write_all(input.as_bytes());
    let status = process.wait(patience);
    let text = |thread: JoinHandle<String>| thread.join().expect("a reader does not panic");
    Ok(Ended { status, stdout: text(stdout), stderr: text(stderr) })
}

fn collect(from: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    let mut from = from.expect("piped");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs a program that must succeed; what it printed.
#[track_caller]
pub fn output(command: &mut Command, input: &str) -> String {
    let ended = run(command, input, PATIENCE).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(ended.is_success(), "{command:?}: {:?}\n{}{}", ended.status, ended.stdout, ended.stderr);
    ended.stdout
}

/// A program that answers each line with a line.
pub struct Conversation {
    process: Process,
    answers: Receiver<String>,
}

impl Conversation {
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let mut process = Process::start(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (said, answers) = mpsc::channel();
        forward(process.child.stdout.take(), said);
        let (complaints, _) = mpsc::channel();
        forward(process.child.stderr.take(), complaints);
        Self { process, answers }
    }

    /// What it says to a line.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        let stdin = self.process.stdin.as_mut().expect("piped");
        writeln!(stdin, "{line}").expect("the program reads");
        self.answers.recv_timeout(PATIENCE).expect("the program answers")
    }
}

/// A server on loopback.
pub struct Serving {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    _process: Process,
}

impl Serving {
    /// Starts a program that listens where it was told to, and waits until it does.
    #[track_caller]
    pub fn start_at(command: &mut Command, address: SocketAddr) -> Self {
        let mut process = Process::start(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = collect(process.child.stderr.take());
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let has_ended = process.child.try_wait().expect("our own child").is_some();
            if has_ended || begun.elapsed() > PATIENCE {
                drop(process);
                panic!("{command:?} does not listen:\n{}", said.join().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { url: format!("http://{address}"), _process: process }
    }

    /// Starts a program that takes a free port and says which in a line of its output.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let mut process = Process::start(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (said, lines) = mpsc::channel();
        forward(process.child.stdout.take(), said.clone());
        forward(process.child.stderr.take(), said);
        match first_url(&lines) {
            Ok(url) => Self { url, _process: process },
            Err(heard) => panic!("{command:?} does not listen:\n{heard}"),
        }
    }
}

/// Reads on when nobody listens any more, so that the program never waits for us.
fn forward(from: Option<impl Read + Send + 'static>, to: mpsc::Sender<String>) {
    let lines = BufReader::new(from.expect("piped")).lines();
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(to.send(line))));
}

fn first_url(lines: &Receiver<String>) -> Result<String, String> {
    let begun = Instant::now();
    let mut heard = String::new();
    while let Ok(line) = lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
        if let Some(start) = line.find("http://127.0.0.1:") {
            let url = line[start..].split_whitespace().next().unwrap_or_default();
            return Ok(url.to_owned());
        }
        heard.push_str(&line);
        heard.push('\n');
    }
    Err(heard)
}
