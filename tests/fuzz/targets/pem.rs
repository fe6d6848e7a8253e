//! A key file is a P-256 key or an error; a key that was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet::token::key_file;

fuzz_target!(|text: &str| {
    if let Ok(key) = key_file::parse(text, "a.pem") {
        let public = key_file::parse(&key_file::public_pem(&key), "b.pem").expect("our own writing");
        assert_eq!(public.kid, key.kid);
    }
    // The name is a stranger's bytes too, if the folder is mounted.
    let _ = key_file::parse("", text);
});
