//! Values with variables, in nginx's notation: `"$scheme://$host:8443$request_uri"`.
//!
//! Parsed when the file is read, so that a misspelt variable is an error there and a request pays
//! for no parsing. `${name}` sets a name apart from what follows; `$$` is a dollar sign.

use std::fmt;

use super::reader::{Value, nearest};

/// A text with variables to fill in for each request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Template {
    /// What it is made of, in order.
    pub parts: Vec<Part>,
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// Text that stands for itself.
    Literal(String),
    /// What one request says.
    Variable(Variable),
}

/// What a template can name. The names and meanings are nginx's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Variable {
    /// `$arg_NAME`: an argument of the query, as it stands there.
    Arg(String),
    /// `$args`: the query without its question mark.
    Args,
    /// `$cookie_NAME`: a cookie; `${cookie_connect.sid}` for names that are no words.
    Cookie(String),
    /// `$host`: the request's host in lower case, without port.
    Host,
    /// `$http_NAME`: a request field; `_` stands for `-`.
    RequestHeader(String),
    /// `$http_host`: the request's Host as sent, with port.
    HttpHost,
    /// `$remote_addr`: the client's address, seen through trusted proxies.
    RemoteAddr,
    /// `$remote_port`: the client's port; empty behind a trusted proxy.
    RemotePort,
    /// `$request_id`: the `X-Request-Id` that this request carries.
    RequestId,
    /// `$request_method`: `GET`, `POST`, ….
    RequestMethod,
    /// `$request_uri`: the request target as sent, with its query.
    RequestUri,
    /// `$scheme`: `http` or `https`, seen through trusted proxies.
    Scheme,
    /// `$server_port`: the port that accepted the request.
    ServerPort,
    /// `$upstream_addr`: the server that answered; empty before one is chosen.
    UpstreamAddr,
    /// `$uri`: the path, decoded and with its dots resolved.
    Uri,
}

const NAMES: [(&str, Variable); 12] = [
    ("args", Variable::Args),
    ("host", Variable::Host),
    ("http_host", Variable::HttpHost),
    ("remote_addr", Variable::RemoteAddr),
    ("remote_port", Variable::RemotePort),
    ("request_id", Variable::RequestId),
    ("request_method", Variable::RequestMethod),
    ("request_uri", Variable::RequestUri),
    ("scheme", Variable::Scheme),
    ("server_port", Variable::ServerPort),
    ("upstream_addr", Variable::UpstreamAddr),
    ("uri", Variable::Uri),
];

impl Variable {
    /// Whether a connection has it, without a request.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(self, Self::RemoteAddr | Self::RemotePort | Self::ServerPort)
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMES.iter().find(|(_, variable)| variable == self);
        match (self, named) {
            (_, Some((name, _))) => write!(f, "${name}"),
            (Self::RequestHeader(name), None) => write!(f, "$http_{}", name.replace('-', "_")),
            (Self::Cookie(name), None) => write!(f, "$cookie_{name}"),
            (Self::Arg(name), None) => write!(f, "$arg_{name}"),
            (_, None) => f.write_str("a variable"),
        }
    }
}

/// Names that stand for many, by how they begin.
type Family = fn(&str) -> Variable;
const FAMILIES: [(&str, Family); 3] = [
    ("http_", |name| {
        Variable::RequestHeader(name.replace('_', "-").to_ascii_lowercase())
    }),
    ("cookie_", |name| Variable::Cookie(name.to_owned())),
    ("arg_", |name| Variable::Arg(name.to_owned())),
];

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(text),
            Part::Variable(variable) => variable.fmt(f),
        })
    }
}

impl Template {
    /// Reads `value`; `None` goes with a fault.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let parsed = Self::parse(&value.string()?);
        parsed
            .map_err(|(message, help)| value.fault(message, &help))
            .ok()
    }

    /// Reads a text by which requests are told apart before there is a server; `None` goes with a fault.
    pub(super) fn read_key(value: &Value<'_>) -> Option<Self> {
        let key = Self::read(value)?;
        if key.variables().next().is_none() {
            value.fault(
                "is the same for every request, so that one server would get them all",
                "name something that differs: \"$cookie_user\"",
            );
        }
        if key.variables().any(|v| *v == Variable::UpstreamAddr) {
            value.fault(
                "names `$upstream_addr`, which is what it is to decide",
                "name something of the request: \"$cookie_user\"",
            );
        }
        Some(key)
    }

    /// The variables in it.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Literal(_) => None,
        })
    }

    /// Parses `text`.
    ///
    /// # Errors
    /// What is wrong, as a fragment that follows the key's name, and a help line.
    pub(super) fn parse(text: &str) -> Result<Self, (String, String)> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let (name, after) = split_name(rest).ok_or_else(|| {
                (
                    "has a `$` without a name".to_owned(),
                    "write `$$` for a dollar sign".to_owned(),
                )
            })?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Variable(variable(name)?));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }
}

/// Splits `name…` or `{name}…` after a dollar sign.
fn split_name(text: &str) -> Option<(&str, &str)> {
    if let Some(inner) = text.strip_prefix('{') {
        return inner.split_once('}').filter(|(name, _)| !name.is_empty());
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn variable(name: &str) -> Result<Variable, (String, String)> {
    if let Some((_, variable)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(variable.clone());
    }
    for (prefix, family) in FAMILIES {
        if let Some(rest) = name.strip_prefix(prefix).filter(|rest| !rest.is_empty()) {
            return Ok(family(rest));
        }
    }
    let help = match nearest(name, NAMES.iter().map(|(known, _)| *known)) {
        Some(near) => format!("did you mean `${near}`?"),
        None => format!(
            "known: ${}, $http_NAME, $cookie_NAME, $arg_NAME",
            NAMES.map(|(known, _)| known).join(", $")
        ),
    };
    Err((format!("names an unknown variable `${name}`"), help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_variables_alternate() {
        let parsed = Template::parse("$scheme://${host}x$$5$http_x_a").unwrap();
        assert_eq!(
            parsed.parts,
            [
                Part::Variable(Variable::Scheme),
                Part::Literal("://".into()),
                Part::Variable(Variable::Host),
                Part::Literal("x$5".into()),
                Part::Variable(Variable::RequestHeader("x-a".into())),
            ]
        );
    }

    #[test]
    fn a_misspelt_variable_is_named_and_mended() {
        let (message, help) = Template::parse("$remote_adr").unwrap_err();
        assert_eq!(
            (message.as_str(), help.as_str()),
            (
                "names an unknown variable `$remote_adr`",
                "did you mean `$remote_addr`?"
            )
        );
        assert!(Template::parse("5$").is_err());
        assert!(Template::parse("${host").is_err());
    }
}
