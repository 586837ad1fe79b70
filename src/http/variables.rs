//! What a template's variables stand for in one request. Names and meanings are nginx's.

use super::{
    exchange::Exchange,
    message::{Name, RequestHead},
    path::{Path, write_escaped},
};
use crate::{
    config::{Part, Template, Variable},
    telemetry::{write_ip, write_number},
};

/// Appends `template` as `exchange` fills it in.
///
/// No variable can end a line: fields and targets were refused if they held control bytes, and
/// `$uri` is escaped again (nginx's is not, which is how headers are forged there).
pub(super) fn write_template(out: &mut Vec<u8>, template: &Template, exchange: &Exchange<'_>) {
    for part in &template.parts {
        match part {
            Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Part::Variable(variable) => write_variable(out, variable, exchange),
        }
    }
}

fn write_variable(out: &mut Vec<u8>, variable: &Variable, exchange: &Exchange<'_>) {
    let client = &exchange.client;
    let Some(request) = exchange.request() else {
        return;
    };
    match variable {
        Variable::Arg(name) => {
            let query = request.query().unwrap_or_default();
            out.extend_from_slice(argument(query, name.as_bytes()).unwrap_or_default())
        }
        Variable::Args => out.extend_from_slice(request.query().unwrap_or_default()),
        Variable::Cookie(name) => {
            out.extend_from_slice(cookie(request, name.as_bytes()).unwrap_or_default())
        }
        Variable::Host => out.extend(host_name(request.host()).iter().map(u8::to_ascii_lowercase)),
        Variable::HttpHost => out.extend_from_slice(request.host()),
        Variable::RemoteAddr => write_ip(out, client.address),
        Variable::RemotePort if client.is_trusted_proxy => {}
        Variable::RemotePort => write_number(out, client.connected.port().into()),
        Variable::RequestHeader(name) => {
            out.extend_from_slice(request.fields.named(name).unwrap_or_default())
        }
        Variable::RequestId => out.extend_from_slice(exchange.request_id()),
        Variable::RequestMethod => out.extend_from_slice(request.method.as_str().as_bytes()),
        Variable::RequestUri => out.extend_from_slice(request.path_and_query()),
        Variable::Scheme => out.extend_from_slice(scheme(client.is_https).as_bytes()),
        Variable::ServerPort => write_number(out, client.port.into()),
        Variable::UpstreamAddr => out.extend_from_slice(exchange.last_server().as_bytes()),
        Variable::Uri => {
            if let Ok(path) = Path::parse(request.path()) {
                write_escaped(out, &path.normal);
            }
        }
    }
}

/// The value of the first cookie that is called `name`, in whatever case (as nginx's `$cookie_NAME`).
pub(super) fn cookie<'r>(request: &'r RequestHead, name: &[u8]) -> Option<&'r [u8]> {
    let mut pairs = request
        .fields
        .all(Name::Cookie)
        .flat_map(|field| field.split(|b| *b == b';'));
    pairs.find_map(|pair| value_of(pair.trim_ascii(), name))
}

/// The value of the first argument in `query` that is called `name`, in whatever case (as nginx's `$arg_NAME`).
pub(super) fn argument<'q>(query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    let mut pairs = query.split(|b| *b == b'&');
    pairs.find_map(|pair| value_of(pair, name))
}

/// What stands behind `name=`.
fn value_of<'p>(pair: &'p [u8], name: &[u8]) -> Option<&'p [u8]> {
    let (called, rest) = pair.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b"=")?;
    called.eq_ignore_ascii_case(name).then_some(value)
}

/// `http` or `https`.
pub(super) fn scheme(is_https: bool) -> &'static str {
    if is_https { "https" } else { "http" }
}

/// A host without its port and without the dot that ends a full name.
pub(super) fn host_name(host: &[u8]) -> &[u8] {
    let name = match host.first() {
        Some(b'[') => memchr::memchr(b']', host).map_or(host, |end| &host[..=end]),
        _ => host.split(|b| *b == b':').next().unwrap_or(host),
    };
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_found_by_its_whole_name() {
        for (query, value) in [
            ("user=7&x=1", Some("7")),
            ("x=1&User=7", Some("7")),
            ("xuser=1&user", None),
            ("user=", Some("")),
            ("", None),
        ] {
            let found = argument(query.as_bytes(), b"user");
            assert_eq!(found, value.map(str::as_bytes), "{query}");
        }
    }

    #[test]
    fn a_host_s_name_has_neither_port_nor_final_dot() {
        for (host, name) in [
            ("a.b:80", "a.b"),
            ("a.b", "a.b"),
            ("a.b.:80", "a.b"),
            ("[::1]:80", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_name(host.as_bytes()), name.as_bytes(), "{host}");
        }
    }
}
