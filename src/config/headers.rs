//! `request_headers` and `response_headers`: what a route sets and removes.

use super::{
    reader::{Section, Value},
    template::Template,
};

/// Edits of a header section, applied in this order: remove, then set.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits {
    /// Fields to give one value, replacing all that stand there; an empty value removes the field (as in nginx).
    pub set: Vec<(String, Template)>,
    /// Fields to remove.
    pub remove: Vec<String>,
}

impl HeaderEdits {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section(value.name())?;
        let mut edits = Self::default();
        if let Some(set) = section.get("set").and_then(|v| v.section("set")) {
            edits.read_set(&set);
        }
        if let Some(remove) = section.get("remove") {
            for name in remove.strings() {
                if check_name(&remove, &name) {
                    edits.remove.push(name.value);
                }
            }
        }
        section.finish();
        Some(edits)
    }

    fn read_set(&mut self, section: &Section<'_>) {
        for (name, value) in section.entries() {
            let is_name = check_name(&value, &name);
            let Some(text) = value.string() else { continue };
            if text.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
                value.fault(
                    "has a control character",
                    "a field's value is one line of text",
                );
                continue;
            }
            match Template::parse(&text) {
                Ok(template) if is_name => self.set.push((name.value, template)),
                Ok(_) => {}
                Err((message, help)) => value.fault(message, &help),
            }
        }
    }
}

/// Fields that say where a message ends or that only hold for one connection: lbd writes them itself.
const OWN: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn check_name(value: &Value<'_>, name: &str) -> bool {
    if name.is_empty() || !name.bytes().all(is_token) {
        value.fault(
            format!("names no header field: \"{name}\""),
            "a field's name has letters, digits and -",
        );
        return false;
    }
    if OWN.contains(&name.to_ascii_lowercase().as_str()) {
        value.fault(
            format!("names `{name}`, which lbd writes itself"),
            "remove it: framing and connection handling cannot be set",
        );
        return false;
    }
    true
}

/// RFC 9110 section 5.6.2.
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}
