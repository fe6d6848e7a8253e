//! Where an attempt comes from, as far as that tells one client from another. Pure.
//!
//! An IPv4 address and a /64 of IPv6, which is what one household gets, count as one source, and so that nobody escapes by
//! moving house next door, the /24 or /48 around it counts too, with larger limits.
//!
//! An address that many may share through a proxy nobody told us about is no source at all: to limit it would be to lock
//! everybody out, to trust it would be to trust everybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::Config;

/// What an address says about who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    /// One of `throttle.exempt`: nothing is counted.
    Exempt,
    /// Nobody can say whom it stands for.
    Unknown,
    /// One client, or a household of them.
    Source(Source),
}

/// An address and what is around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The /32 or /64.
    pub address: IpNet,
    /// The /24 or /48.
    pub prefix: IpNet,
}

impl Whence {
    /// Judges the address that a request is taken to come from.
    pub fn of(address: Option<IpAddr>, config: &Config) -> Self {
        let Some(address) = address else { return Self::Unknown };
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        let (proxies, throttle) = (&config.public.trusted_proxies, &config.throttle);
        if is_in(&throttle.exempt) {
            return Self::Exempt;
        }
        // A proxy that named no client stands for all of them. Where no proxy is configured, a private address may well
        // be one that should have been.
        let is_anybody = is_in(proxies) || (is_private(address) && proxies.is_empty() && !throttle.private_sources);
        if is_anybody { Self::Unknown } else { Self::Source(Source::around(address)) }
    }
}

impl Source {
    /// The source that an address belongs to, whoever stands behind it.
    pub(crate) fn around(address: IpAddr) -> Self {
        let (own, wider) = match address {
            IpAddr::V4(_) => (32, 24),
            IpAddr::V6(_) => (64, 48),
        };
        let network = |length| IpNet::new(address, length).expect("a length that addresses of this kind have").trunc();
        Self { address: network(own), prefix: network(wider) }
    }
}

/// Whether an address is one of a machine's or an organisation's own, as proxies and balancers mostly have.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let is_shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]); // RFC 6598
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared || v4 == Ipv4Addr::UNSPECIFIED
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6 == Ipv6Addr::UNSPECIFIED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whence(address: &str, change: impl FnOnce(&mut Config)) -> Whence {
        let mut config = Config::default();
        change(&mut config);
        Whence::of(Some(address.parse().expect("an address")), &config)
    }

    fn source(address: &str, prefix: &str) -> Whence {
        let network = |text: &str| text.parse().expect("a network");
        Whence::Source(Source { address: network(address), prefix: network(prefix) })
    }

    #[test]
    fn a_source_is_an_address_of_ipv4_and_a_64_of_ipv6() {
        assert_eq!(whence("198.51.100.7", |_| {}), source("198.51.100.7/32", "198.51.100.0/24"));
        assert_eq!(whence("2001:db8:1:2:3:4:5:6", |_| {}), source("2001:db8:1:2::/64", "2001:db8:1::/48"));
    }

    #[test]
    fn a_private_address_is_nobodys_until_somebody_says_otherwise() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
        ] {
            assert_eq!(whence(private, |_| {}), Whence::Unknown, "{private}");
            assert!(matches!(whence(private, |c| c.throttle.private_sources = true), Whence::Source(_)), "{private}");
        }
        assert!(matches!(whence("100.128.0.1", |_| {}), Whence::Source(_)));
        assert_eq!(Whence::of(None, &Config::default()), Whence::Unknown);
    }

    #[test]
    fn behind_proxies_that_are_known_private_clients_are_told_apart_and_the_proxies_are_nobody() {
        let proxied = |c: &mut Config| c.public.trusted_proxies = vec!["10.0.0.0/24".parse().expect("a network")];
        assert_eq!(whence("10.0.0.9", proxied), Whence::Unknown);
        assert_eq!(whence("10.1.0.9", proxied), source("10.1.0.9/32", "10.1.0.0/24"));
    }

    #[test]
    fn what_is_exempt_is_exempt_whatever_else_it_is() {
        let exempt = |c: &mut Config| c.throttle.exempt = vec!["198.51.100.0/24".parse().expect("a network")];
        assert_eq!(whence("198.51.100.7", exempt), Whence::Exempt);
        assert!(matches!(whence("198.51.101.7", exempt), Whence::Source(_)));
    }
}
