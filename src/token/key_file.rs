//! Keys on disk: PEM files in a folder, whose names are the schedule.
//!
//! Reads PKCS#8 and SEC1 private keys and SPKI public keys, P-256 only.  A folder in which one file is broken is refused
//! as a whole: the caller keeps what it had.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use p256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::key_folder::{self, at};
use super::keyring::{Key, PublicPoint};
use super::signing::Signing;
use crate::clock::Timestamp;
use crate::random;

/// Why a folder or a file in it cannot be used; one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or a file cannot be read or written.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Where keys should be there is nothing.
    #[error("{path}: there is no such folder; mount it, or have `signet keys new` make it with a first key", path = .0.display())]
    NoFolder(PathBuf),
    /// A file that is no P-256 key.
    #[error("{file}: {reason}")]
    NotAKey {
        /// Its name.
        file: String,
        /// What it is instead, as far as that can be told.
        reason: &'static str,
    },
    /// A name that looks like a time and is none.
    #[error("{0}: looks like a time and is none; it should read like 2026-11-21T10-00-00Z.pem")]
    NotATime(String),
}

/// The keys of a folder, and what is worth a warning.
#[derive(Clone, Default)]
pub struct Folder {
    /// In no particular order; a key that is there twice counts once, at its earliest time.
    pub keys: Vec<Key>,
    /// One line each.
    pub warnings: Vec<String>,
}

/// Reads every `*.pem` of a folder.
///
/// # Errors
/// If the folder or any of its keys cannot be read.
pub fn read_folder(dir: &Path) -> Result<Folder, Error> {
    let mut folder = Folder::default();
    let shared = key_folder::shared_with_group(dir);
    for (key, mode) in read_each(dir)? {
        if key.signing.is_some() && mode & 0o077 & !shared != 0 {
            let path = dir.join(&key.file);
            folder.warnings.push(format!("{}: others than its owner can read this private key", path.display()));
        }
        folder.add(key);
    }
    Ok(folder)
}

/// The key of each file: one that is there twice comes twice.
///
/// # Errors
/// If the folder or any of its keys cannot be read.
pub fn read_files(dir: &Path) -> Result<Vec<Key>, Error> {
    Ok(read_each(dir)?.into_iter().map(|(key, _)| key).collect())
}

/// Each key and the mode of its file. Begins again when a file was renamed or removed since the folder was listed, as by
/// `signet keys revoke`: that is no fault of the folder.
fn read_each(dir: &Path) -> Result<Vec<(Key, u32)>, Error> {
    read_listed(dir, || names(dir))
}

/// So often is a folder listed before a file that has gone counts as missing.
const TRIES: u32 = 3;

fn read_listed(dir: &Path, mut list: impl FnMut() -> Result<Vec<String>, Error>) -> Result<Vec<(Key, u32)>, Error> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        // What begins with a dot is a draft of ours, or a generation of a Kubernetes secret.
        let names = list()?.into_iter().filter(|name| !name.starts_with('.') && name.ends_with(".pem"));
        match names.map(|file| read(dir, &file)).collect() {
            Err(Error::Io { path, error }) if tries > 0 && has_gone(&path, &error) => {}
            keys => return keys,
        }
    }
}

/// What a revoked key's file ends with, after its former name.
pub const REVOKED: &str = ".revoked";

/// The keys that were revoked and whose files are still there.
///
/// # Errors
/// If the folder cannot be read. A file that is no key is passed over: nothing hangs on it any more.
pub fn read_revoked(dir: &Path) -> Result<Vec<Key>, Error> {
    let files = names(dir)?.into_iter().filter(|name| name.ends_with(REVOKED));
    Ok(files.filter_map(|file| read(dir, &file).ok()).map(|(key, _)| key).collect())
}

fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    let entries = fs::read_dir(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NoFolder(dir.to_owned()),
        _ => at(dir)(error),
    });
    for entry in entries? {
        names.extend(entry.map_err(at(dir))?.file_name().into_string());
    }
    Ok(names)
}

fn read(dir: &Path, file: &str) -> Result<(Key, u32), Error> {
    let path = dir.join(file);
    let mut pem = Zeroizing::new(String::new());
    let mut open = File::open(&path).map_err(at(&path))?;
    let mode = open.metadata().map_err(at(&path))?.mode();
    open.read_to_string(&mut pem).map_err(at(&path))?;
    Ok((parse(&pem, file)?, mode))
}

