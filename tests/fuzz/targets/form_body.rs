//! A form is a set of parameters or an error; none of them is empty.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet::access::scope::Scope;
use signet::http::form::Form;

fuzz_target!(|body: &[u8]| {
    let Ok(mut form) = Form::parse(body) else { return };
    for name in ["grant_type", "refresh_token", "username", "password", "client_id", "scope"] {
        if let Some(value) = form.take(name) {
            assert!(!value.is_empty());
            if let Ok(scope) = value.parse::<Scope>() {
                assert_eq!(scope.as_str().parse::<Scope>(), Ok(scope.clone()));
            }
        }
        assert!(form.take(name).is_none());
    }
});
