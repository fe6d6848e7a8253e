//! Argon2id with its memory, and the PHC strings in which hashes are stored.
//!
//! Two implementations compute the same function. The fast one (`argon2-rust`) chooses by the processor it finds and keeps
//! its memory from one hash to the next, in huge pages where the system has them, wiped in between. The `argon2` crate is
//! the reference: it owns parameters and PHC strings, the fast one is held against it once at start, and it takes over
//! whatever the fast one does not do.

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, Version};
use argon2_rust::params::{Memory, TagLen};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Error, Verdict};
use crate::random;

/// Hashes on one thread.
pub(super) struct Kernel {
    params: Params,
    pepper: Zeroizing<String>,
    /// Nothing if it disagrees with the reference on this processor.
    fast: Option<argon2_rust::Hasher>,
}

const VALID: &str = "our own parameters, salt and output length are valid";

impl Kernel {
    /// `params` are what new hashes are made with.
    pub(super) fn new(params: Params, pepper: Zeroizing<String>) -> Self {
        let mut kernel = Self { params, pepper, fast: Some(fast()) };
        if !kernel.agrees_with_reference() {
            tracing::error!("a defect: the fast Argon2 is wrong on this processor; the slow one is used");
            kernel.fast = None;
        }
        kernel
    }

    /// The same with memory of its own, which it takes when it first hashes.
    pub(super) fn for_another_thread(&self) -> Self {
        let fast = self.fast.as_ref().map(|_| fast());
        Self { params: self.params.clone(), pepper: self.pepper.clone(), fast }
    }

    /// Its instruction sets are chosen at run time, and no test runs on every processor. A thousandth of a second.
    fn agrees_with_reference(&mut self) -> bool {
        let params = Params::new(256, 2, 1, None).expect("valid");
        let given = Input { params: &params, version: Version::V0x13, password: b"password", salt: b"some salt" };
        let (mut fast, mut slow) = ([0; 32], [0; 32]);
        self.run_reference(&given, &mut slow).expect(VALID);
        // What it does not do it leaves as zeros.
        self.run_fast(&given, &mut fast);
        fast == slow
    }

    /// What a stored hash looks like, with a salt and an output that are random: checking a password against it costs what
    /// any check does.
    pub(super) fn decoy(&self) -> String {
        self.phc_string(&random::bytes::<16>(), &random::bytes::<{ Params::DEFAULT_OUTPUT_LEN }>())
    }

    pub(super) fn hash(&mut self, password: &str) -> String {
        let salt = random::bytes::<16>();
        let mut output = Zeroizing::new([0; Params::DEFAULT_OUTPUT_LEN]);
        let params = self.params.clone();
        let given = Input { params: &params, version: Version::V0x13, password: password.as_bytes(), salt: &salt };
        self.run(&given, output.as_mut_slice()).expect(VALID);
        self.phc_string(&salt, output.as_slice())
    }

