//! By the client's network, with nginx's mapping (`ngx_http_upstream_ip_hash_module`): the first
//! three octets of an IPv4 address, all of an IPv6 address.
//!
//! The mapping is the same on every node and after every restart, so that nothing needs to be
//! shared. A server that is `down` keeps its place, so that the others keep their clients.

use std::net::IpAddr;

/// Rehashes before round robin decides, as in nginx.
const TRIES: usize = 20;
const START: u32 = 89;

/// The weights of one tier.
#[derive(Debug)]
pub(in super::super) struct IpHash {
    /// Of each place, its own weight and those of all before it.
    ends: Vec<u32>,
}

impl IpHash {
    pub(in super::super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let ends = weights.scan(0u32, |end, weight| {
            *end = end.saturating_add(weight);
            Some(*end)
        });
        Self {
            ends: ends.collect(),
        }
    }

    /// The index for `client`, or `None` if twenty places in a row may not be used.
    pub(in super::super) fn pick(
        &self,
        client: IpAddr,
        mut claim: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let mut hash = START;
        for _ in 0..TRIES {
            hash = fold(hash, client);
            let index = self.place(hash)?;
            if claim(index) {
                return Some(index);
            }
        }
        None
    }

    fn place(&self, hash: u32) -> Option<usize> {
        let rest = hash.checked_rem(*self.ends.last()?)?;
        Some(self.ends.partition_point(|end| *end <= rest))
    }
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
    use super::*;

    #[test]
    fn the_mapping_is_nginx_s() {
        let hash = IpHash::new([1, 1].into_iter());
        for (client, first, index) in [
            ("192.168.110.7", 263, 1),
            ("192.168.111.200", 264, 0),
            ("172.31.12.1", 5228, 0),
            ("10.0.0.255", 2565, 1),
            ("198.19.249.3", 3740, 0),
        ] {
            let client = client.parse().unwrap();
            assert_eq!(fold(START, client), first, "{client}");
            assert_eq!(hash.pick(client, |_| true), Some(index), "{client}");
        }
    }

    #[test]
    fn an_ipv4_client_on_an_ipv6_socket_is_the_same_client() {
        assert_eq!(fold(START, "::ffff:192.168.110.7".parse().unwrap()), 263);
    }

    #[test]
    fn one_that_may_not_be_used_is_hashed_past() {
        let hash = IpHash::new([1, 1].into_iter());
        let client = "192.168.110.7".parse().unwrap();
        assert_eq!(hash.pick(client, |i| i == 0), Some(0));
        assert_eq!(hash.pick(client, |_| false), None);
        assert_eq!(IpHash::new([].into_iter()).pick(client, |_| true), None);
    }

    #[test]
    fn weights_shape_the_mapping() {
        let hash = IpHash::new([9, 1].into_iter());
        let clients = (0..=255u8).map(|octet| IpAddr::from([10, 1, octet, 1]));
        let first = clients
            .filter(|client| hash.pick(*client, |_| true) == Some(0))
            .count();
        assert!((205..=250).contains(&first), "{first}");
    }
}
