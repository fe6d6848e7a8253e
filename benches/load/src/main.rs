//! `load`: drives a server with clients of its calls, in a closed loop or at a fixed rate.
//!
//! ```text
//! calls.rs        what a server's calls look like, from a TOML file; template.rs fills in what differs
//! mix.rs          which call is next; pace.rs when
//! client.rs       makes it; connection.rs carries it
//! tally.rs        counts the answers and their latencies; watch.rs what they cost elsewhere
//! run.rs          puts these together; report.rs says what came out
//! ```
//!
//! All of it is one thread: it shares the machine with what it measures and must cost little beside it.

mod calls;
mod client;
mod connection;
mod mix;
mod pace;
mod report;
mod run;
mod tally;
mod template;
mod watch;

use std::collections::BTreeMap;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::Parser;

use calls::Calls;
use client::{Client, Target};
use mix::Mix;
use pace::Pace;
use report::Report;
use run::Group;
use template::Values;
use watch::Watched;

/// Drives a server with clients, each on a connection of its own, and says what was answered, how fast and at what cost.
///
/// Examples: `load enrol --requests 16 --clients 4` makes users, then `load refresh`, `load refresh=80,me=15,login=5`,
/// `load me --rate 500 --beside login:256`.
#[derive(Parser)]
#[command(name = "load", version, max_term_width = 100)]
struct Arguments {
    /// The call to make, or several and their weights
    mix: Mix,
    /// The server: http://HOST:PORT
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    target: TargetUrl,
    /// The description of the server's calls; Signet's own unless it is given
    #[arg(long, value_name = "FILE")]
    calls: Option<PathBuf>,
    /// How many clients
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    clients: u16,
    /// Begin so many requests a second, whatever becomes of the others; without it each client begins one when its last
    /// one is answered
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// How many seconds count
    #[arg(long, default_value = "10", value_parser = seconds)]
    duration: Duration,
    /// How many seconds before do not; 2, or 0 with --requests
    #[arg(long, value_parser = seconds)]
    warm_up: Option<Duration>,
    /// End after so many requests
    #[arg(long)]
    requests: Option<u64>,
    /// Then do the same again beside so many more clients that make another call in a closed loop: CALL:CLIENTS
    #[arg(long, value_name = "MIX:CLIENTS")]
    beside: Option<Beside>,
    /// Set a variable of the calls: NAME=VALUE
    #[arg(long, value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Variables of each client: comma-separated values, the first line has the names, each client takes the next
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// Say what a process and its descendants use meanwhile
    #[arg(long, value_name = "NAME=PID")]
    watch: Vec<Watched>,
    /// Run a command before and after that prints lines of a name and a number, and say how much each grew
    #[arg(long, value_name = "COMMAND")]
    probe: Vec<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone)]
struct TargetUrl(Target);

impl FromStr for TargetUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = text.strip_prefix("http://").ok_or("a target reads http://HOST:PORT")?.trim_end_matches('/');
        let mut addresses = host.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("{host} has no address"))?;
        Ok(Self(Target { host: host.to_owned(), address }))
    }
}

#[derive(Debug, Clone)]
struct Beside {
    mix: Mix,
    clients: u16,
}