    fn phc_string(&self, salt: &[u8], output: &[u8]) -> String {
        phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: phc::ParamsString::try_from(&self.params).expect(VALID),
            salt: Some(phc::Salt::new(salt).expect(VALID)),
            hash: Some(phc::Output::new(output).expect(VALID)),
        }
        .to_string()
    }

    pub(super) fn verify(&mut self, password: &str, stored: &str) -> Result<Verdict, Error> {
        let malformed = |error: &dyn std::fmt::Display| Error::Malformed(error.to_string());
        let parsed = phc::PasswordHash::new(stored).map_err(|error| malformed(&error))?;
        if parsed.algorithm != Algorithm::Argon2id.ident() {
            return Err(malformed(&"not Argon2id"));
        }
        let params = Params::try_from(&parsed).map_err(|error| malformed(&error))?;
        // Strings from before there was a choice name no version.
        let version =
            parsed.version.map_or(Ok(Version::V0x10), Version::try_from).map_err(|error| malformed(&error))?;
        let (Some(salt), Some(expected)) = (&parsed.salt, &parsed.hash) else {
            return Err(malformed(&"no salt or no hash"));
        };
        let mut output = Zeroizing::new(vec![0; expected.len()]);
        let given = Input { params: &params, version, password: password.as_bytes(), salt: salt.as_ref() };
        self.run(&given, &mut output).map_err(|error| malformed(&error))?;
        if bool::from(output.as_slice().ct_eq(expected.as_bytes())) {
            let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
            let outdated = version != Version::V0x13 || cost(&params) != cost(&self.params);
            Ok(Verdict::Right { outdated })
        } else {
            Ok(Verdict::Wrong)
        }
    }

    fn run(&mut self, given: &Input, output: &mut [u8]) -> argon2::Result<()> {
        if self.run_fast(given, output) { Ok(()) } else { self.run_reference(given, output) }
    }

    /// `false` if this implementation does not do it.
    fn run_fast(&mut self, given: &Input, output: &mut [u8]) -> bool {
        let (Some(hasher), Ok(argon2)) = (&mut self.fast, given.for_fast(output.len())) else { return false };
        let (secret, data) = (self.pepper.as_bytes(), given.params.data());
        // Memory that a hash from elsewhere needs beyond our own is given back when it is done.
        let done = if given.params.block_count() <= self.params.block_count() {
            hasher.set_argon2(argon2);
            hasher.hash_into_with_ad(given.password, given.salt, secret, data, output)
        } else {
            argon2.hash_into_with_ad(given.password, given.salt, secret, data, output)
        };
        done.is_ok()
    }

    fn run_reference(&self, given: &Input, output: &mut [u8]) -> argon2::Result<()> {
        Argon2::new_with_secret(self.pepper.as_bytes(), Algorithm::Argon2id, given.version, given.params.clone())?
            .hash_password_into(given.password, given.salt, output)
    }
}

/// Without memory yet; each hash brings its own parameters.
fn fast() -> argon2_rust::Hasher {
    let cost = argon2_rust::Params::default();
    argon2_rust::Argon2::new(argon2_rust::Algorithm::Argon2id, argon2_rust::Version::V0x13, cost).hasher()
}

/// What an output depends on, besides its length and the pepper.
struct Input<'a> {
    params: &'a Params,
    version: Version,
    password: &'a [u8],
    salt: &'a [u8],
}

impl Input<'_> {
    fn for_fast(&self, output_len: usize) -> Result<argon2_rust::Argon2, argon2_rust::Error> {
        let cost = argon2_rust::Params::builder()
            .memory(Memory::kib(self.params.m_cost().into()))
            .passes(self.params.t_cost())
            .lanes(self.params.p_cost())
            .threads(1) // the lanes one after another: there is a thread for each core already
            .tag_len(TagLen::bytes(output_len as u64))
            .build()?;
        let version = match self.version {
            Version::V0x10 => argon2_rust::Version::V0x10,
            Version::V0x13 => argon2_rust::Version::V0x13,
        };
        Ok(argon2_rust::Argon2::new(argon2_rust::Algorithm::Argon2id, version, cost))
    }
}

#[cfg(test)]
mod tests {
    use argon2::{AssociatedData, ParamsBuilder};
    use proptest::prelude::*;

    use super::*;

    fn kernel(pepper: &str) -> Kernel {
        Kernel::new(Params::new(64, 1, 1, None).expect("valid"), Zeroizing::new(pepper.to_owned()))
    }

    /// What both implementations say.
    fn outputs(pepper: &str, given: &Input, len: usize) -> [Vec<u8>; 2] {
        let (mut fast, mut slow) = (vec![0; len], vec![0; len]);
        let mut kernel = kernel(pepper);
        assert!(kernel.run_fast(given, &mut fast));
        kernel.run_reference(given, &mut slow).expect("computed");
        [fast, slow]
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).expect("two digits");
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn a_kernel_that_computes_nothing_does_not_agree_with_the_reference() {
        let mut kernel = kernel("");
        assert!(kernel.fast.is_some() && kernel.agrees_with_reference());
        kernel.fast = None;
        assert!(!kernel.agrees_with_reference());
    }

