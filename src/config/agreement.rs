//! What all instances on one database must have in common, boiled down to a few letters by which they notice if not.

use argon2::Argon2;
use sha2::{Digest, Sha256};

use super::Config;
use crate::mfa::seal::SealingKeys;

impl Config {
    /// Eight hexadecimal digits that differ if anything differs that clients would notice: who issues for whom, how long
    /// tokens and sessions live, who may register, what passwords must be and how they are hashed, what is limited. Others
    /// on the database can read them, so the pepper goes in by way of the same hash that guards each password: guessing it
    /// costs no less here.
    pub fn agreement(&self) -> String {
        let Self {
            token,
            session,
            password,
            hashing,
            oauth,
            roles,
            api_keys,
            registration,
            throttle,
            step_up,
            mfa,
            ..
        } = self;
        let pepper = match argon2::Params::new(hashing.memory_kib, hashing.iterations, hashing.parallelism, None) {
            Ok(params) if !hashing.pepper.0.is_empty() => {
                let mut digest = [0; 32];
                Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
                    .hash_password_into(hashing.pepper.0.as_bytes(), b"signet agreement", &mut digest)
                    .map_or_else(|_| Vec::new(), |()| digest.to_vec())
            }
            Ok(_) | Err(_) => Vec::new(),
        };
        let cost = (hashing.memory_kib, hashing.iterations, hashing.parallelism, pepper);
        let accounts = (registration, password, cost, throttle, step_up, SealingKeys::of(mfa).ids());
        let shared = format!("{:?}", (&self.issuer, self.audience(), token, session, accounts, oauth, roles, api_keys));
        let digest = Sha256::digest(shared);
        digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn instances_agree_unless_something_differs_that_clients_would_notice() {
        let agreement = |file: &str| toml::from_str::<Config>(file).expect("parses").agreement();
        let plain = agreement("issuer = 'https://id.example'");
        assert_eq!(plain.len(), 8);
        // Own to each instance.
        for own in ["public.workers = 3", "log.level = 'warn'", "hashing.threads = 2", "keys.dir = '/k'"] {
            assert_eq!(agreement(&format!("issuer = 'https://id.example'\n{own}")), plain, "{own}");
        }
        for shared in [
            "audience = 'x'",
            "registration = 'closed'",
            "session.grace = '1s'",
            "token.access_ttl = '1h'",
            "hashing.iterations = 3",
            "throttle.free_guesses = 6",
            "roles.user = 'read'",
            "step_up.max_age = '1m'",
            "mfa.secret_key = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='",
        ] {
            assert_ne!(agreement(&format!("issuer = 'https://id.example'\n{shared}")), plain, "{shared}");
        }
        let mut peppered = Config::default();
        let bare = peppered.agreement();
        peppered.hashing.pepper = Secret("one".to_owned());
        let one = peppered.agreement();
        peppered.hashing.pepper = Secret("two".to_owned());
        assert!(bare != one && one != peppered.agreement());
    }
}
