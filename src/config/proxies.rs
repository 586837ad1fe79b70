//! `trusted_proxies`: who may speak for others.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::{
    reader::{Section, Value},
    source::At,
};

/// Proxies in front whose word is taken for who their clients are (nginx `set_real_ip_from`).
#[derive(Clone, Debug)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Whether what `address` says of others, in `X-Forwarded-*` or a PROXY header, is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// `proxy_protocol` and `trusted_proxies`. A header that anybody may write is worth nothing.
/// The networks that `value` lists.
pub(super) fn read_list(value: &Value<'_>) -> TrustedProxies {
    TrustedProxies(read_networks(value))
}

pub(super) fn read_proxies(section: &Section<'_>) -> (bool, TrustedProxies) {
    let trusted = section.get("trusted_proxies");
    let names_anybody = trusted.is_some();
    let trusted = TrustedProxies(trusted.map(|v| read_networks(&v)).unwrap_or_default());
    let Some(value) = section.get("proxy_protocol") else {
        return (false, trusted);
    };
    let is_expected = value.boolean().unwrap_or(false);
    if is_expected && trusted.0.is_empty() {
        value.fault(
            if names_anybody {
                "has no `trusted_proxies` that could be read"
            } else {
                "stands without `trusted_proxies`"
            },
            "name the proxies that send the header: trusted_proxies = [\"10.0.0.0/8\"]",
        );
    }
    (is_expected, trusted)
}

/// Networks in CIDR notation; a single address is a network of one.
fn read_networks(value: &Value<'_>) -> Vec<IpNet> {
    let parse = |text: At<String>| {
        let network = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(canonical);
        if network.is_err() {
            value.fault_at(
                text.span.clone(),
                format!("is not a network: \"{}\"", *text),
                "an address or a network: \"10.0.0.1\", \"10.0.0.0/8\"",
            );
        }
        network.ok()
    };
    value.strings().into_iter().filter_map(parse).collect()
}

/// Addresses of IPv4 are never seen in IPv6's clothes.
fn canonical(network: IpNet) -> IpNet {
    let inside = match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => v6.addr().to_ipv4_mapped(),
        _ => None,
    };
    let length = network.prefix_len().saturating_sub(96);
    inside
        .and_then(|address| Ipv4Net::new(address, length).ok())
        .map_or(network, IpNet::V4)
}
