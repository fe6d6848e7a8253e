//! Password hashes that other services made: taken over as they are, checked until their users next log in, and replaced
//! by ours then.
//!
//! bcrypt in its own form (`$2a$`, `$2b$`, `$2y$`); Argon2, scrypt and PBKDF2 as PHC strings, in passlib's spelling of them
//! too; and PBKDF2, bcrypt and Argon2 as Django stores them. One log-in holds a thread for as long as one of them takes, so
//! what costs too much is not taken over. They know nothing of our pepper, nor of our normalising of passwords.

use argon2::{Algorithm, Argon2, Version};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::account::password::Password;

/// What a hash that was taken over begins with in the database, before its own text: ours never do.
const MARK: &str = "imported";

/// The most memory of one hash in KiB.
const MAX_MEMORY_KIB: u64 = 256 * 1024;
/// The most KiB that one hash goes over, all passes together: about a second of one core.
const MAX_KIB_IN_ALL: u64 = 1024 * 1024;
const MAX_LANES: u32 = 16;
/// About a second of one core each.
const MAX_BCRYPT_COST: u32 = 14;
const MAX_PBKDF2_ROUNDS: u32 = 2_000_000;
/// Less can be found by trying, whatever the password.
const MIN_HASH_BYTES: usize = 16;
const MAX_HASH_BYTES: usize = 64;
const MAX_SALT_BYTES: usize = 128;

/// A hash that somebody else made. It does not print itself.
pub(crate) struct ForeignHash {
    text: String,
    scheme: Scheme,
}

/// Why a hash is not taken over; nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(&'static str);

const UNKNOWN: Refused =
    Refused("is no hash of bcrypt, Argon2, scrypt or PBKDF2 that is known here; docs/import.md shows them");
const MALFORMED: Refused = Refused("is malformed");
const COSTLY: Refused = Refused("costs more than a log-in may; docs/import.md has the limits");
const SHORT: Refused = Refused("has fewer than 16 bytes, or more than 64");

enum Scheme {
    Bcrypt,
    Argon2 { algorithm: Algorithm, version: Version, params: argon2::Params, salt: Vec<u8>, hash: Vec<u8> },
    Scrypt { params: scrypt::Params, salt: Vec<u8>, hash: Vec<u8> },
    Pbkdf2 { function: Function, rounds: u32, salt: Vec<u8>, hash: Vec<u8> },
}

/// What PBKDF2 iterates.
#[derive(Clone, Copy)]
enum Function {
    Sha1,
    Sha256,
    Sha512,
}

impl ForeignHash {
    /// Reads a hash as another service stored it.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) fn parse(text: &str) -> Result<Self, Refused> {
        // Django writes the name of its own class before what others write.
        let text = text.strip_prefix("bcrypt$").filter(|rest| rest.starts_with('$')).unwrap_or(text);
        let text = text.strip_prefix("argon2").filter(|rest| rest.starts_with("$argon2")).unwrap_or(text);
        let scheme = match text.split('$').collect::<Vec<_>>().as_slice() {
            ["", "2a" | "2b" | "2y", _, _] => bcrypt(text)?,
            ["", id @ ("argon2i" | "argon2d" | "argon2id"), version, params, salt, hash] => {
                argon2(id, version, params, salt, hash)?
            }
            ["", "scrypt", params, salt, hash] => scrypt(params, salt, hash)?,
            ["", id, rounds, salt, hash] if id.starts_with("pbkdf2") => {
                let rounds = rounds.split(',').find_map(|part| part.strip_prefix("i=")).unwrap_or(rounds);
                pbkdf2(id.strip_prefix("pbkdf2").unwrap_or_default(), rounds, decode(salt)?, hash)?
            }
            // Django's salt is its own text.
            [id, rounds, salt, hash] if id.starts_with("pbkdf2_") => {
                let function = id.strip_prefix("pbkdf2_").map(|name| format!("-{name}")).unwrap_or_default();
                pbkdf2(&function, rounds, salt.as_bytes().to_vec(), hash)?
            }
            _ => return Err(UNKNOWN),
        };
        Ok(Self { text: text.to_owned(), scheme })
    }

    /// What a column says, if it holds a hash that was taken over.
    pub(super) fn stored(column: &str) -> Option<Result<Self, Refused>> {
        column.strip_prefix(MARK).map(Self::parse)
    }

    /// The text for the column: the hash's own, marked.
    pub(crate) fn to_column(&self) -> String {
        format!("{MARK}{}", self.text)
    }

    /// Whether it is this password's: as it was typed, which is what other services hashed, or else normalised, which some
    /// did. Two hashes for the few passwords that have two spellings.
    pub(super) fn opens_for(&self, password: &Password) -> bool {
        password.spellings().any(|spelling| self.opens(spelling.as_bytes()))
    }

    fn opens(&self, password: &[u8]) -> bool {
        let (computed, expected) = match &self.scheme {
            // As its makers did, it reads no more than 72 bytes.
            Scheme::Bcrypt => return bcrypt::verify(password, &self.text).unwrap_or(false),
            Scheme::Argon2 { algorithm, version, params, salt, hash } => {
                let argon2 = Argon2::new(*algorithm, *version, params.clone());
                (compute(hash, |output| argon2.hash_password_into(password, salt, output).is_ok()), hash)
            }
            Scheme::Scrypt { params, salt, hash } => {
                (compute(hash, |output| scrypt::scrypt(password, salt, params, output).is_ok()), hash)
            }
            Scheme::Pbkdf2 { function, rounds, salt, hash } => {
                let run = match function {
                    Function::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>,
                    Function::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>,
                    Function::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>,
                };
                let output = compute(hash, |output| {
                    run(password, salt, *rounds, output);
                    true
                });
                (output, hash)
            }
        };
        computed.is_some_and(|output| bool::from(output.as_slice().ct_eq(expected)))
    }
}

