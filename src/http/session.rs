//! Which session a request is part of, as far as its pool wants to know: so that it goes to the server that has it.

use std::borrow::Cow;

use tokio::time::Instant;

use super::{
    exchange::Exchange,
    message::{Name, RequestHead, ResponseHead},
    variables::{argument, cookie, write_template},
};
use crate::{
    config::{LearnFrom, Sticky},
    upstream::{Binding, Lease, Pool},
};

/// What the request of `exchange` says of its session, in the way that `sticky` has it.
pub(super) fn session_of<'r>(
    sticky: &Sticky,
    exchange: &Exchange<'_>,
    request: &'r RequestHead,
) -> Option<Cow<'r, [u8]>> {
    let session = match sticky {
        Sticky::Cookie(ours) => cookie(request, ours.name.as_bytes()),
        Sticky::Route(name) => {
            let name = name.as_bytes();
            let sources = [
                cookie(request, name),
                parameter(request.path(), name),
                request.query().and_then(|query| argument(query, name)),
            ];
            let mut sources = sources.into_iter().flatten();
            // The first that has a route; another app's session may have none.
            let has_route = |session: &&[u8]| session.contains(&b'.');
            let first = sources.clone().next();
            sources.find(has_route).or(first)
        }
        Sticky::Learn(learn) => match &learn.from {
            LearnFrom::Cookie(name) => cookie(request, name.as_bytes()),
            LearnFrom::Key(template) => {
                let mut key = Vec::new();
                write_template(&mut key, template, exchange);
                return (!key.is_empty()).then_some(Cow::Owned(key));
            }
        },
    };
    session.filter(|value| !value.is_empty()).map(Cow::Borrowed)
}

/// The peer of `lease` has answered a request of `session` with `response`: the session is there from now on.
pub(super) fn learn(
    pool: &Pool,
    session: Option<&[u8]>,
    lease: &Lease,
    response: &ResponseHead,
    now: Instant,
) {
    let Some(Sticky::Learn(learn)) = &pool.config().sticky else {
        return;
    };
    let made = match &learn.from {
        LearnFrom::Cookie(name) => made_by(response, name.as_bytes()),
        LearnFrom::Key(_) => None,
    };
    let taken_over = session.filter(|_| lease.binding() == Binding::New);
    if let Some(session) = made.or(taken_over) {
        pool.learn(session, lease.peer(), now);
    }
}

/// The value of the cookie `name` that `response` sets.
fn made_by<'r>(response: &'r ResponseHead, name: &[u8]) -> Option<&'r [u8]> {
    let mut cookies = response.fields.all(Name::SetCookie);
    cookies.find_map(|cookie| {
        let pair = cookie.split(|b| *b == b';').next()?;
        let equals = pair.iter().position(|b| *b == b'=')?;
        let (called, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        // One that is empty takes a cookie back.
        (called == name && !value.is_empty()).then_some(value)
    })
}

/// The value of the parameter `;name=` in a path, in whatever case: how Tomcat puts a session's id into links.
fn parameter<'p>(path: &'p [u8], name: &[u8]) -> Option<&'p [u8]> {
    let mut parts = path.split(|b| matches!(b, b';' | b'/'));
    parts.find_map(|part| {
        let (called, rest) = part.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b"=")?;
        called.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_stands_in_a_path_s_parameter() {
        for (path, value) in [
            ("/a;jsessionid=1.n1", Some("1.n1")),
            ("/a;x=1;JSESSIONID=1.n1/b", Some("1.n1")),
            ("/a;jsessionids=1", None),
            ("/jsessionid", None),
        ] {
            let found = parameter(path.as_bytes(), b"JSESSIONID");
            assert_eq!(found, value.map(str::as_bytes), "{path}");
        }
    }
}
