//! `signet backup`: copy a SQLite database while it is in use.

use std::path::{Path, PathBuf};

use super::{Failure, config_of_command, url_of};
use crate::db::{Url, backup};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where to write the copy; must not exist yet
    file: PathBuf,
}

pub(super) fn run(path: Option<&Path>, arguments: &Arguments) -> Result<(), Failure> {
    match url_of(&config_of_command(path)?)? {
        Url::Sqlite(database) => {
            let bytes = backup::copy_sqlite(Path::new(&database), &arguments.file)?;
            println!("{}: {bytes} bytes; the signing keys are not in it", arguments.file.display());
            Ok(())
        }
        url @ Url::Postgres(_) => {
            Err(format!("{url}: Postgres is backed up with pg_dump; see docs/operations.md").into())
        }
    }
}
