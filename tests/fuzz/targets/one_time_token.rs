//! Only what `to_text` wrote is a one-time token, and it is one for a single purpose.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet::account::one_time::{OneTimeToken, Purpose};

const ALL: [Purpose; 6] = [
    Purpose::VerifyEmail,
    Purpose::ResetPassword,
    Purpose::ConfirmOldAddress,
    Purpose::ConfirmNewAddress,
    Purpose::RestoreAccount,
    Purpose::Invitation,
];

fuzz_target!(|text: &str| {
    let read: Vec<OneTimeToken> = ALL.into_iter().filter_map(|purpose| OneTimeToken::parse(purpose, text).ok()).collect();
    assert!(read.len() <= 1);
    if let [token] = read.as_slice() {
        assert_eq!(*token.to_text(), text);
    }
});