/// Whether the folder has no such name any more; a symlink that leads nowhere is still there.
fn has_gone(path: &Path, error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err()
}

impl Folder {
    fn add(&mut self, key: Key) {
        match self.keys.iter_mut().find(|own| own.kid == key.kid) {
            None => self.keys.push(key),
            Some(own) => {
                if key.active_from < own.active_from {
                    (own.active_from, own.file) = (key.active_from, key.file);
                }
                own.signing = own.signing.take().or(key.signing);
            }
        }
    }
}

/// Reads one key; `file` is its name.
///
/// # Errors
/// [`Error::NotAKey`] or [`Error::NotATime`].
pub fn parse(pem: &str, file: &str) -> Result<Key, Error> {
    let not_a_key = |reason| Error::NotAKey { file: file.to_owned(), reason };
    let has = |label: &str| pem.contains(&format!("-----BEGIN {label}-----"));
    let active_from = scheduled_time(file)?;
    let secret = if has("PRIVATE KEY") {
        Some(SecretKey::from_pkcs8_pem(pem).map_err(|_| not_a_key("not a P-256 private key in PKCS#8"))?)
    } else if has("EC PRIVATE KEY") {
        // openssl writes the curve's parameters before the key.
        let start = pem.find("-----BEGIN EC PRIVATE KEY-----").unwrap_or_default();
        Some(SecretKey::from_sec1_pem(&pem[start..]).map_err(|_| not_a_key("not a P-256 private key in SEC1"))?)
    } else {
        None
    };
    let public = match &secret {
        Some(secret) => secret.public_key(),
        None if has("PUBLIC KEY") => {
            PublicKey::from_public_key_pem(pem).map_err(|_| not_a_key("not a P-256 public key"))?
        }
        None if has("RSA PRIVATE KEY") => {
            return Err(not_a_key("an RSA key; Signet signs ES256 and needs a P-256 key"));
        }
        None if has("ENCRYPTED PRIVATE KEY") => return Err(not_a_key("an encrypted key; it must be unencrypted")),
        None => return Err(not_a_key("no PEM key")),
    };
    let point = public_point(&public);
    let kid = thumbprint(&point);
    let verifying =
        DecodingKey::from_ec_components(&point.x, &point.y).map_err(|_| not_a_key("not a point on P-256"))?;
    let signing = secret.map(|secret| Signing::new(&secret, &kid)).transpose();
    let signing = signing.map_err(|_| not_a_key("a P-256 key that cannot sign"))?;
    Ok(Key { kid, file: file.to_owned(), active_from, signing, verifying, public: point })
}

fn public_point(public: &PublicKey) -> PublicPoint {
    let point = public.to_sec1_point(false);
    let coordinate = |bytes: Option<&p256::FieldBytes>| URL_SAFE_NO_PAD.encode(bytes.expect("an uncompressed point"));
    PublicPoint { x: coordinate(point.x()), y: coordinate(point.y()) }
}

/// RFC 7638 §3: SHA-256 over the required members in lexical order.
fn thumbprint(point: &PublicPoint) -> String {
    let PublicPoint { x, y } = point;
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)))
}

/// How a scheduled file is named, less `.pem`.
const NAME_FORMAT: &str = "%Y-%m-%dT%H-%M-%SZ";

/// The time in a file's name. A name that is none counts as active since ever, but one that nearly is must be a mistake.
fn scheduled_time(file: &str) -> Result<Option<Timestamp>, Error> {
    // What follows `.pem.` is how a revoked key's file was renamed.
    let stem = file.strip_suffix(".pem").or_else(|| Some(file.split_once(".pem.")?.0)).unwrap_or(file);
    if !stem.starts_with(|c: char| c.is_ascii_digit()) || !stem.contains('T') {
        return Ok(None);
    }
    let not_a_time = || Error::NotATime(file.to_owned());
    let civil = jiff::civil::DateTime::strptime(NAME_FORMAT, stem).map_err(|_| not_a_time())?;
    let time = jiff::tz::TimeZone::UTC.to_timestamp(civil).map_err(|_| not_a_time())?;
    Ok(Some(Timestamp::from_micros(time.as_microsecond())))
}

/// The name of a file whose key signs from that time on.
pub fn file_name(active_from: Timestamp) -> String {
    let time = jiff::Timestamp::from_second(active_from.as_seconds()).expect("within the calendar");
    format!("{}.pem", time.strftime(NAME_FORMAT))
}

