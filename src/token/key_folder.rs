//! Changes to a folder of keys. Each is one step for whoever reads the folder meanwhile, and is on disk when the call
//! returns: a crash leaves the folder as it was before or after, never between.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use super::key_file::Error;

/// Makes the folder, for its owner alone, unless it is there.
///
/// # Errors
/// If it cannot be made.
pub fn make(dir: &Path) -> Result<(), Error> {
    if dir.exists() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at(dir))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => Ok(()),
    }
}

/// Puts a new file into the folder, for its owner alone, or for the group that shares the folder. Made by root, it belongs to whoever owns the folder: the service
/// that runs as somebody else could not read it, and would refuse the whole folder.
///
/// # Errors
/// If there is a file of that name, or it cannot be written.
pub fn put(dir: &Path, file: &str, text: &str) -> Result<(), Error> {
    let (path, draft) = (dir.join(file), dir.join(format!(".{file}.draft")));
    let mode = 0o600 | shared_with_group(dir);
    // Nobody reads a draft. It can be made only once, so whoever made it decides alone whether the name is free.
    let mut written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft).map_err(at(&draft))?;
    let done = demand_absence(&path)
        .and_then(|()| give_to_owner(&written, dir))
        .and_then(|()| written.write_all(text.as_bytes()).and_then(|()| written.sync_all()).map_err(at(&draft)))
        .and_then(|()| fs::rename(&draft, &path).map_err(at(&path)));
    if done.is_err() {
        let _ = fs::remove_file(&draft);
    }
    done.and_then(|()| sync(dir))
}

/// Gives a file another name.
///
/// # Errors
/// If there is a file of that name, or none of the old.
pub fn rename(dir: &Path, file: &str, name: &str) -> Result<(), Error> {
    let (from, to) = (dir.join(file), dir.join(name));
    demand_absence(&to)?;
    fs::rename(&from, &to).map_err(at(&from))?;
    sync(dir)
}

/// Removes a file.
///
/// # Errors
/// If it cannot be removed.
pub fn remove(dir: &Path, file: &str) -> Result<(), Error> {
    let path = dir.join(file);
    fs::remove_file(&path).map_err(at(&path))?;
    sync(dir)
}

/// What the group may do with the keys in a folder, as mode bits: read them, if the folder has the setgid bit, which hands
/// its group on to what is in it; else nothing. So a service need not own its keys: under systemd it has another user at
/// every start, and in Kubernetes a secret's files are root's and the pod's group's.
pub(super) fn shared_with_group(dir: &Path) -> u32 {
    let is_setgid = fs::metadata(dir).is_ok_and(|metadata| metadata.mode() & 0o2000 != 0);
    if is_setgid { 0o040 } else { 0 }
}

fn give_to_owner(file: &File, dir: &Path) -> Result<(), Error> {
    let (ours, owner) = (file.metadata().map_err(at(dir))?, fs::metadata(dir).map_err(at(dir))?);
    if ours.uid() == 0 && owner.uid() != 0 {
        fchown(file, Some(owner.uid()), Some(owner.gid())).map_err(at(dir))?;
    }
    Ok(())
}

fn demand_absence(path: &Path) -> Result<(), Error> {
    // A symlink that leads nowhere holds its name too.
    if fs::symlink_metadata(path).is_ok() {
        return Err(at(path)(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of that name")));
    }
    Ok(())
}

/// The names in a folder are on disk only when the folder is.
fn sync(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))
}

/// Says where something went wrong.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path: PathBuf = path.to_owned();
    move |error| Error::Io { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("readable").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_name_that_is_taken_is_refused_and_keeps_its_file() {
        let dir = tempfile::tempdir().expect("a folder");
        put(dir.path(), "a.pem", "first").expect("put");
        put(dir.path(), "b.pem", "second").expect("put");
        assert!(put(dir.path(), "a.pem", "third").expect_err("taken").to_string().contains("a.pem"));
        assert!(rename(dir.path(), "b.pem", "a.pem").is_err());
        assert_eq!(fs::read_to_string(dir.path().join("a.pem")).expect("there"), "first");
        assert_eq!(names(dir.path()), ["a.pem", "b.pem"], "and no draft is left");
    }

    #[test]
    fn what_root_puts_there_belongs_to_the_owner_of_the_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let is_root = fs::metadata(dir.path()).expect("there").uid() == 0;
        if is_root {
            std::os::unix::fs::chown(dir.path(), Some(65_534), Some(65_534)).expect("root may give a folder away");
        }
        put(dir.path(), "a.pem", "a key").expect("put");
        let (file, folder) = (fs::metadata(dir.path().join("a.pem")).expect("there"), fs::metadata(dir.path()));
        let folder = folder.expect("there");
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (folder.uid(), folder.gid(), 0o600));
    }

    #[test]
    fn of_many_at_once_one_gets_the_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let put = |number: usize| put(dir.path(), "a.pem", &number.to_string()).is_ok();
        let winners: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|number| scope.spawn(move || put(number).then_some(number))).collect();
            threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(fs::read_to_string(dir.path().join("a.pem")).expect("there"), winners[0].to_string());
        assert_eq!(names(dir.path()), ["a.pem"]);
    }
}
