//! Only what `to_text` wrote is a refresh token.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet::session::token::RefreshToken;

fuzz_target!(|text: &str| {
    if let Ok(token) = RefreshToken::parse(text) {
        assert_eq!(*token.to_text(), text);
    }
});
