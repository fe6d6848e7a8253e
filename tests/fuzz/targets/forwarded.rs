//! Whatever stands in the headers, there is an address; and a stranger's headers never change theirs.
#![no_main]

use actix_web::http::header::HeaderValue;
use actix_web::test::TestRequest;
use libfuzzer_sys::fuzz_target;
use signet::config::{ForwardedHeader, PublicConfig};
use signet::http::origin::client_address;

fuzz_target!(|value: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    for forwarded_header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
        let config = PublicConfig { trusted_proxies: trusted_proxies.clone(), forwarded_header, ..PublicConfig::default() };
        for (peer, is_stranger) in [("10.0.0.1:1", false), ("192.0.2.9:1", true)] {
            let request = TestRequest::default()
                .peer_addr(peer.parse().expect("an address"))
                .insert_header(("x-forwarded-for", value.clone()))
                .insert_header(("forwarded", value.clone()))
                .to_http_request();
            let address = client_address(&request, &config).expect("there is a peer");
            assert!(!is_stranger || address.to_string() == "192.0.2.9");
        }
    }
});