    /// RFC 9106 §5.3, and the same of version 16 from the reference implementation (kats/argon2id_v16).
    #[test]
    fn the_vectors_of_the_standard_hold() {
        let data = AssociatedData::new(&[4; 12]).expect("short");
        let params = ParamsBuilder::new().m_cost(32).t_cost(3).p_cost(4).data(data).build().expect("valid");
        for (version, tag) in [
            (Version::V0x13, "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"),
            (Version::V0x10, "b64615f07789b66b645b67ee9ed3b377ae350b6bfcbb0fc95141ea8f322613c0"),
        ] {
            let given = Input { params: &params, version, password: &[1; 32], salt: &[2; 16] };
            let expected = bytes(tag);
            assert_eq!(outputs(&"\u{3}".repeat(8), &given, 32), [expected.clone(), expected]);
        }
    }

    /// From the tests of the reference implementation (src/test.c).
    const REFERENCE_HASHES: [&str; 3] = [
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    ];

    #[test]
    fn the_hashes_of_the_reference_implementation_open_for_their_passwords_by_either_way() {
        for is_fast in [true, false] {
            let mut kernel = kernel("");
            assert!(kernel.fast.is_some(), "it agrees here");
            kernel.fast = kernel.fast.filter(|_| is_fast);
            for stored in REFERENCE_HASHES {
                let verdict = kernel.verify("password", stored).expect("readable");
                assert_eq!(verdict, Verdict::Right { outdated: true }, "{stored}");
                assert_eq!(kernel.verify("Password", stored).expect("readable"), Verdict::Wrong, "{stored}");
            }
            let own = kernel.hash("password");
            assert_eq!(kernel.verify("password", &own).expect("readable"), Verdict::Right { outdated: false });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn both_implementations_agree(
            (p, m) in (1u32..6).prop_flat_map(|p| (Just(p), 8 * p..8 * p + 300)),
            (t, is_old, len) in (1u32..4, any::<bool>(), 4usize..130),
            password in "\\PC{0,80}", salt in prop::collection::vec(any::<u8>(), 8..48), pepper in "\\PC{0,40}",
        ) {
            let params = Params::new(m, t, p, None).expect("valid");
            let version = if is_old { Version::V0x10 } else { Version::V0x13 };
            let given = Input { params: &params, version, password: password.as_bytes(), salt: &salt };
            let [fast, slow] = outputs(&pepper, &given, len);
            prop_assert_eq!(fast, slow);
        }
    }

    /// One after another in the memory that the one before has left.
    #[test]
    fn memory_is_kept_up_to_what_our_own_parameters_need() {
        let mut kernel = kernel("");
        let kept = |kernel: &Kernel| kernel.fast.as_ref().map(argon2_rust::Hasher::reserved_blocks);
        let own = kernel.hash("password");
        assert_eq!(kept(&kernel), Some(64));
        for stored in REFERENCE_HASHES {
            kernel.verify("password", stored).expect("readable");
            assert_eq!(kept(&kernel), Some(64), "{stored}");
        }
        assert_eq!(kernel.verify("password", &own).expect("readable"), Verdict::Right { outdated: false });
    }

    #[test]
    fn a_hash_of_an_older_version_opens_and_is_outdated() {
        let mut kernel = kernel("");
        let params = Params::new(64, 1, 1, None).expect("valid");
        let given = Input { params: &params, version: Version::V0x10, password: b"password", salt: b"somesalt" };
        let mut output = [0; 32];
        kernel.run_reference(&given, &mut output).expect("computed");
        let output = phc::Output::new(&output).expect("valid");
        for version in ["v=16$", ""] {
            let stored = format!("$argon2id${version}m=64,t=1,p=1$c29tZXNhbHQ${output}");
            assert_eq!(kernel.verify("password", &stored).expect("readable"), Verdict::Right { outdated: true });
        }
    }

    #[test]
    fn the_decoy_is_read_like_any_stored_hash_and_costs_the_same() {
        let mut kernel = kernel("");
        let decoy = kernel.decoy();
        assert!(decoy.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{decoy}");
        assert_eq!(decoy.len(), kernel.hash("password").len());
        assert_eq!(kernel.verify("password", &decoy).expect("readable"), Verdict::Wrong);
        assert_ne!(decoy, kernel.decoy());
    }
}
