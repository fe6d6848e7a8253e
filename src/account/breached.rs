//! Passwords that were stolen elsewhere: a file of their SHA-1 digests, in order, asked for each new password.
//!
//! The file is that of Have I Been Pwned in the order of its hashes, `DIGEST:COUNT` a line, as its own downloader writes it,
//! or any in that form; counts may be left out. It may have tens of gigabytes, so nothing of it is read in: a search by
//! halves reads some forty pieces of it. SHA-1 is the format's; nobody's password is kept by it.

use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use sha1::{Digest, Sha1};

use super::password::Password;

/// Digits of a digest.
const DIGITS: usize = 40;
/// A line is shorter: digits, a colon, a count, an end.
const MAX_LINE_BYTES: u64 = 64;
/// What is left of the file when it is read as a whole instead of being halved.
const PIECE_BYTES: u64 = 4096;
/// Places that are looked at when the file is opened.
const SAMPLES: u64 = 64;

/// The file, open. Clones share it.
#[derive(Clone)]
pub struct Breached {
    file: Arc<File>,
    length: u64,
}

impl Breached {
    /// Opens the file and looks at samples of it; an empty path is no file.
    ///
    /// # Errors
    /// If it cannot be read, or is not in the form or order that the search needs; one line.
    pub fn open(path: &Path) -> Result<Option<Self>, String> {
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let told = |reason: &dyn std::fmt::Display| format!("password.breached_file: {}: {reason}", path.display());
        let file = File::open(path).map_err(|error| told(&error))?;
        let length = file.metadata().map_err(|error| told(&error))?.len();
        let breached = Self { file: Arc::new(file), length };
        match breached.is_in_order() {
            Ok(true) => Ok(Some(breached)),
            Ok(false) => Err(told(&"is not a list of SHA-1 digests in their order, as `DIGEST:COUNT` a line")),
            Err(error) => Err(told(&error)),
        }
    }

    /// Whether the password is in it. Reads the file: not to be called where nothing may wait.
    ///
    /// # Errors
    /// If the file cannot be read any more.
    pub(crate) fn contains(&self, password: &Password) -> io::Result<bool> {
        let digest: [u8; 20] = Sha1::digest(password.expose().as_bytes()).into();
        let wanted = digest.map(|byte| format!("{byte:02X}")).concat();
        self.has_line(wanted.as_bytes())
    }

    fn has_line(&self, wanted: &[u8]) -> io::Result<bool> {
        // Whatever line it is begins in here.
        let (mut from, mut to) = (0, self.length);
        while to - from > PIECE_BYTES {
            let middle = from + (to - from) / 2;
            match self.line_after(middle)? {
                Some((start, line)) if start < to => match order(&line, wanted) {
                    Ordering::Less => from = start,
                    Ordering::Equal => return Ok(true),
                    Ordering::Greater => to = middle,
                },
                // No line begins in the second half.
                Some(_) | None => to = middle,
            }
        }
        // The line at the end of the piece may have begun before it.
        let piece = self.read(from, to - from + MAX_LINE_BYTES)?;
        Ok(piece.split(|byte| *byte == b'\n').any(|line| order(line, wanted) == Ordering::Equal))
    }

    /// The first line that begins after `place`, and where.
    fn line_after(&self, place: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
        let bytes = self.read(place, 2 * MAX_LINE_BYTES)?;
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = bytes[end + 1..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok((!line.is_empty()).then(|| (place + end as u64 + 1, line.to_vec())))
    }

    /// At most so many bytes.
    fn read(&self, place: u64, length: u64) -> io::Result<Vec<u8>> {
        let length = length.min(self.length.saturating_sub(place));
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, place)?;
        Ok(bytes)
    }

    /// Whether the first line and some of the others are digests, each after the one before.
    fn is_in_order(&self) -> io::Result<bool> {
        let beginning = self.read(0, 2 * MAX_LINE_BYTES)?;
        let first = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let Some(mut last) = digest_of(first) else { return Ok(false) };
        let mut last_start = 0;
        for sample in 0..SAMPLES {
            let Some((start, line)) = self.line_after(self.length / SAMPLES * sample)? else { continue };
            let Some(digest) = digest_of(&line) else { return Ok(false) };
            if start > last_start && digest <= last {
                return Ok(false);
            }
            (last, last_start) = (digest, start);
        }
        Ok(true)
    }
}

/// The digest at the beginning of a line, in upper case.
fn digest_of(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.trim_ascii_end();
    let (digits, rest) = line.split_at_checked(DIGITS)?;
    let is_counted =
        rest.is_empty() || rest.strip_prefix(b":").is_some_and(|count| count.iter().all(u8::is_ascii_digit));
    (is_counted && digits.iter().all(u8::is_ascii_hexdigit)).then(|| digits.to_ascii_uppercase())
}

fn order(line: &[u8], wanted: &[u8]) -> Ordering {
    line.iter().take(DIGITS).map(u8::to_ascii_uppercase).cmp(wanted.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn digest(text: &str) -> String {
        let digest: [u8; 20] = Sha1::digest(text.as_bytes()).into();
        digest.map(|byte| format!("{byte:02X}")).concat()
    }

    fn open(text: &str) -> Result<Option<Breached>, String> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        Breached::open(file.path())
    }

    fn contains(breached: &Breached, text: &str) -> bool {
        breached.contains(&Password::parse(text).expect("a password")).expect("read")
    }

    /// Files of all sizes around those at which the search reads the rest, with lines of all lengths.
    #[test]
    fn each_line_is_found_and_nothing_else_however_long_the_file_is() {
        for count in [1, 2, 3, 90, 91, 92, 93, 94, 200, 5_000] {
            for end in ["\n", "\r\n"] {
                let mut lines: Vec<String> = (0..count)
                    .map(|n| format!("{}:{}{end}", digest(&format!("stolen{n}")), 7_u64.pow(n % 13)))
                    .collect();
                lines.sort();
                let text = lines.concat();
                for text in [text.as_str(), text.trim_end()] {
                    let breached = open(text).expect("in order").expect("a file");
                    for n in 0..count {
                        assert!(contains(&breached, &format!("stolen{n}")), "{n} of {count}");
                        assert!(!contains(&breached, &format!("mine{n}")), "{n} of {count}");
                    }
                }
            }
        }
    }

    #[test]
    fn counts_may_be_left_out_and_digits_be_small() {
        let mut lines = ["password", "letmein1", "trustno1"].map(|text| digest(text).to_lowercase());
        lines.sort();
        let breached = open(&lines.join("\n")).expect("in order").expect("a file");
        assert!(contains(&breached, "letmein1") && !contains(&breached, "Letmein1"));
    }

    #[test]
    fn a_file_of_another_form_or_order_is_refused() {
        let mut lines: Vec<String> = (0..500).map(|n| format!("{}:1\n", digest(&n.to_string()))).collect();
        lines.sort();
        assert!(open(&lines.concat()).is_ok());
        lines.swap(0, 499);
        for text in ["", "password\nletmein\n", &lines.concat(), &format!("{}:many\n", digest("x")), &"F".repeat(39)] {
            let refused = open(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(refused.starts_with("password.breached_file: ") && refused.contains("is not a list"), "{refused}");
        }
        assert!(Breached::open(Path::new("/nowhere")).err().is_some_and(|refused| refused.contains("/nowhere: ")));
        assert!(Breached::open(Path::new("")).is_ok_and(|none| none.is_none()));
    }
}
