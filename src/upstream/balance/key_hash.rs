//! By any key, with nginx's mapping (`hash KEY`, which is Cache::Memcached's): a server more or less moves nearly
//! every key. It has nginx's flaw, too: checksums are linear, so where the weights' sum is even, the keys of a server
//! that is out do not fall to the others evenly. `consistent` has neither.

use super::{Candidates, LOOKS, Share, ranges::Ranges};

/// The index for `key`; `None` if it is empty, or if whoever it comes to may not be used, however often it is
/// hashed again.
pub(super) fn pick(ranges: &Ranges, key: &[u8], candidates: &mut impl Candidates) -> Option<usize> {
    if key.is_empty() {
        return None;
    }
    let mut sum: u32 = 0;
    for rehash in 0..LOOKS {
        sum = sum.wrapping_add(hash(rehash, key));
        let index = ranges.at(sum)?;
        if candidates.share(index) != Share::NONE && candidates.claim(index) {
            return Some(index);
        }
    }
    None
}

/// Fifteen bits of the checksum; of a key that is hashed again, with how often before it.
fn hash(rehash: usize, key: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    if rehash > 0 {
        crc.update(itoa::Buffer::new().format(rehash).as_bytes());
    }
    crc.update(key);
    (crc.finalize() >> 16) & 0x7fff
}

#[cfg(test)]
mod tests {
    use super::{super::balancer::tests::Members, *};

    fn pick_of(weights: &[u32], key: &[u8], usable: impl Fn(usize) -> bool) -> Option<usize> {
        let ranges = Ranges::new(weights.iter().copied());
        pick(&ranges, key, &mut Members::usable(usable))
    }

    fn keys(count: usize) -> impl Iterator<Item = String> {
        (0..count).map(|n| format!("key-{n}"))
    }

    #[test]
    fn the_checksum_is_that_of_memcached_s_clients() {
        // crc32("key-1") is 0xcc4dd3d0 by zlib.
        let crc = crc32fast::hash(b"key-1");
        assert_eq!(hash(0, b"key-1"), crc >> 16 & 0x7fff);
        assert_eq!(hash(3, b"key-1"), crc32fast::hash(b"3key-1") >> 16 & 0x7fff);
    }

    #[test]
    fn an_empty_key_has_no_place() {
        assert_eq!(pick_of(&[1, 1], b"", |_| true), None);
    }

    #[test]
    fn weights_shape_the_mapping() {
        let of_first = |key: &String| pick_of(&[3, 1], key.as_bytes(), |_| true) == Some(0);
        let first = keys(4000).filter(of_first).count();
        assert!((2900..3100).contains(&first), "{first}");
    }

    #[test]
    fn the_keys_of_one_that_is_out_are_spread_over_the_others() {
        let mut counts = [0; 5];
        for key in keys(4000) {
            let whole = pick_of(&[1; 5], key.as_bytes(), |_| true).unwrap();
            let index = pick_of(&[1; 5], key.as_bytes(), |i| i != 2).unwrap();
            assert!(whole == index || whole == 2);
            counts[index] += 1;
        }
        assert_eq!(counts[2], 0);
        let is_even = |count: &&i32| (900..1100).contains(*count);
        assert_eq!(counts.iter().filter(is_even).count(), 4, "{counts:?}");
    }
}
