//! A certificate's subject as text that can be read in one way only (RFC 4514).

use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The subject, its last part first: `CN=alice,O=Example`. Visible ASCII only, so that it can be a field's value.
pub(super) fn subject(name: &X509Name<'_>) -> String {
    let rdns: Vec<_> = name.iter_rdn().collect();
    let text = |rdn: &&x509_parser::x509::RelativeDistinguishedName<'_>| {
        rdn.iter().map(attribute).collect::<Vec<_>>().join("+")
    };
    rdns.iter().rev().map(text).collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let number = attribute.attr_type().to_id_string();
    let kind = kind(&number);
    match attribute.as_str() {
        Ok(value) if kind != number => format!("{kind}={}", escaped(value)),
        // A value that is no text, or of a type without a name, is shown by its encoding (section 2.4).
        _ => {
            let encoded = encoding(attribute);
            let digits: String = encoded.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("{kind}=#{digits}")
        }
    }
}

/// The value in DER: tag, length, content.
fn encoding(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let content = attribute.as_slice();
    let tag = u8::try_from(attribute.attr_value().tag().0).unwrap_or_default();
    let mut encoded = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = &length[length
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(length.len() - 1)..];
    if content.len() >= 0x80 {
        encoded.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
    }
    encoded.extend_from_slice(significant);
    encoded.extend_from_slice(content);
    encoded
}

/// The short names of section 3; others are known by their number.
fn kind(number: &str) -> &str {
    match number {
        "2.5.4.3" => "CN",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        number => number,
    }
}

/// `value` with everything escaped that could be taken for something else (section 2.4).
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (i, byte) in value.bytes().enumerate() {
        let is_edge = i == 0 || i + 1 == value.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' | b'=' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'#' if i == 0 => out.push_str("\\#"),
            // Not by a backslash alone: whoever trims the field would leave that.
            b' ' if is_edge => out.push_str("\\20"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_be_taken_for_two() {
        for (value, text) in [
            ("alice", "alice"),
            ("bob, O=Admins", "bob\\, O\\=Admins"),
            (" a ", "\\20a\\20"),
            ("#a#", "\\#a#"),
            ("a\r\nX: 1", "a\\0D\\0AX: 1"),
            ("应", "\\E5\\BA\\94"),
            ("", ""),
        ] {
            assert_eq!(escaped(value), text, "{value:?}");
        }
    }
}
