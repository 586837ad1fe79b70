//! What a route does with its requests.

use super::{
    listener::Listener,
    pool::TimeoutOverrides,
    reader::{Section, Value},
    retry::RetryOverrides,
    route::{PathMatch, check_path},
    source::At,
    template::{Part, Template, Variable},
};

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// It is forwarded to a server of a pool.
    Forward(Forward),
    /// It is sent elsewhere.
    Redirect {
        /// The `Location`.
        to: Template,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// It is answered by lbd.
    Respond {
        /// Any final status.
        status: u16,
        /// The body.
        body: Template,
    },
}

/// How a request is forwarded.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The pool.
    pub pool: At<String>,
    /// What the matched prefix becomes on the way to the server.
    pub replace_prefix: Option<String>,
    /// Where this route retries differently from its pool.
    pub retry: RetryOverrides,
    /// Where this route is more or less patient than its pool.
    pub timeouts: TimeoutOverrides,
}

impl Action {
    /// Reads the one of `pool`, `redirect` and `respond` that a route has.
    pub(super) fn read(
        section: &Section<'_>,
        path: Option<&At<PathMatch>>,
        https: &Template,
    ) -> Option<Self> {
        let replace_prefix = section
            .get("replace_prefix")
            .and_then(|v| read_replace_prefix(&v, path));
        let retry = section
            .get("retry")
            .and_then(|v| RetryOverrides::read(&v, false))
            .unwrap_or_default();
        let timeouts = section
            .get("timeouts")
            .and_then(|v| TimeoutOverrides::read(&v))
            .unwrap_or_default();
        let given: Vec<Value<'_>> = ["pool", "redirect", "respond"]
            .into_iter()
            .filter_map(|key| section.get(key))
            .collect();
        match given.as_slice() {
            [value] => match value.name() {
                "pool" => Some(Self::Forward(Forward {
                    pool: value.string()?,
                    replace_prefix,
                    retry,
                    timeouts,
                })),
                "redirect" => read_redirect(value, https),
                _ => read_respond(value),
            },
            [] => {
                section.error(
                    "a route without `pool`, `redirect` or `respond`",
                    "say what is done with its requests: pool = \"app_a\"",
                );
                None
            }
            [_, second, ..] => {
                second.fault(
                    "stands beside another of `pool`, `redirect` and `respond`",
                    "a route does one of the three",
                );
                None
            }
        }
    }
}

/// Where `to = "https"` sends a client: to what it asked for, on the port of the first listener with TLS
/// if none has the usual one.
pub(super) fn to_https(listeners: &[Listener]) -> Template {
    const USUAL: u16 = 443;
    let secure = listeners.iter().filter(|listener| listener.tls.is_some());
    let mut ports = secure.flat_map(|listener| listener.bind.iter().map(|bind| bind.port()));
    let first = ports.next().unwrap_or(USUAL);
    let mut parts = vec![
        Part::Literal("https://".to_owned()),
        Part::Variable(Variable::Host),
    ];
    if first != USUAL && !ports.any(|port| port == USUAL) {
        parts.push(Part::Literal(format!(":{first}")));
    }
    parts.push(Part::Variable(Variable::RequestUri));
    Template { parts }
}

fn read_replace_prefix(value: &Value<'_>, path: Option<&At<PathMatch>>) -> Option<String> {
    if path.is_some_and(|path| matches!(path.value, PathMatch::Regex(_))) {
        value.fault(
            "stands beside `regex`",
            "only the prefix of a route with `path` or `exact` can be replaced",
        );
        return None;
    }
    check_path(value, &value.string()?)
}

fn read_redirect(value: &Value<'_>, https: &Template) -> Option<Action> {
    let section = value.section("redirect")?;
    let to = section.get("to");
    if to.is_none() {
        section.error(
            "a redirect without `to`",
            "say where: redirect = { to = \"https://$host$request_uri\" }",
        );
    }
    let to = to.and_then(|v| match v.string() {
        Some(text) if *text == "https" => Some(https.clone()),
        Some(_) => Template::read(&v),
        None => None,
    });
    let status = section.get("status").map_or(Some(308), |v| {
        let status = v.integer(300..=399)?.value;
        if ![301, 302, 303, 307, 308].contains(&status) {
            v.fault("is no redirect", "301, 302, 303, 307 or 308");
            return None;
        }
        u16::try_from(status).ok()
    });
    section.finish();
    Some(Action::Redirect {
        to: to?,
        status: status?,
    })
}

fn read_respond(value: &Value<'_>) -> Option<Action> {
    let section = value.section("respond")?;
    let status = section.get("status").map_or(Some(200), |v| {
        v.integer(200..=599)
            .and_then(|n| u16::try_from(n.value).ok())
    });
    let body = section
        .get("body")
        .map_or_else(|| Some(Template::default()), |v| Template::read(&v));
    section.finish();
    Some(Action::Respond {
        status: status?,
        body: body?,
    })
}
