//! As much of HPACK (RFC 7541) as a test needs: field blocks that refer to no table, and the status of an answer.

/// What a GET of `/` says, in the order of RFC 9113.
pub(crate) const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "app.example"),
    (":path", "/"),
];

/// A block of these fields, each a literal that is not indexed and not Huffman coded.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        put_text(&mut block, name);
        put_text(&mut block, value);
    }
    block
}

/// A block that asks for `path` with these further fields.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "app.example"),
        (":path", path),
    ];
    block(&[&pseudo[..], fields].concat())
}

fn put_text(block: &mut Vec<u8>, text: &str) {
    const PREFIX: usize = 0x7f;
    let length = text.len();
    if length < PREFIX {
        block.push(length as u8);
    } else {
        block.push(PREFIX as u8);
        let mut rest = length - PREFIX;
        while rest >= 0x80 {
            block.push((rest % 0x80) as u8 | 0x80);
            rest /= 0x80;
        }
        block.push(rest as u8);
    }
    block.extend(text.as_bytes());
}

/// The status of an answer from an encoder that was allowed no dynamic table: `:status` is its first field.
pub(crate) fn status(block: &[u8]) -> u16 {
    // Changes of the table's size, to zero as a rule, come before it.
    let start = block
        .iter()
        .position(|byte| byte & 0xe0 != 0x20)
        .expect("an answer has fields");
    let block = &block[start..];
    let known = [200, 204, 206, 304, 400, 404, 500];
    let first = usize::from(block[0]);
    if first & 0x80 != 0 {
        let index = (first & 0x7f).checked_sub(8);
        return *index
            .and_then(|index| known.get(index))
            .expect("the first field is :status");
    }
    let name = if first & 0x40 != 0 {
        first & 0x3f
    } else {
        first & 0x0f
    };
    assert!((8..15).contains(&name), "no :status in {block:?}");
    let length = usize::from(block[1] & 0x7f);
    let value = &block[2..2 + length];
    let text = if block[1] & 0x80 == 0 {
        String::from_utf8_lossy(value).into_owned()
    } else {
        digits(value)
    };
    text.parse().expect("a status is a number")
}

/// Huffman coded digits. The codes of 0 to 2 are 00000 to 00010, those of 3 to 9 are 011001 to 011111.
fn digits(bytes: &[u8]) -> String {
    let bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| (byte >> at) & 1));
    let (mut digits, mut code, mut length) = (String::new(), 0, 0);
    for bit in bits {
        code = (code << 1) | bit;
        length += 1;
        let digit = match (length, code) {
            (5, 0..=2) => code,
            (6, 0b011_001..=0b011_111) => code - 0b011_001 + 3,
            _ => continue,
        };
        digits.push(char::from(b'0' + digit));
        (code, length) = (0, 0);
    }
    digits
}
