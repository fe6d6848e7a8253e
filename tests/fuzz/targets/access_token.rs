//! No bytes make the verifier panic, and none that were not signed by the key are accepted.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use libfuzzer_sys::fuzz_target;
use signet::clock::Timestamp;
use signet::config::Config;
use signet::token::key_file;
use signet::token::keyring::Keyring;
use signet::token::verify::Verifier;

/// A key made for this run, so that no seed can hold its signature.
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let key = key_file::parse(&key_file::generate(), "a.pem").expect("our own key");
    let ring = Keyring::new(vec![key], Duration::from_secs(900));
    let config = Config { issuer: "https://id.example".to_owned(), ..Config::default() };
    Verifier::new(&config, Arc::new(ArcSwap::from_pointee(ring)))
});

fuzz_target!(|token: &str| {
    assert!(VERIFIER.verify(token, Timestamp::from_micros(1_795_255_200_000_000)).is_err());
});
