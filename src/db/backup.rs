//! A copy of a SQLite database that is in use: one moment of it, whole, checked, on disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use diesel::SqliteConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::connection::Conn;
use super::{Url, migrations};

/// Why there is no copy; one line. The database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to copy.
    #[error("{path}: there is no database", path = .0.display())]
    NoDatabase(PathBuf),
    /// Nothing is overwritten.
    #[error("{path}: is there already, and nothing is overwritten; name another file", path = .0.display())]
    Exists(PathBuf),
    /// A file or folder.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// SQLite's words.
    #[error("could not copy the database: {0}")]
    Failed(String),
    /// What the copy's own check says of it.
    #[error("the copy is damaged, and so the database may be: {0}")]
    Damaged(String),
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<diesel::ConnectionError> for Error {
    fn from(error: diesel::ConnectionError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Copies `database` to `copy`, which its owner alone can read; its size in bytes. Writers go on meanwhile.
///
/// The copy has its name only once it is whole, checked and on disk: what a crash leaves behind has another.
///
/// # Errors
/// See [`Error`]; among others if `copy` exists.
pub fn copy_sqlite(database: &Path, copy: &Path) -> Result<u64, Error> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| Error::Io { path, error }
    };
    // Connecting would make one.
    if !database.exists() {
        return Err(Error::NoDatabase(database.to_owned()));
    }
    if copy.exists() {
        return Err(Error::Exists(copy.to_owned()));
    }
    let mut draft = copy.as_os_str().to_owned();
    draft.push(".draft");
    let draft = PathBuf::from(draft);
    // VACUUM INTO takes an empty file for none, and keeps its rights.
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).map_err(io(&draft))?;
    vacuum_into(database, &draft).and_then(|()| check(&draft)).inspect_err(|_| drop(fs::remove_file(&draft)))?;
    let file = File::open(&draft).map_err(io(&draft))?;
    file.sync_all().map_err(io(&draft))?;
    fs::rename(&draft, copy).map_err(io(copy))?;
    let folder = copy.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))?;
    Ok(file.metadata().map_err(io(copy))?.len())
}

/// Reads in one transaction, so the copy is of one moment.
fn vacuum_into(database: &Path, copy: &Path) -> Result<(), Error> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| Error::Failed(format!("{}: the name is no UTF-8", path.display())))
    };
    let Conn::Sqlite(mut connection) = Url::Sqlite(text(database)?).connect()? else {
        return Err(Error::Failed("it is no SQLite database".to_owned()));
    };
    diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(text(copy)?).execute(&mut connection)?;
    Ok(())
}

/// A copy that nobody has read is none: looks at every page of it, and at its schema.
fn check(copy: &Path) -> Result<(), Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        integrity_check: String,
    }
    let mut connection = SqliteConnection::establish(&copy.to_string_lossy())?;
    let rows: Vec<Row> = diesel::sql_query("PRAGMA integrity_check").load(&mut connection)?;
    match rows.as_slice() {
        [row] if row.integrity_check == "ok" => {}
        rows => return Err(Error::Damaged(rows.first().map_or_else(String::new, |row| row.integrity_check.clone()))),
    }
    migrations::state_of(&mut Conn::Sqlite(connection))?;
    Ok(())
}
