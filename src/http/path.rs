//! The path that routes are compared with: decoded, slashes merged, dots resolved, as nginx does
//! (`ngx_http_parse_complex_uri`). What is forwarded stays as the client sent it.

use std::borrow::Cow;

/// A path as sent, and what it means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Path<'a> {
    /// As sent.
    pub(super) raw: &'a [u8],
    /// Decoded, with slashes merged and dots resolved.
    pub(super) normal: Cow<'a, [u8]>,
    /// Whether slashes were merged or dots resolved: then the raw path cannot be cut where the normal one is.
    pub(super) is_rearranged: bool,
}

/// A path with an invalid escape, a zero byte, or more `..` than it has segments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct InvalidPath;

impl<'a> Path<'a> {
    /// Reads `raw`, which starts with a slash.
    pub(super) fn parse(raw: &'a [u8]) -> Result<Self, InvalidPath> {
        if is_normal(raw) {
            return Ok(Self {
                raw,
                normal: Cow::Borrowed(raw),
                is_rearranged: false,
            });
        }
        let decoded = decode(raw)?;
        let normal = resolve(&decoded)?;
        Ok(Self {
            raw,
            is_rearranged: normal != decoded,
            normal: Cow::Owned(normal),
        })
    }
}

impl Path<'_> {
    /// The path with `prefix`, which it starts with, replaced by `replacement`. What is below stays
    /// as it was sent, escapes and all, unless its segments had to be rearranged.
    pub(super) fn with_prefix_replaced(&self, prefix: &str, replacement: &str) -> Vec<u8> {
        let mut path = replacement.as_bytes().to_vec();
        match self
            .raw
            .strip_prefix(prefix.as_bytes())
            .filter(|_| !self.is_rearranged)
        {
            Some(below) => append_below(&mut path, below),
            None => {
                let mut below = Vec::new();
                write_escaped(
                    &mut below,
                    self.normal
                        .strip_prefix(prefix.as_bytes())
                        .unwrap_or_default(),
                );
                append_below(&mut path, &below);
            }
        }
        path
    }
}

/// Joins a prefix and what is below it with one slash.
fn append_below(path: &mut Vec<u8>, below: &[u8]) {
    match (path.last() == Some(&b'/'), below.first() == Some(&b'/')) {
        (true, true) => path.extend_from_slice(&below[1..]),
        (false, false) if !below.is_empty() => {
            path.push(b'/');
            path.extend_from_slice(below);
        }
        _ => path.extend_from_slice(below),
    }
}

/// Whether nothing in `raw` needs a second look: the case of almost every request.
fn is_normal(raw: &[u8]) -> bool {
    let mut previous = 0;
    for b in raw {
        if *b == b'%' || (previous == b'/' && matches!(b, b'/' | b'.')) {
            return false;
        }
        previous = *b;
    }
    true
}

fn decode(raw: &[u8]) -> Result<Vec<u8>, InvalidPath> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(b) = rest.next() {
        let mut hex = || {
            rest.next()
                .and_then(|b| char::from(*b).to_digit(16))
                .ok_or(InvalidPath)
        };
        let byte = if *b == b'%' {
            u8::try_from(hex()? << 4 | hex()?).map_err(|_| InvalidPath)?
        } else {
            *b
        };
        if byte == 0 {
            return Err(InvalidPath);
        }
        decoded.push(byte);
    }
    Ok(decoded)
}

fn resolve(decoded: &[u8]) -> Result<Vec<u8>, InvalidPath> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_in_slash = false;
    for segment in decoded.split(|b| *b == b'/') {
        ends_in_slash = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop().ok_or(InvalidPath)?;
            }
            segment => segments.push(segment),
        }
    }
    let mut normal = Vec::with_capacity(decoded.len());
    for segment in &segments {
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    if ends_in_slash || normal.is_empty() {
        normal.push(b'/');
    }
    Ok(normal)
}

/// Appends `path` with every byte escaped that cannot stand in a path (RFC 3986 section 3.3).
pub(super) fn write_escaped(out: &mut Vec<u8>, path: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for b in path {
        if b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(b) {
            out.push(*b);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(raw: &str) -> Option<String> {
        let path = Path::parse(raw.as_bytes()).ok()?;
        Some(String::from_utf8_lossy(&path.normal).into_owned())
    }

    #[test]
    fn paths_mean_what_nginx_takes_them_for() {
        for (raw, meant) in [
            ("/", "/"),
            ("/app_a/x", "/app_a/x"),
            ("//a///b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a%2Fb", "/a/b"),
            ("/a/%2e%2e/b", "/b"),
            ("/%E5%BA%94", "/应"),
            ("/a/.b", "/a/.b"),
            ("/a/..b", "/a/..b"),
            ("/a%20b", "/a b"),
        ] {
            assert_eq!(normal(raw).as_deref(), Some(meant), "{raw}");
        }
        for raw in [
            "/..",
            "/a/../../b",
            "/%2e%2e/",
            "/%",
            "/%4",
            "/%zz",
            "/a%00b",
        ] {
            assert_eq!(normal(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_replaced_prefix_leaves_what_is_below_as_it_was_sent() {
        for (raw, prefix, replacement, becomes) in [
            ("/app_a/x/y", "/app_a/", "/", "/x/y"),
            ("/app_a/", "/app_a/", "/", "/"),
            ("/app_a/x", "/app_a/", "/remote/", "/remote/x"),
            ("/app_a/x", "/app_a/", "/remote", "/remote/x"),
            ("/app_a/x", "/app_a", "/", "/x"),
            ("/app_a", "/app_a", "/remote", "/remote"),
            ("/app_a/a%2Fb%20c", "/app_a/", "/", "/a%2Fb%20c"),
            ("/%61pp_a/b%20c", "/app_a/", "/", "/b%20c"),
            ("//app_a/../app_a/b%2Fc", "/app_a/", "/", "/b/c"),
        ] {
            let path = Path::parse(raw.as_bytes()).unwrap();
            let replaced = path.with_prefix_replaced(prefix, replacement);
            assert_eq!(String::from_utf8_lossy(&replaced), becomes, "{raw}");
        }
    }

    #[test]
    fn an_ordinary_path_is_not_copied() {
        let path = Path::parse(b"/app_a/page.html").unwrap();
        assert!(matches!(path.normal, Cow::Borrowed(_)) && !path.is_rearranged);
    }

    proptest::proptest! {
        #[test]
        fn a_normal_path_is_its_own_meaning(raw in "/[a-c./%2fF]{0,30}") {
            if let Ok(path) = Path::parse(raw.as_bytes()) {
                let mut escaped = Vec::new();
                write_escaped(&mut escaped, &path.normal);
                let again = Path::parse(&escaped).unwrap();
                assert_eq!(again.normal, path.normal);
                assert!(!again.is_rearranged);
            }
        }
    }
}
