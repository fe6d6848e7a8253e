//! What a run costs elsewhere: the processor time, page faults and memory of processes and all that descend from them, and
//! whatever else can be counted by a command, such as a database's own counters.

use std::collections::BTreeMap;
use std::process::Command;
use std::str::FromStr;

/// A process to watch: `NAME=PID`.
#[derive(Debug, Clone)]
pub struct Watched {
    pub name: String,
    pub pid: u32,
}

impl FromStr for Watched {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pid) = text.split_once('=').ok_or("a process to watch reads NAME=PID")?;
        let pid = pid.parse().map_err(|_| format!("`{pid}` is no process id"))?;
        Ok(Self { name: name.to_owned(), pid })
    }
}

/// What a process and its descendants have used since they began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_micros: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
    pub resident_bytes: u64,
}

/// One line of `/proc/PID/stat`, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    minor_faults: u64,
    major_faults: u64,
    /// Of itself and of its children that have ended.
    ticks: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(line: &str) -> Option<Self> {
        // The name of the program may hold anything, also spaces and parentheses; what follows it is numbers.
        let (_, numbers) = line.rsplit_once(')')?;
        let fields: Vec<&str> = numbers.split_whitespace().collect();
        let number = |position: usize| -> Option<u64> { fields.get(position - 3)?.parse().ok() };
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            minor_faults: number(10)? + number(11)?,
            major_faults: number(12)? + number(13)?,
            ticks: number(14)? + number(15)? + number(16)? + number(17)?,
            resident_pages: number(24)?,
        })
    }

    fn of_all() -> BTreeMap<u32, Self> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter_map(|pid| Some((pid, Self::of(pid)?))).collect()
    }

    fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }
}

/// What each of these has used so far.
pub fn usage(watched: &[Watched]) -> BTreeMap<String, Usage> {
    let all = Stat::of_all();
    let (tick, page) = (1_000_000 / rustix::param::clock_ticks_per_second(), rustix::param::page_size() as u64);
    let of_tree = |root: u32| {
        let tree = all.iter().filter(|(pid, _)| descends(**pid, root, &all));
        tree.fold(Usage::default(), |sum, (_, own)| Usage {
            cpu_micros: sum.cpu_micros + own.ticks * tick,
            minor_faults: sum.minor_faults + own.minor_faults,
            major_faults: sum.major_faults + own.major_faults,
            resident_bytes: sum.resident_bytes + own.resident_pages * page,
        })
    };
    watched.iter().map(|watched| (watched.name.clone(), of_tree(watched.pid))).collect()
}

fn descends(mut pid: u32, root: u32, all: &BTreeMap<u32, Stat>) -> bool {
    while pid != root {
        match all.get(&pid) {
            Some(stat) if stat.parent != 0 => pid = stat.parent,
            _ => return false,
        }
    }
    true
}

impl Usage {
    /// What was used since; memory is what it is now.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu_micros: self.cpu_micros.saturating_sub(earlier.cpu_micros),
            minor_faults: self.minor_faults.saturating_sub(earlier.minor_faults),
            major_faults: self.major_faults.saturating_sub(earlier.major_faults),
            resident_bytes: self.resident_bytes,
        }
    }
}

/// Runs a command that prints lines of a name and a number.
///
/// # Errors
/// If it fails, or prints anything else.
pub fn probe(command: &str) -> Result<BTreeMap<String, f64>, String> {
    let output = Command::new("sh").args(["-c", command]).output().map_err(|error| format!("{command}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| {
        let (name, number) = line.trim().rsplit_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    });
    lines.collect::<Option<_>>().ok_or_else(|| format!("{command}: prints something else than names and numbers"))
}

/// What all these commands print.
///
/// # Errors
/// See [`probe`].
pub fn probe_all(commands: &[String]) -> Result<BTreeMap<String, f64>, String> {
    commands.iter().try_fold(BTreeMap::new(), |mut all, command| {
        all.extend(probe(command)?);
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_moves_no_field() {
        let rest = "S 7 1 1 0 -1 4194560 10 1 2 0 300 40 5 6 20 0 4 0 100 200 33 184467";
        let stat = Stat { parent: 7, minor_faults: 11, major_faults: 2, ticks: 351, resident_pages: 33 };
        assert_eq!(Stat::parse(&format!("42 (post gres) x) {rest}")), Some(stat));
    }

    #[test]
    fn the_time_of_a_child_that_has_ended_is_not_lost() {
        let own = [Watched { name: "own".to_owned(), pid: std::process::id() }];
        let before = usage(&own)["own"];
        let child = Command::new("sh").args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]).status();
        assert!(child.expect("a shell runs").success());
        let used = usage(&own)["own"].since(before);
        assert!(used.cpu_micros >= 20_000, "{used:?}");
        assert!(used.resident_bytes > 100_000);
    }

    #[test]
    fn a_probe_prints_names_and_numbers() {
        let counted = probe("printf 'wal bytes 12\\nx 0.5\\n'").expect("well formed");
        assert_eq!(counted, BTreeMap::from([("wal bytes".to_owned(), 12.0), ("x".to_owned(), 0.5)]));
        assert!(probe("echo nonsense").is_err());
        assert!(probe("echo a 1; exit 3").is_err());
    }
}
