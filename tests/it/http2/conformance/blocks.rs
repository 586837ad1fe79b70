//! Field blocks that no decoder can read (RFC 7541): the tables of both sides would differ from there on.

use crate::support::frame::{encode, flag, kind};
use crate::support::hpack;

use super::{COMPRESSION, end_the_connection};

/// A request that goes on with `bytes`.
fn request_with(bytes: &[u8]) -> Vec<u8> {
    let block = [&hpack::block(&hpack::GET)[..], bytes].concat();
    let flags = flag::END_HEADERS | flag::END_STREAM;
    encode(kind::HEADERS, flags, 1, &block)
}

#[tokio::test]
async fn indices_that_stand_for_nothing() {
    end_the_connection(
        COMPRESSION,
        &[
            ("zero", request_with(&[0x80])),
            ("behind the static table", request_with(&[0xbe])),
            ("far behind", request_with(&[0xff, 0x80, 0x08])),
            ("of a name", request_with(&[0x7e, 1, b'x'])),
            (
                "of a name that is not indexed",
                request_with(&[0x0f, 0x7f, 1, b'x']),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn numbers_and_texts_that_do_not_end() {
    end_the_connection(
        COMPRESSION,
        &[
            ("a name", request_with(&[0, 5, b'x'])),
            ("a value", request_with(&[0, 1, b'x', 5, b'y'])),
            ("no value", request_with(&[0, 1, b'x'])),
            ("an index", request_with(&[0xff])),
            ("a length", request_with(&[0, 0x7f])),
            ("a number beyond all bounds", request_with(&[0xff; 12])),
        ],
    )
    .await;
}

#[tokio::test]
async fn huffman_codes_that_cannot_be() {
    // 0 is 00000; what is left of the last byte must be ones, and fewer than eight.
    let with = |code: &[u8]| {
        let length = 0x80 | code.len() as u8;
        request_with(&[&[0, 1, b'x', length][..], code].concat())
    };
    end_the_connection(
        COMPRESSION,
        &[
            ("padding with zeros", with(&[0b0000_0000])),
            ("padding with some zeros", with(&[0b0000_0101])),
            ("padding of a whole byte", with(&[0b0000_0111, 0xff])),
            (
                "the end of a text inside it",
                with(&[0xff, 0xff, 0xff, 0xff]),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn tables_that_lbd_does_not_allow() {
    let block = hpack::block(&hpack::GET);
    // 31 and then about 16 million in four times seven bits.
    let huge = [0x3f, 0xff, 0xff, 0xff, 0x07];
    let flags = flag::END_HEADERS | flag::END_STREAM;
    let larger = encode(kind::HEADERS, flags, 1, &[&huge[..], &block].concat());
    end_the_connection(
        COMPRESSION,
        &[
            ("larger than lbd's", larger),
            ("changed behind a field", request_with(&[0x20])),
        ],
    )
    .await;
}
