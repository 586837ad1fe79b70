//! `Location` and `Refresh` that name a place only lbd can reach (nginx `proxy_redirect`).
//!
//! An app that builds absolute links from its own address, from its pool's name, or from a Host
//! without the public port, sends its users nowhere. Such a link is cut down to its path, which the
//! browser resolves against the address it used, whatever stands between it and lbd. nginx's
//! default replaces one literal prefix and misses the last of the three cases.

use std::net::SocketAddr;

use super::{message::Name, variables::host_name};

/// What a link is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rewrite<'a> {
    pub(super) peer: SocketAddr,
    /// The peer's address as the file says it.
    pub(super) authority: &'a str,
    pub(super) pool: &'a str,
    /// The Host that the peer was sent.
    pub(super) host_sent: &'a [u8],
    /// The Host that the client used.
    pub(super) client_host: &'a [u8],
    pub(super) is_https: bool,
    /// What the peer knows the route's path as, and the route's path.
    pub(super) prefix: Option<(&'a str, &'a str)>,
}

impl Rewrite<'_> {
    /// The value that the client gets in place of `value`; `None`: the same.
    pub(super) fn apply(&self, name: Name, value: &[u8]) -> Option<Vec<u8>> {
        if name == Name::Location {
            return self.link(value);
        }
        // "5; url=http://…"
        let at = value
            .windows(4)
            .position(|window| window.eq_ignore_ascii_case(b"url="))?
            + 4;
        let mut rewritten = value[..at].to_vec();
        rewritten.extend_from_slice(&self.link(&value[at..])?);
        Some(rewritten)
    }

    fn link(&self, link: &[u8]) -> Option<Vec<u8>> {
        let (is_https, rest) = split_scheme(link)?;
        let end = rest
            .iter()
            .position(|b| matches!(b, b'/' | b'?' | b'#'))
            .unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if !self.is_ours(authority, is_https) {
            return None;
        }
        let mut path = Vec::with_capacity(rest.len() + 1);
        if rest.first() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(rest);
        if let Some((known, public)) = self.prefix
            && let Some(below) = path.strip_prefix(known.as_bytes())
        {
            path = [public.as_bytes(), below].concat();
        }
        if matches!(path.get(1), Some(b'/' | b'\\' | ..=b' ')) {
            // Alone, browsers would read this as the name of another host.
            let scheme: &[u8] = if self.is_https {
                b"https://"
            } else {
                b"http://"
            };
            path = [scheme, self.client_host, &path].concat();
        }
        Some(path)
    }

    /// Whether a link to `authority` leads past lbd to where the request was sent.
    fn is_ours(&self, authority: &[u8], is_https: bool) -> bool {
        let text = String::from_utf8_lossy(authority).to_ascii_lowercase();
        if text == self.authority
            || text == self.pool.to_ascii_lowercase()
            || text == self.peer.to_string()
        {
            return true;
        }
        if !host_name(authority).eq_ignore_ascii_case(host_name(self.host_sent)) {
            return false;
        }
        let port = port_of(authority, is_https);
        let public_port = port_of(self.client_host, self.is_https);
        let is_right = port == public_port && is_https == self.is_https;
        // Another port, or a step up to https, may well be meant; a missing port and the peer's own are not.
        let has_default_port = port_of(authority, is_https) == default_port(is_https);
        let is_step_up = is_https && !self.is_https;
        !is_right
            && !is_step_up
            && (has_default_port || port == Some(self.peer.port()) || port == public_port)
    }
}

fn split_scheme(link: &[u8]) -> Option<(bool, &[u8])> {
    for (is_https, scheme) in [(false, &b"http://"[..]), (true, b"https://")] {
        if link.len() >= scheme.len() && link[..scheme.len()].eq_ignore_ascii_case(scheme) {
            return Some((is_https, &link[scheme.len()..]));
        }
    }
    None
}