/// A new private key, PKCS#8 PEM.
pub fn generate() -> Zeroizing<String> {
    let secret = loop {
        // Nearly every 32 bytes are a scalar of the curve.
        if let Ok(secret) = SecretKey::from_slice(Zeroizing::new(random::bytes::<32>()).as_slice()) {
            break secret;
        }
    };
    secret.to_pkcs8_pem(LineEnding::LF).expect("a P-256 key can be encoded")
}

/// Makes a key and puts it into `dir`, which is made if need be. It signs `activate_in` from now; in an empty folder at
/// once, since nobody can hold a JWKS without it. Whole seconds count.
///
/// # Errors
/// If the folder cannot be read or written, or a key of that time exists.
pub fn create(dir: &Path, now: Timestamp, activate_in: Duration) -> Result<Key, Error> {
    key_folder::make(dir)?;
    create_at(dir, if read_files(dir)?.is_empty() { now } else { now + activate_in })
}

/// The first whole second that is at least that far ahead: a name has no fractions, and a lead is never cut short.
pub fn after(now: Timestamp, lead: Duration) -> Timestamp {
    now + lead + Duration::from_micros(999_999)
}

/// Makes a key that signs from a time on, of which whole seconds count, and puts it into `dir`.
///
/// # Errors
/// If the folder cannot be written, or a key of that time exists.
pub fn create_at(dir: &Path, active_from: Timestamp) -> Result<Key, Error> {
    let file = file_name(active_from);
    let pem = generate();
    let key = parse(&pem, &file)?;
    key_folder::put(dir, &file, &pem)?;
    Ok(key)
}

