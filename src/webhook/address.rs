//! Where messages may be sent: not to what only this machine and its network can reach, unless configuration says so. Pure.
//!
//! An administrator names the URL, and the service that asks it stands in the middle of a private network: without this it
//! would be a way to reach whatever listens there and trusts its neighbours (SSRF). The name is looked at once more each time
//! it is resolved, by whoever connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use crate::throttle::source::is_private;

/// What may be reached.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Private networks that may be.
    pub private_networks: Vec<IpNet>,
    /// Whether `http` will do.
    pub allow_http: bool,
}

/// The longest URL.
const MAX_URL: usize = 1024;

impl Policy {
    /// Whether messages may be sent to an address.
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.private_networks.iter().any(|network| network.contains(&address))
    }

    /// The URL, as far as can be judged without resolving its name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&self, text: &str) -> Result<Url, &'static str> {
        let url = Url::parse(text).map_err(|_| "this is not a URL")?;
        if text.len() > MAX_URL {
            return Err("a URL has at most 1024 bytes");
        }
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            _ => return Err("the scheme must be https"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL with a user or a password is not taken");
        }
        if url.fragment().is_some() {
            return Err("a URL with a fragment is not taken");
        }
        let address = match url.host() {
            None => return Err("the URL names no host"),
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        };
        if address.is_some_and(|address| !self.admits(address)) {
            return Err("this address is private; webhooks.private_networks says which ones may be reached");
        }
        Ok(url)
    }
}

/// Whether an address is one of the internet's: neither an organisation's own, nor a group's, nor set aside for something else
/// (RFC 6890), nor one that stands for another.
fn is_public(address: IpAddr) -> bool {
    if is_private(address) || address.is_multicast() {
        return false;
    }
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_set_aside = match address.octets() {
        [0, ..] | [240..=255, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] => true,
        // 6to4 relays (RFC 7526).
        [192, 88, 99, _] => true,
        _ => address.is_documentation(),
    };
    !is_set_aside
}

/// Global unicast is `2000::/3`; what of it holds an IPv4 address is judged by that, or not reached at all.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Teredo, ORCHID and other experiments; documentation; 6to4.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(policy: &Policy, address: &str) -> bool {
        policy.admits(address.parse().expect("an address"))
    }

    #[test]
    fn only_public_addresses_are_reached() {
        let policy = Policy::default();
        for public in ["1.1.1.1", "198.17.255.255", "198.20.0.1", "2606:4700::1111", "2a00:1450::1"] {
            assert!(admits(&policy, public), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.0.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.192",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
            "2001:0:1::1",
            "2001:db8::1",
            "fc00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!admits(&policy, private), "{private}");
        }
    }

    #[test]
    fn a_private_network_is_reached_where_configuration_names_it() {
        let policy = Policy { private_networks: vec!["10.1.0.0/16".parse().expect("a network")], allow_http: false };
        assert!(admits(&policy, "10.1.2.3") && admits(&policy, "::ffff:10.1.2.3"));
        assert!(!admits(&policy, "10.2.0.1") && !admits(&policy, "127.0.0.1"));
    }

    #[test]
    fn a_url_is_https_without_credentials_and_names_no_private_address() {
        let policy = Policy::default();
        assert!(policy.parse("https://hooks.example/signet?tenant=1").is_ok());
        assert!(policy.parse("https://1.1.1.1:8443/").is_ok());
        for bad in [
            "",
            "hooks.example",
            "http://hooks.example/",
            "ftp://hooks.example/",
            "file:///etc/passwd",
            "https://user@hooks.example/",
            "https://user:password@hooks.example/",
            "https://hooks.example/#fragment",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
        ] {
            assert!(policy.parse(bad).is_err(), "{bad}");
        }
        assert!(policy.parse(&format!("https://hooks.example/{}", "a".repeat(1024))).is_err());
        let plain = Policy { allow_http: true, ..Policy::default() };
        assert!(plain.parse("http://hooks.example/").is_ok());
        assert!(plain.parse("http://127.0.0.1/").is_err());
    }
}
