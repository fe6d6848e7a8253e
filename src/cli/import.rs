//! `signet users import`: users of another service, from a file or from standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Failure, block_on};
use crate::account::import::{self, Counts, Terms, Told};
use crate::config::Config;
use crate::db::Db;
use crate::hasher::Hasher;
use crate::metrics::Metrics;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A file with one JSON object a line (docs/import.md), or - for standard input
    file: PathBuf,
    /// Only look what is wrong and what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Nobody reads faster.
const TELL_EVERY: Duration = Duration::from_secs(2);

pub(super) fn run(config: &Config, db: &Db, arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { file, dry_run } = arguments;
    let input: Box<dyn BufRead> = if file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Box::new(BufReader::with_capacity(256 * 1024, opened))
    };
    let nobodys_hash = Hasher::start(&config.hashing, Metrics::default())?.nobodys_hash();
    let begun = Instant::now();
    let mut told = begun;
    let tell = |what: Told<'_>| match what {
        Told::Refused { line, why } => eprintln!("line {line}: {why}"),
        Told::Progress(counts) if told.elapsed() >= TELL_EVERY => {
            told = Instant::now();
            eprintln!("{} ({} lines a second)", describe(counts), a_second(counts.lines, begun));
        }
        Told::Progress(_) => {}
    };
    let terms = Terms { nobodys_hash, is_dry_run: *dry_run };
    let counts = block_on(import::import(db, input, &terms, tell))??;
    println!("{}{}", if *dry_run { "dry run: " } else { "" }, describe(counts));
    match counts.refused {
        0 => Ok(()),
        count => Err(format!("{count} line(s) were refused").into()),
    }
}

fn describe(counts: Counts) -> String {
    let Counts { lines, imported, there, refused } = counts;
    format!("{lines} line(s): {imported} imported, {there} there before, {refused} refused")
}

fn a_second(lines: u64, begun: Instant) -> u64 {
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    lines.saturating_mul(1_000) / millis
}
