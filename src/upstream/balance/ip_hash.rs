//! By the client's network, with nginx's mapping (`ngx_http_upstream_ip_hash_module`): the first
//! three octets of an IPv4 address, all of an IPv6 address.
//!
//! The mapping is the same on every node and after every restart, so that nothing needs to be
//! shared. A server that is `down` keeps its place, so that the others keep their clients.

use std::net::IpAddr;

use super::{Candidates, LOOKS, Share, ranges::Ranges};

const START: u32 = 89;

/// The index for `client`, or `None` if whoever it comes to may not be used, however often it is hashed again.
pub(super) fn pick(
    ranges: &Ranges,
    client: IpAddr,
    candidates: &mut impl Candidates,
) -> Option<usize> {
    let mut hash = START;
    for _ in 0..LOOKS {
        hash = fold(hash, client);
        let index = ranges.at(hash)?;
        if candidates.share(index) != Share::NONE && candidates.claim(index) {
            return Some(index);
        }
    }
    None
}

fn fold(hash: u32, client: IpAddr) -> u32 {
    let fold = |hash, octets: &[u8]| {
        octets
            .iter()
            .fold(hash, |h: u32, b| (h * 113 + u32::from(*b)) % 6271)
    };
    match client.to_canonical() {
        IpAddr::V4(v4) => fold(hash, &v4.octets()[..3]),
        IpAddr::V6(v6) => fold(hash, &v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::balancer::tests::Members, *};

    fn pick_of(weights: &[u32], client: IpAddr, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let ranges = Ranges::new(weights.iter().copied());
        pick(&ranges, client, &mut Members::usable(usable))
    }

    #[test]
    fn the_mapping_is_nginx_s() {
        for (client, first, index) in [
            ("192.168.110.7", 263, 1),
            ("192.168.111.200", 264, 0),
            ("172.31.12.1", 5228, 0),
            ("10.0.0.255", 2565, 1),
            ("198.19.249.3", 3740, 0),
        ] {
            let client = client.parse().unwrap();
            assert_eq!(fold(START, client), first, "{client}");
            assert_eq!(pick_of(&[1, 1], client, |_| true), Some(index), "{client}");
        }
    }

    #[test]
    fn an_ipv4_client_on_an_ipv6_socket_is_the_same_client() {
        assert_eq!(fold(START, "::ffff:192.168.110.7".parse().unwrap()), 263);
    }

    #[test]
    fn one_that_may_not_be_used_is_hashed_past() {
        let client = "192.168.110.7".parse().unwrap();
        assert_eq!(pick_of(&[1, 1], client, |i| i == 0), Some(0));
        assert_eq!(pick_of(&[1, 1], client, |_| false), None);
        assert_eq!(pick_of(&[], client, |_| true), None);
    }

    #[test]
    fn weights_shape_the_mapping() {
        let clients = (0..=255u8).map(|octet| IpAddr::from([10, 1, octet, 1]));
        let first = clients
            .filter(|client| pick_of(&[9, 1], *client, |_| true) == Some(0))
            .count();
        assert!((205..=250).contains(&first), "{first}");
    }
}
