//! lbd's own cookie: it names a server in a way that says nothing of it, and that every node and every restart
//! understands.

use std::{fmt::Write as _, sync::Arc};

use aws_lc_rs::hmac;

use crate::config::StickyCookie;

/// Bytes of a tag; twice as many digits.
const TAG: usize = 16;

/// Makes what a pool's cookies say.
#[derive(Debug)]
pub(in super::super) struct Tagger {
    key: hmac::Key,
    name: String,
    /// What stands behind the value, if the client came in the clear, and if not.
    attributes: [String; 2],
    renews: bool,
}

impl Tagger {
    /// One for the cookie that `cookie` describes, of the pool `pool`.
    pub(super) fn new(cookie: &StickyCookie, pool: &str) -> Self {
        // Two pools never understand each other's cookies, even with one secret.
        let secret = format!("{pool}\0{}", cookie.key.as_deref().unwrap_or_default());
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            name: cookie.name.clone(),
            attributes: [false, true].map(|is_https| attributes(cookie, is_https)),
            renews: cookie.max_age.is_some(),
        }
    }

    /// What the cookie says of `server`.
    pub(super) fn tag(&self, server: &str) -> Arc<str> {
        let tag = hmac::sign(&self.key, server.as_bytes());
        let digits = tag.as_ref().iter().take(TAG);
        digits
            .fold(String::with_capacity(TAG * 2), |mut text, byte| {
                // A String takes every write.
                let _ = write!(text, "{byte:02x}");
                text
            })
            .into()
    }

    pub(super) fn cookie(&self, tag: &str, is_https: bool) -> Vec<u8> {
        let attributes = &self.attributes[usize::from(is_https)];
        [&self.name, "=", tag, attributes].concat().into_bytes()
    }

    pub(super) fn renews(&self) -> bool {
        self.renews
    }
}

/// RFC 6265 section 4.1.
fn attributes(cookie: &StickyCookie, is_https: bool) -> String {
    let mut text = format!("; Path={}", cookie.path);
    if let Some(domain) = &cookie.domain {
        text.push_str("; Domain=");
        text.push_str(domain);
    }
    if let Some(age) = cookie.max_age {
        let _ = write!(text, "; Max-Age={}", age.as_secs());
    }
    if cookie.http_only {
        text.push_str("; HttpOnly");
    }
    if cookie.secure.unwrap_or(is_https) {
        text.push_str("; Secure");
    }
    if let Some(same_site) = cookie.same_site {
        text.push_str("; SameSite=");
        text.push_str(same_site);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cookie() -> StickyCookie {
        StickyCookie {
            name: "lb".to_owned(),
            key: None,
            path: "/".to_owned(),
            domain: None,
            max_age: None,
            secure: None,
            http_only: true,
            same_site: Some("Lax"),
        }
    }

    #[test]
    fn a_tag_is_the_same_everywhere_and_differs_by_server_pool_and_key() {
        let tag = |cookie: &StickyCookie, pool, server| Tagger::new(cookie, pool).tag(server);
        let one = tag(&cookie(), "app", "10.0.0.1:80");
        assert_eq!(one.len(), TAG * 2);
        assert_eq!(one, tag(&cookie(), "app", "10.0.0.1:80"));
        let keyed = StickyCookie {
            key: Some("secret".to_owned()),
            ..cookie()
        };
        for other in [
            tag(&cookie(), "app", "10.0.0.2:80"),
            tag(&cookie(), "app2", "10.0.0.1:80"),
            tag(&keyed, "app", "10.0.0.1:80"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_cookie_is_secure_where_its_client_is() {
        let text = |cookie: &StickyCookie, is_https| {
            String::from_utf8(Tagger::new(cookie, "app").cookie("tag", is_https)).unwrap()
        };
        let plain = "lb=tag; Path=/; HttpOnly; SameSite=Lax";
        assert_eq!(text(&cookie(), false), plain);
        let secure = "lb=tag; Path=/; HttpOnly; Secure; SameSite=Lax";
        assert_eq!(text(&cookie(), true), secure);
        let all = StickyCookie {
            domain: Some("x.com".to_owned()),
            max_age: Some(Duration::from_secs(3600)),
            secure: Some(true),
            http_only: false,
            same_site: Some("None"),
            ..cookie()
        };
        let text = text(&all, false);
        assert_eq!(
            text,
            "lb=tag; Path=/; Domain=x.com; Max-Age=3600; Secure; SameSite=None"
        );
    }
}
