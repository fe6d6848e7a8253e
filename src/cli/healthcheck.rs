//! `signet healthcheck`: asks the running service of the same configuration how it is, for containers without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::users::forms::duration;
use super::{Failure, config_of_command};
use crate::config::one_line;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Ask only whether the process answers, not whether it can serve
    #[arg(long)]
    live: bool,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration)]
    timeout: Duration,
}

pub(super) fn run(path: Option<&Path>, arguments: &Arguments) -> Result<(), Failure> {
    let config = config_of_command(path)?;
    let question = if arguments.live { "live" } else { "ready" };
    let url = format!("http://{}/health/{question}", address_of(config.management.listen));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(arguments.timeout))
        .http_status_as_error(false)
        // The environment's proxy is for what is far away.
        .proxy(None)
        .build()
        .into();
    let mut answer = agent
        .get(&url)
        .call()
        .map_err(|error| format!("{url}: {error}; does the service run, with this `management.listen`?"))?;
    let body = one_line(&answer.body_mut().read_to_string().unwrap_or_default());
    if answer.status() == 200 {
        println!("{body}");
        Ok(())
    } else {
        Err(format!("{url}: {} {body}", answer.status().as_u16()).into())
    }
}

/// Where a listener can be reached from its own machine: "every interface" is no address to go to.
fn address_of(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[test]
fn every_interface_is_asked_on_loopback() {
    for (listen, asked) in
        [("0.0.0.0:9100", "127.0.0.1:9100"), ("[::]:9100", "[::1]:9100"), ("10.0.0.7:9100", "10.0.0.7:9100")]
    {
        assert_eq!(address_of(listen.parse().expect("an address")).to_string(), asked);
    }
}
