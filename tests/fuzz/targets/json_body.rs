//! A body is a request or an error, whatever is in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet::account::{change_password, me, register};
use signet::http::body::{Fields, FromFields};
use signet::session::{login, logout, refresh};

fn parse<T: FromFields>(json: &[u8]) {
    if let Ok(mut fields) = Fields::parse(json) {
        let _ = T::from_fields(&mut fields);
    }
}

fuzz_target!(|json: &[u8]| {
    parse::<register::Request>(json);
    parse::<login::Request>(json);
    parse::<refresh::Request>(json);
    parse::<logout::Request>(json);
    parse::<me::Change>(json);
    parse::<change_password::Request>(json);
});
