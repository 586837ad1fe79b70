//! Who may ask what over the port.

use std::{net::IpAddr, time::Duration};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use http::{HeaderMap, Method, Request, StatusCode, header, uri::Authority};

use super::super::api::{LONGEST, Reply};
use crate::{config::Admin, telemetry::Seldom};

/// What requests have to show.
pub(super) struct Guard<'g> {
    admin: &'g Admin,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    status: StatusCode,
    why: &'static str,
}

/// Open even where looking needs the token: the page, which asks for it, and what whoever is in front of lbd looks at.
const ALWAYS_OPEN: [&str; 5] = ["/", "/page.css", "/page.js", "/healthz", "/readyz"];

impl Refusal {
    pub(super) const GONE: Self = Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        why: "the file has no [admin] any more",
    };
    const NO_HOST: Self = Self {
        status: StatusCode::BAD_REQUEST,
        why: "a request without Host",
    };
    const OTHER_HOST: Self = Self {
        status: StatusCode::MISDIRECTED_REQUEST,
        why: "the Host is neither an address nor localhost, nor one of `hosts` in [admin]",
    };
    const OTHER_ORIGIN: Self = Self {
        status: StatusCode::FORBIDDEN,
        why: "a page of another origin may change nothing",
    };
    const NO_TOKEN_FILE: Self = Self {
        status: StatusCode::FORBIDDEN,
        why: "no `token_file` in [admin]: changes go over the control socket",
    };
    const NO_TOKEN: Self = Self {
        status: StatusCode::UNAUTHORIZED,
        why: "this needs the token: Authorization: Bearer TOKEN",
    };
    const WRONG_TOKEN: Self = Self {
        status: StatusCode::FORBIDDEN,
        why: "the token is wrong",
    };
    const TOO_LONG: Self = Self {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        why: "a body of 64 KB at most",
    };

    /// What `client` is told. The log has a line for the first, and then for how many there were: somebody may be guessing.
    pub(super) fn reply(self, client: &str) -> Reply {
        static REFUSALS: Seldom = Seldom::new(Duration::from_secs(10));
        if let Some(others) = REFUSALS.due() {
            let why = self.why;
            tracing::warn!(client, others, "admin: refused: {why}");
        }
        let reply = Reply::new(self.status, format!("{}\n", self.why));
        match self.status {
            StatusCode::UNAUTHORIZED => reply.with(header::WWW_AUTHENTICATE, "Bearer"),
            _ => reply,
        }
    }
}

impl<'g> Guard<'g> {
    pub(super) fn new(admin: &'g Admin) -> Self {
        Self { admin }
    }

    /// Whether `request` may be answered.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let fields = request.headers();
        let host = host_of(request).ok_or(Refusal::NO_HOST)?;
        if !self.is_ours(host.host()) {
            return Err(Refusal::OTHER_HOST);
        }
        let length = fields.get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > LONGEST as u64) {
            return Err(Refusal::TOO_LONG);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            if !is_of_origin(fields, &host) {
                return Err(Refusal::OTHER_ORIGIN);
            }
            return self.check_token(fields);
        }
        let is_open = ALWAYS_OPEN.contains(&request.uri().path());
        match self.admin.reads_need_token && !is_open {
            true => self.check_token(fields),
            false => Ok(()),
        }
    }

    /// Whether a browser that asks under `name` cannot have been led here by somebody else's name.
    fn is_ours(&self, name: &str) -> bool {
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.admin.hosts.contains(&name.to_ascii_lowercase())
    }

    fn check_token(&self, fields: &HeaderMap) -> Result<(), Refusal> {
        let token = self.admin.token.as_ref().ok_or(Refusal::NO_TOKEN_FILE)?;
        let shown = fields.get(header::AUTHORIZATION).ok_or(Refusal::NO_TOKEN)?;
        let (scheme, shown) = shown.as_bytes().split_at_checked(7).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return Err(Refusal::NO_TOKEN);
        }
        // Of digests, which are all of one length: neither the time nor anything else tells how much of it is right.
        let [known, shown] =
            [token.reveal().as_bytes(), shown.trim_ascii()].map(|text| digest(&SHA256, text));
        verify_slices_are_equal(known.as_ref(), shown.as_ref()).map_err(|_| Refusal::WRONG_TOKEN)
    }
}