impl FromStr for Beside {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mix, clients) = text.rsplit_once(':').ok_or("what is beside reads CALL:CLIENTS")?;
        Ok(Self { mix: mix.parse()?, clients: clients.parse().map_err(|_| format!("`{clients}` is no number"))? })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    const LONGEST: f64 = 86_400.0;
    match text.parse() {
        Ok(seconds) if (0.0..=LONGEST).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("a number of seconds up to {LONGEST}")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    const HIGHEST: f64 = 1e6;
    match text.parse() {
        Ok(rate) if (1e-3..=HIGHEST).contains(&rate) => Ok(rate),
        _ => Err(format!("a number of requests a second up to {HIGHEST}")),
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a variable reads NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match tokio::task::LocalSet::new().block_on(&runtime, measure(&arguments)) {
        Ok(reports) => {
            print(&arguments, &reports);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(arguments: &Arguments, reports: &[Report]) {
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(reports).expect("a report is plain data"));
    } else {
        reports.iter().for_each(|report| println!("{report}"));
    }
}

/// One run, and with `--beside` a second one.
async fn measure(arguments: &Arguments) -> Result<Vec<Report>, String> {
    let makes = Makes::new(arguments)?;
    let mut main = makes.group(&arguments.mix, arguments.clients)?;
    main.prepare().await?;
    let own = Watched { name: "load".to_owned(), pid: std::process::id() };
    let watched: Vec<Watched> = arguments.watch.iter().cloned().chain([own]).collect();

    let pace = match arguments.rate {
        Some(rate) => format!("{rate} requests a second"),
        None => "closed loop".to_owned(),
    };
    let name = format!("{} clients, {pace}", arguments.clients);
    let before = watch::probe_all(&arguments.probe)?;
    let mut groups = vec![(main, arguments.pace())];
    let (found, seen) = run::run(&mut groups, &watched).await?;
    let grown = arguments.grown_since(&before)?;
    let mut reports = vec![Report::new("alone", std::slice::from_ref(&name), &found, &seen, &grown)];

    if let Some(beside) = &arguments.beside {
        let mut other = makes.group(&beside.mix, beside.clients)?;
        other.prepare().await?;
        let before = watch::probe_all(&arguments.probe)?;
        groups[0].1 = arguments.pace();
        let closed = Pace::closed(groups[0].1.begin, arguments.warm_up(), arguments.duration, None);
        groups.push((other, closed));
        let (found, seen) = run::run(&mut groups, &watched).await?;
        let names = [name, format!("{} clients beside, closed loop", beside.clients)];
        reports.push(Report::new("together", &names, &found, &seen, &arguments.grown_since(&before)?));
    }
    Ok(reports)
}

impl Arguments {
    /// How much each number that the probes print has grown.
    fn grown_since(&self, before: &BTreeMap<String, f64>) -> Result<BTreeMap<String, f64>, String> {
        let after = watch::probe_all(&self.probe)?;
        let earlier = |name: &String| before.get(name).copied().unwrap_or_default();
        Ok(after.into_iter().map(|(name, value)| (name.clone(), value - earlier(&name))).collect())
    }

    /// From now on.
    fn pace(&self) -> Pace {
        let (begin, limit) = (Instant::now(), self.requests);
        match self.rate {
            None => Pace::closed(begin, self.warm_up(), self.duration, limit),
            Some(rate) => Pace::fixed(begin, self.warm_up(), self.duration, limit, rate),
        }
    }

    /// Of so many requests and no more, all count.
    fn warm_up(&self) -> Duration {
        self.warm_up.unwrap_or(Duration::from_secs(if self.requests.is_some() { 0 } else { 2 }))
    }
}

/// Makes groups of clients.
struct Makes<'a> {
    target: &'a Target,
    calls: Rc<Calls>,
    set: &'a [(String, String)],
    rows: Vec<Values>,
}

impl<'a> Makes<'a> {
    fn new(arguments: &'a Arguments) -> Result<Self, String> {
        let read =
            |path: &PathBuf| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
        let calls = match &arguments.calls {
            None => include_str!("../calls/signet.toml").to_owned(),
            Some(path) => read(path)?,
        };
        let rows = arguments.rows.as_ref().map(read).transpose()?;
        Ok(Self {
            target: &arguments.target.0,
            calls: Rc::new(Calls::parse(&calls)?),
            set: &arguments.set,
            rows: rows.map_or_else(Vec::new, |text| parse_rows(&text)),
        })
    }

    fn group(&self, mix: &Mix, clients: u16) -> Result<Group, String> {
        let clients = (0..clients).map(|number| {
            let values = self.values(number)?;
            for name in mix.names() {
                let call = self.calls.find(&name)?;
                for each in self.calls.before(call)?.into_iter().chain([call]) {
                    self.calls.check(each, &values)?;
                }
            }
            Ok(Client::new(&self.calls, self.target, values))
        });
        Ok(Group { mix: mix.clone(), clients: clients.collect::<Result<_, String>>()? })
    }

    /// What client `number` knows at first: what is given, its row, what is set, and what is made of these.
    fn values(&self, number: u16) -> Result<Values, String> {
        let mut values = Values::from([("client".to_owned(), number.to_string())]);
        values.insert("run".to_owned(), std::process::id().to_string());
        if !self.rows.is_empty() {
            let row =
                self.rows.get(usize::from(number)).ok_or_else(|| format!("--rows has none for client {number}"))?;
            values.extend(row.clone());
        }
        values.extend(self.set.iter().cloned());
        for (name, template) in &self.calls.variables {
            if !values.contains_key(name) {
                let mut value = Vec::new();
                template.write(&values, &mut value).map_err(|missing| format!("variables.{name}: ${{{missing}}}?"))?;
                values.insert(name.clone(), String::from_utf8_lossy(&value).into_owned());
            }
        }
        Ok(values)
    }
}

fn parse_rows(text: &str) -> Vec<Values> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
    let row = |line: &str| -> BTreeMap<String, String> {
        names.iter().zip(line.split(',')).map(|(name, value)| ((*name).to_owned(), value.trim().to_owned())).collect()
    };
    lines.map(|line| row(line).into_iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_knows_its_row_what_was_set_and_what_is_made_of_them() {
        let arguments = Arguments::try_parse_from(["load", "me", "--set", "password=p=q"]).expect("arguments");
        let mut makes = Makes::new(&arguments).expect("our own calls");
        assert_eq!(makes.values(3).expect("values")["email"], "user3@load.example");
        makes.rows = parse_rows("email, x\n\na@b.example, 1\nc@d.example, 2\n");
        let values = makes.values(1).expect("values");
        assert_eq!((&*values["email"], &*values["password"], &*values["x"]), ("c@d.example", "p=q", "2"));
        assert!(makes.values(2).is_err(), "there is no third row");
    }

    #[test]
    fn arguments_out_of_bounds_are_refused() {
        for wrong in [
            &["load", "me", "--clients", "0"][..],
            &["load", "me", "--rate", "0"],
            &["load", "me", "--duration", "-1"],
            &["load", "me", "--target", "https://localhost:1"],
            &["load", "me", "--beside", "login"],
        ] {
            assert!(Arguments::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
