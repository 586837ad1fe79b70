//! Heads and chunks as they are sent.

use http::{Method, StatusCode};

use crate::http::message::Fields;

/// Appends `METHOD target HTTP/1.1`.
pub(in super::super) fn write_request_line(out: &mut Vec<u8>, method: &Method, target: &[u8]) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Appends `HTTP/1.1 200 OK`.
pub(in super::super) fn write_status_line(out: &mut Vec<u8>, status: StatusCode, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Appends one field.
pub(in super::super) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends what stands before a chunk's data. The line end after the data before is written here,
/// too, so that each chunk is one piece of framing and one of data.
pub(in super::super) fn write_chunk_start(out: &mut Vec<u8>, len: usize, is_first: bool) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if !is_first {
        out.extend_from_slice(b"\r\n");
    }
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(HEX[(len >> (digit * 4)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body.
pub(in super::super) fn write_last_chunk(
    out: &mut Vec<u8>,
    trailers: Option<&Fields>,
    is_first: bool,
) {
    write_chunk_start(out, 0, is_first);
    if let Some(trailers) = trailers {
        trailers.write(out);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_hexadecimal_without_leading_zeros() {
        for (len, text) in [
            (0, "0\r\n"),
            (1, "1\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (65536, "10000\r\n"),
            (0xabc, "abc\r\n"),
        ] {
            let mut out = Vec::new();
            write_chunk_start(&mut out, len, true);
            assert_eq!(out, text.as_bytes());
        }
    }
}
