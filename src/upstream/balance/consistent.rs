//! By any key, on a ring (`hash KEY consistent`): a server that comes or goes moves only the keys that are or were
//! its own. The points are nginx's, which are those of Cache::Memcached::Fast's ketama: of each server 160 for each
//! unit of its weight, made of its name as the file says it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{Candidates, LOOKS, Share};

const POINTS: usize = 160;

/// The ring of one tier.
#[derive(Debug)]
pub(super) struct Ring {
    /// In the order of their hashes, of which each stands once.
    points: Vec<Point>,
    servers: Vec<Server>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    hash: u32,
    server: u32,
}

/// What the file names once: a name may stand for several addresses.
#[derive(Debug, Default)]
struct Server {
    members: Vec<usize>,
    /// Whose turn it is among them.
    next: AtomicUsize,
}

impl Ring {
    /// A ring of servers that are called and weigh this, in the order of the file.
    pub(super) fn new<'m>(members: impl Iterator<Item = (&'m Arc<str>, u32)>) -> Self {
        let mut servers: Vec<Server> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut points = Vec::new();
        for (index, (name, weight)) in members.enumerate() {
            let place = *places.entry(name).or_insert_with(|| {
                let place = servers.len();
                points.extend(hashes(name, weight).map(|hash| Point {
                    hash,
                    server: place as u32,
                }));
                servers.push(Server::default());
                place
            });
            servers[place].members.push(index);
        }
        // Stable, so that of two with one hash the first in the file stays.
        points.sort_by_key(|point| point.hash);
        points.dedup_by_key(|point| point.hash);
        Self { points, servers }
    }

    /// The same ring, to be tried out.
    pub(super) fn rehearsal(&self) -> Self {
        let server = |server: &Server| Server {
            members: server.members.clone(),
            next: AtomicUsize::new(server.next.load(Ordering::Relaxed)),
        };
        Self {
            points: self.points.clone(),
            servers: self.servers.iter().map(server).collect(),
        }
    }

    /// The index for `key`; `None` if it is empty, or if nobody may be used to whom the next points belong.
    pub(super) fn pick(&self, key: &[u8], candidates: &mut impl Candidates) -> Option<usize> {
        if key.is_empty() || self.points.is_empty() {
            return None;
        }
        let hash = crc32fast::hash(key);
        let first = self.points.partition_point(|point| point.hash < hash);
        (first..first + LOOKS).find_map(|place| {
            let point = self.points[place % self.points.len()];
            self.servers[point.server as usize].pick(candidates)
        })
    }
}

impl Server {
    fn pick(&self, candidates: &mut impl Candidates) -> Option<usize> {
        let count = self.members.len();
        let first = match count {
            1 => 0,
            _ => self.next.fetch_add(1, Ordering::Relaxed),
        };
        let mut turns = (0..count).map(|turn| self.members[first.wrapping_add(turn) % count]);
        turns.find(|index| candidates.share(*index) != Share::NONE && candidates.claim(*index))
    }
}

/// The points of a server: each is the checksum of its name and the point before.
fn hashes(name: &str, weight: u32) -> impl Iterator<Item = u32> {
    let (host, port) = split_port(name);
    let mut base = crc32fast::Hasher::new();
    base.update(host.as_bytes());
    base.update(b"\0");
    base.update(port.as_bytes());
    let mut previous: u32 = 0;
    (0..weight as usize * POINTS).map(move |_| {
        let mut crc = base.clone();
        crc.update(&previous.to_le_bytes());
        previous = crc.finalize();
        previous
    })
}

fn split_port(name: &str) -> (&str, &str) {
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    let split = name.rsplit_once(':').filter(|(_, port)| is_port(port));
    split.unwrap_or((name, ""))
}

#[cfg(test)]
mod tests {
    use super::{super::balancer::tests::Members, *};

    fn names(count: usize) -> Vec<Arc<str>> {
        (0..count)
            .map(|n| format!("10.0.0.{n}:80").into())
            .collect()
    }

    fn ring(names: &[Arc<str>]) -> Ring {
        Ring::new(names.iter().map(|name| (name, 1)))
    }

    fn owners(ring: &Ring, names: &[Arc<str>], usable: impl Fn(usize) -> bool) -> Vec<Arc<str>> {
        let pick = |n: usize| {
            let key = format!("key-{n}");
            let index = ring.pick(key.as_bytes(), &mut Members::usable(&usable));
            Arc::clone(&names[index.unwrap()])
        };
        (0..5000).map(pick).collect()
    }

    fn moved(before: &[Arc<str>], after: &[Arc<str>]) -> usize {
        before.iter().zip(after).filter(|(a, b)| a != b).count()
    }

    #[test]
    fn a_server_that_comes_takes_its_part_and_nothing_else_moves() {
        let names = names(11);
        let before = owners(&ring(&names[..10]), &names, |_| true);
        let after = owners(&ring(&names), &names, |_| true);
        let moved_to_others = before
            .iter()
            .zip(&after)
            .filter(|(a, b)| a != b && ***b != *names[10])
            .count();
        assert_eq!(moved_to_others, 0);
        // A tenth, and a half more for slack.
        assert!((1..5000 / 11 * 3 / 2).contains(&moved(&before, &after)));
    }

    #[test]
    fn one_that_is_out_moves_nobody_else_s_keys() {
        let names = names(10);
        let ring = ring(&names);
        let before = owners(&ring, &names, |_| true);
        let after = owners(&ring, &names, |i| i != 3);
        let of_others = before.iter().zip(&after).filter(|(a, _)| ***a != *names[3]);
        assert_eq!(of_others.filter(|(a, b)| a != b).count(), 0);
        assert!(after.iter().all(|name| **name != *names[3]));
    }

    #[test]
    fn weights_hold_within_a_fifth() {
        let names = names(4);
        let weights = [1, 1, 1, 3];
        let ring = Ring::new(names.iter().zip(weights));
        let owners = owners(&ring, &names, |_| true);
        let of_last = owners.iter().filter(|name| ***name == *names[3]).count();
        assert!((2000..3000).contains(&of_last), "{of_last}");
    }

    #[test]
    fn a_name_with_several_addresses_is_one_server_whose_members_take_turns() {
        let name: Arc<str> = "app.internal:80".into();
        let ring = Ring::new([(&name, 1), (&name, 1)].into_iter());
        let pick = |_| ring.pick(b"key", &mut Members::usable(|_| true));
        assert_eq!([0; 4].map(pick), [Some(0), Some(1), Some(0), Some(1)]);
        assert_eq!(ring.points.len(), POINTS);
    }

    #[test]
    fn a_port_is_what_stands_behind_the_last_colon() {
        assert_eq!(split_port("[::1]:80"), ("[::1]", "80"));
        assert_eq!(split_port("unix"), ("unix", ""));
    }
}