/// The public half of a key, SPKI PEM, for gateways that take nothing else.
pub fn public_pem(key: &Key) -> String {
    let coordinate = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("our own encoding");
    let sec1: Vec<u8> = [vec![4], coordinate(&key.public.x), coordinate(&key.public.y)].concat();
    let public = PublicKey::from_sec1_bytes(&sec1).expect("the point of a key that was parsed");
    public.to_public_key_pem(LineEnding::LF).expect("a P-256 key can be encoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_read_back_and_its_public_half_has_the_same_kid() {
        let key = parse(&generate(), "a.pem").expect("a private key");
        assert!(key.signing.is_some() && key.active_from.is_none());
        assert_eq!((key.public.x.len(), key.public.y.len(), key.kid.len()), (43, 43, 43));
        let public = parse(&public_pem(&key), "b.pem").expect("a public key");
        assert!(public.signing.is_none());
        assert_eq!(public.kid, key.kid);
    }

    #[test]
    fn the_kid_is_the_thumbprint_of_rfc_7638() {
        // The key of RFC 7517 appendix A.1; the thumbprint was computed with another implementation.
        let point = PublicPoint {
            x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4".to_owned(),
            y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM".to_owned(),
        };
        assert_eq!(thumbprint(&point), "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
    }

    #[test]
    fn the_file_name_is_the_schedule() {
        let time = |file: &str| scheduled_time(file).map(|time| time.map(|time| time.to_string()));
        assert_eq!(time("2026-11-21T10-00-00Z.pem").expect("a time").as_deref(), Some("2026-11-21T10:00:00Z"));
        assert_eq!(time("signing.pem").expect("no time"), None);
        assert_eq!(time("2026-key.pem").expect("no time"), None);
        for file in ["2026-13-21T10-00-00Z.pem", "2026-11-21T10:00:00Z.pem", "2026-11-21T10-00.pem", "2026-11-21T.pem"]
        {
            assert!(matches!(time(file), Err(Error::NotATime(_))), "{file}");
        }
        assert_eq!(file_name(Timestamp::from_micros(1_795_255_200_999_999)), "2026-11-21T10-00-00Z.pem");
    }

    #[test]
    fn the_first_key_of_a_folder_signs_at_once_and_later_ones_when_asked_to() {
        let dir = tempfile::tempdir().expect("a folder");
        let now = Timestamp::from_micros(1_795_255_200_000_000);
        let day = Duration::from_secs(86_400);
        let first = create(dir.path(), now, day).expect("created");
        assert_eq!(first.active_from, Some(now));
        let second = create(dir.path(), now, day).expect("created");
        assert_eq!(second.active_from, Some(now + day));
        assert!(create(dir.path(), now, day).is_err(), "the same time again");
        let third = create_at(dir.path(), after(now + Duration::from_micros(1), day)).expect("created");
        assert_eq!(third.active_from, Some(now + day + Duration::from_secs(1)), "no lead is cut short");
        let folder = read_folder(dir.path()).expect("readable");
        assert_eq!(folder.keys.len(), 3);
        assert_eq!(folder.warnings, Vec::<String>::new());
    }

    #[test]
    fn a_file_that_goes_while_the_folder_is_read_is_looked_for_again_but_not_for_ever() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("here.pem"), generate().as_bytes()).expect("written");
        fs::write(dir.path().join(".draft.pem"), "half a key").expect("written");
        // Lists a file that has gone, as often as it is told to.
        let read_after = |stale: u32| {
            let mut lists = 0;
            let read = read_listed(dir.path(), || {
                lists += 1;
                let name = if lists <= stale { "gone.pem" } else { "here.pem" };
                Ok([name, ".draft.pem", "notes.txt"].map(str::to_owned).into())
            });
            (read.map(|keys| keys.len()).ok(), lists)
        };
        assert_eq!([0, 1, 2].map(read_after), [(Some(1), 1), (Some(1), 2), (Some(1), 3)]);
        assert_eq!(read_after(TRIES), (None, TRIES));
        // Nothing has gone: the fault is the file's, and at once.
        std::os::unix::fs::symlink(dir.path().join("nowhere"), dir.path().join("gone.pem")).expect("made");
        assert_eq!(read_after(1), (None, 1));
    }

    #[test]
    fn only_a_name_that_is_not_there_any_more_has_gone() {
        let dir = tempfile::tempdir().expect("a folder");
        let missing = dir.path().join("missing");
        let error = |kind: std::io::ErrorKind| std::io::Error::from(kind);
        assert!(has_gone(&missing, &error(std::io::ErrorKind::NotFound)));
        assert!(!has_gone(&missing, &error(std::io::ErrorKind::PermissionDenied)));
        assert!(!has_gone(dir.path(), &error(std::io::ErrorKind::NotFound)));
    }

    #[test]
    fn a_key_that_is_there_twice_counts_once_at_its_earliest_time() {
        let (pem, times) = (generate(), ["2026-11-21T10-00-00Z.pem", "2026-11-22T10-00-00Z.pem"]);
        let key = |file: &str| parse(&pem, file).expect("our own key");
        let public = |file: &str| parse(&public_pem(&key(file)), file).expect("its public half");
        for files in [times, [times[1], times[0]]] {
            for keys in [files.map(key), [public(files[0]), key(files[1])], [key(files[0]), public(files[1])]] {
                let mut folder = Folder::default();
                keys.into_iter().for_each(|key| folder.add(key));
                let [only] = &folder.keys[..] else { panic!("one key") };
                assert_eq!((only.file.as_str(), only.active_from), (times[0], key(times[0]).active_from));
                assert!(only.signing.is_some());
            }
        }
        let mut folder = Folder::default();
        ["first.pem", "second.pem"].map(key).into_iter().for_each(|key| folder.add(key));
        assert_eq!(folder.keys[0].file, "first.pem", "of the same time");
    }

    #[test]
    fn a_private_key_that_others_can_read_is_a_warning() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.pem");
        fs::write(&path, generate().as_bytes()).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        let folder = read_folder(dir.path()).expect("readable");
        assert!(folder.warnings[0].contains("a.pem"), "{:?}", folder.warnings);
    }

    #[test]
    fn the_group_of_a_setgid_folder_may_read_its_keys_and_nobody_else() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        set(dir.path(), 0o2750);
        let key = create(dir.path(), Timestamp::from_micros(0), Duration::ZERO).expect("created");
        let path = dir.path().join(&key.file);
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o640);
        let warnings = || read_folder(dir.path()).expect("readable").warnings.len();
        assert_eq!(warnings(), 0);
        for mode in [0o644, 0o660, 0o641] {
            set(&path, mode);
            assert_eq!(warnings(), 1, "{mode:o}");
        }
        set(&path, 0o640);
        set(dir.path(), 0o750);
        assert_eq!(warnings(), 1, "without the bit the group may be anybody's");
    }

    #[test]
    fn what_is_no_p256_key_is_named() {
        let reason = |pem: &str| parse(pem, "x.pem").err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(reason(""), "x.pem: no PEM key");
        assert!(reason("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----").contains("RSA"));
        let encrypted = reason("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----");
        assert!(encrypted.contains("unencrypted"), "{encrypted}");
        assert!(reason("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").contains("P-256"));
        let cut = generate();
        assert!(reason(&cut[..cut.len() / 2]).starts_with("x.pem: "));
    }
}