fn host_of<B>(request: &Request<B>) -> Option<Authority> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host: Option<Authority> = hosts.next()?.to_str().ok()?.parse().ok();
    // Two of them can be read in two ways, and so can one beside another in the target.
    let is_clear = |host: &Authority| {
        request
            .uri()
            .authority()
            .is_none_or(|target| target == host)
    };
    host.filter(|host| hosts.next().is_none() && is_clear(host))
}

/// Whether a request that changes something comes from our own page, or from no page at all.
fn is_of_origin(fields: &HeaderMap, host: &Authority) -> bool {
    let Some(origin) = fields.get(header::ORIGIN) else {
        return true;
    };
    let origin = origin.to_str().unwrap_or_default();
    let own = origin
        .split_once("://")
        .map(|(_, authority)| authority.to_owned());
    own.is_some_and(|own| own.eq_ignore_ascii_case(host.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, SourceFile};

    /// What becomes of a request with `fields` where `[admin]` has `keys`.
    fn admit(keys: &str, method: &str, path: &str, fields: &[(&str, &str)]) -> u16 {
        let text = format!(
            "[admin]\nbind = \"127.0.0.1:8180\"\n{keys}\n[[listeners]]\nbind = \"127.0.0.1:8100\"\n"
        );
        let directory = std::env::temp_dir().join(format!("lbd-guard-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("token");
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        let text = text.replace("@TOKEN@", &file.display().to_string());
        let loaded = config::load(&SourceFile::new("lb.toml", text)).unwrap();
        let admin = loaded.config.admin.unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let admitted = Guard::new(&admin).admit(&request);
        admitted.map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    const TOKEN: &str = "token_file = \"@TOKEN@\"";
    const LOCAL: (&str, &str) = ("host", "127.0.0.1:8180");

    #[test]
    fn a_name_that_is_not_ours_is_somebody_else_s_page() {
        for (host, status) in [
            ("127.0.0.1:8180", 200),
            ("[::1]:8180", 200),
            ("LOCALHOST", 200),
            ("lb.company.com:8180", 200),
            ("evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("", 400),
        ] {
            let hosts = "hosts = [\"LB.company.com\"]";
            assert_eq!(
                admit(hosts, "GET", "/", &[("host", host)]),
                status,
                "{host}"
            );
        }
        assert_eq!(admit("", "GET", "/", &[]), 400);
        let two = [LOCAL, ("host", "evil.example")];
        assert_eq!(admit("", "GET", "/", &two), 400);
    }

    #[test]
    fn whoever_changes_something_shows_the_token() {
        let post = |keys, fields: &[(&str, &str)]| {
            let all: Vec<_> = [LOCAL].iter().chain(fields).copied().collect();
            admit(keys, "POST", "/api/v1/reload", &all)
        };
        assert_eq!(
            post("", &[("authorization", "Bearer 0123456789abcdef")]),
            403
        );
        for (shown, status) in [
            ("Bearer 0123456789abcdef", 200),
            ("bearer 0123456789abcdef", 200),
            ("Bearer 0123456789abcdeg", 403),
            ("Bearer 0123456789abcde", 403),
            ("Bearer ", 403),
            ("Basic 0123456789abcdef", 401),
            ("x", 401),
        ] {
            assert_eq!(post(TOKEN, &[("authorization", shown)]), status, "{shown}");
        }
        assert_eq!(post(TOKEN, &[]), 401);
        let foreign = [
            ("authorization", "Bearer 0123456789abcdef"),
            ("origin", "http://evil.example"),
        ];
        assert_eq!(post(TOKEN, &foreign), 403);
        let own = [foreign[0], ("origin", "http://127.0.0.1:8180")];
        assert_eq!(post(TOKEN, &own), 200);
    }

    #[test]
    fn looking_needs_it_only_where_the_file_says_so() {
        let keys = format!("{TOKEN}\nreads = \"token\"");
        let get = |keys: &str, path| admit(keys, "GET", path, &[LOCAL]);
        assert_eq!(get(TOKEN, "/metrics"), 200);
        assert_eq!(get(&keys, "/metrics"), 401);
        for path in ALWAYS_OPEN {
            assert_eq!(get(&keys, path), 200, "{path}");
        }
    }

    #[test]
    fn a_body_that_is_too_long_is_not_even_begun() {
        let long = [LOCAL, ("content-length", "10485760")];
        assert_eq!(admit(TOKEN, "POST", "/api/v1/reload", &long), 413);
    }
}