impl std::fmt::Debug for ForeignHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(password hash)")
    }
}

/// As long as what was stored; `None` if it cannot be computed.
fn compute(stored: &[u8], run: impl FnOnce(&mut [u8]) -> bool) -> Option<Zeroizing<Vec<u8>>> {
    let mut output = Zeroizing::new(vec![0; stored.len()]);
    run(&mut output).then_some(output)
}

fn bcrypt(text: &str) -> Result<Scheme, Refused> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| MALFORMED)?;
    match parts.get_cost() {
        4..=MAX_BCRYPT_COST => Ok(Scheme::Bcrypt),
        0..4 => Err(MALFORMED),
        _ => Err(COSTLY),
    }
}

fn argon2(id: &str, version: &str, params: &str, salt: &str, hash: &str) -> Result<Scheme, Refused> {
    let algorithm = match id {
        "argon2i" => Algorithm::Argon2i,
        "argon2d" => Algorithm::Argon2d,
        _ => Algorithm::Argon2id,
    };
    let version = match version {
        "v=19" => Version::V0x13,
        "v=16" => Version::V0x10,
        _ => return Err(MALFORMED),
    };
    let [memory, passes, lanes] = numbers(params, ["m", "t", "p"])?;
    if u64::from(memory) > MAX_MEMORY_KIB || u64::from(memory) * u64::from(passes) > MAX_KIB_IN_ALL || lanes > MAX_LANES
    {
        return Err(COSTLY);
    }
    let (salt, hash) = (decode(salt)?, decode_hash(hash)?);
    let params = argon2::Params::new(memory, passes, lanes, Some(hash.len())).map_err(|_| MALFORMED)?;
    if salt.len() < argon2::MIN_SALT_LEN {
        return Err(MALFORMED);
    }
    Ok(Scheme::Argon2 { algorithm, version, params, salt, hash })
}

fn scrypt(params: &str, salt: &str, hash: &str) -> Result<Scheme, Refused> {
    let [log_n, r, p] = numbers(params, ["ln", "r", "p"])?;
    if !(1..=30).contains(&log_n) || !(1..=1024).contains(&r) || !(1..=1024).contains(&p) {
        return Err(MALFORMED);
    }
    let memory_kib = (u64::from(r) << log_n) / 8;
    // It goes over its memory twice for each lane.
    if memory_kib > MAX_MEMORY_KIB || memory_kib * 2 * u64::from(p) > MAX_KIB_IN_ALL {
        return Err(COSTLY);
    }
    let log_n = u8::try_from(log_n).map_err(|_| MALFORMED)?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| MALFORMED)?;
    Ok(Scheme::Scrypt { params, salt: decode(salt)?, hash: decode_hash(hash)? })
}

fn pbkdf2(function: &str, rounds: &str, salt: Vec<u8>, hash: &str) -> Result<Scheme, Refused> {
    let function = match function {
        "" | "-sha1" => Function::Sha1,
        "-sha256" => Function::Sha256,
        "-sha512" => Function::Sha512,
        _ => return Err(UNKNOWN),
    };
    let rounds = number(rounds)?;
    if rounds > MAX_PBKDF2_ROUNDS {
        return Err(COSTLY);
    }
    let hash = decode_hash(hash)?;
    if rounds == 0 || salt.is_empty() || salt.len() > MAX_SALT_BYTES {
        return Err(MALFORMED);
    }
    Ok(Scheme::Pbkdf2 { function, rounds, salt, hash })
}

/// The parameters of a PHC string, in this order, and no others.
fn numbers<const N: usize>(params: &str, names: [&str; N]) -> Result<[u32; N], Refused> {
    let mut found = [0; N];
    let mut parts = params.split(',');
    for (value, name) in found.iter_mut().zip(names) {
        let part = parts.next().and_then(|part| part.strip_prefix(name)).and_then(|part| part.strip_prefix('='));
        *value = number(part.ok_or(MALFORMED)?)?;
    }
    if parts.next().is_some() { Err(MALFORMED) } else { Ok(found) }
}

fn number(text: &str) -> Result<u32, Refused> {
    let is_plain = text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).ok_or(MALFORMED)
}

/// With or without padding; passlib writes a `.` for the `+`.
fn decode(text: &str) -> Result<Vec<u8>, Refused> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
    let bytes = ENGINE.decode(text.replace('.', "+")).map_err(|_| MALFORMED)?;
    if bytes.is_empty() || bytes.len() > MAX_SALT_BYTES { Err(MALFORMED) } else { Ok(bytes) }
}

fn decode_hash(text: &str) -> Result<Vec<u8>, Refused> {
    let hash = decode(text)?;
    if (MIN_HASH_BYTES..=MAX_HASH_BYTES).contains(&hash.len()) { Ok(hash) } else { Err(SHORT) }
}

#[cfg(test)]
mod tests;