fn default_port(is_https: bool) -> Option<u16> {
    Some(if is_https { 443 } else { 80 })
}

fn port_of(authority: &[u8], is_https: bool) -> Option<u16> {
    match memchr::memrchr(b':', authority) {
        Some(colon) if authority.last() != Some(&b']') => match &authority[colon + 1..] {
            b"" => default_port(is_https),
            port => std::str::from_utf8(port).ok()?.parse().ok(),
        },
        _ => default_port(is_https),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite() -> Rewrite<'static> {
        Rewrite {
            peer: "172.31.12.135:8101".parse().unwrap(),
            authority: "172.31.12.135:8101",
            pool: "app_a",
            host_sent: b"hq.company.com:8100",
            client_host: b"hq.company.com:8100",
            is_https: false,
            prefix: None,
        }
    }

    fn location(rewrite: &Rewrite<'_>, value: &str) -> String {
        let rewritten = rewrite.apply(Name::Location, value.as_bytes());
        rewritten.map_or_else(
            || value.to_owned(),
            |bytes| String::from_utf8(bytes).unwrap(),
        )
    }

    #[test]
    fn links_to_where_the_request_was_sent_become_paths() {
        for (link, becomes) in [
            (
                "http://172.31.12.135:8101/app_a/login?x#y",
                "/app_a/login?x#y",
            ),
            ("http://app_a/app_a/", "/app_a/"),
            ("http://hq.company.com/app_a/", "/app_a/"),
            ("http://HQ.company.com:8101/app_a/", "/app_a/"),
            ("http://172.31.12.135:8101", "/"),
            ("http://172.31.12.135:8101?x", "/?x"),
        ] {
            assert_eq!(location(&rewrite(), link), becomes, "{link}");
        }
    }

    #[test]
    fn all_other_links_stay() {
        for link in [
            "/app_a/",
            "next",
            "//other.com/",
            "http://hq.company.com:8100/app_a/",
            "http://hq.company.com:9000/",
            "https://hq.company.com/",
            "http://other.com/",
            "http://app_a.evil.com/",
            "ftp://app_a/",
        ] {
            assert_eq!(location(&rewrite(), link), link);
        }
    }

    #[test]
    fn behind_https_a_link_to_http_becomes_a_path() {
        let behind = Rewrite {
            is_https: true,
            client_host: b"hq.company.com",
            host_sent: b"hq.company.com",
            ..rewrite()
        };
        assert_eq!(location(&behind, "http://hq.company.com/a"), "/a");
        assert_eq!(
            location(&behind, "https://hq.company.com/a"),
            "https://hq.company.com/a"
        );
    }

    #[test]
    fn a_replaced_prefix_is_put_back() {
        let replaced = Rewrite {
            prefix: Some(("/remote/", "/app_a/")),
            ..rewrite()
        };
        assert_eq!(location(&replaced, "http://app_a/remote/x"), "/app_a/x");
        assert_eq!(location(&replaced, "http://app_a/other"), "/other");
    }

    #[test]
    fn no_link_is_cut_down_to_one_that_names_another_host() {
        assert_eq!(
            location(&rewrite(), "http://app_a//evil.com/"),
            "http://hq.company.com:8100//evil.com/"
        );
        for link in ["http://app_a/\\evil.com/", "http://app_a/\t/evil.com/"] {
            let kept = location(&rewrite(), link);
            assert!(kept.starts_with("http://hq.company.com:8100/"), "{kept}");
        }
    }

    #[test]
    fn refresh_holds_its_link_behind_a_delay() {
        let refresh = |value: &str| {
            rewrite()
                .apply(Name::Refresh, value.as_bytes())
                .map(|bytes| String::from_utf8(bytes).unwrap())
        };
        assert_eq!(
            refresh("5; URL=http://app_a/x").as_deref(),
            Some("5; URL=/x")
        );
        assert_eq!(refresh("5; url=/x"), None);
        assert_eq!(refresh("5"), None);
    }
}
