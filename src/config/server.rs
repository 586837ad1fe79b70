//! The members of a pool: `"10.0.0.1:8101"` or a table with an address and nginx's `server` parameters.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use super::{
    reader::{Section, Value},
    source::At,
};

/// One member of a pool as the file describes it.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// Where it is.
    pub address: At<ServerAddress>,
    /// Its share of the requests.
    pub weight: u32,
    /// Failures within `fail_timeout` that take it out; 0: never.
    pub max_fails: u32,
    /// The window in which failures count, and the time that it then stays out.
    pub fail_timeout: Duration,
    /// Requests in flight at most; 0: no limit.
    pub max_conns: u32,
    /// Used only while no other server can be.
    pub backup: bool,
    /// Never used.
    pub down: bool,
    /// Used only for clients that are bound to it (nginx `drain`).
    pub drain: bool,
    /// How apps and cookies call it (nginx `route`, Tomcat `jvmRoute`).
    pub route: Option<At<String>>,
    /// How long it is given less than its weight once it is back (nginx `slow_start`); zero: not at all.
    pub slow_start: Duration,
    /// Whether `max_fails` or `fail_timeout` stands in the file, rather than being the default.
    pub(super) limits_failures: bool,
}

/// Where a server is: a socket address, or a name that is resolved at start and again in the background.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ServerAddress {
    /// An address that needs no resolving.
    Ip(SocketAddr),
    /// A host name and a port.
    Name(String, u16),
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    /// Reads it as the file has it; the error says how to write it.
    fn from_str(text: &str) -> Result<Self, String> {
        parse_address(text)
    }
}

/// What a pool says for those of its servers that do not say it themselves. nginx's defaults.
#[derive(Clone, Copy, Debug)]
pub struct ServerDefaults {
    max_fails: u32,
    fail_timeout: Duration,
    slow_start: Duration,
    said: bool,
}

impl ServerDefaults {
    fn read(section: &Section<'_>) -> Self {
        let max_fails = section
            .get("max_fails")
            .and_then(|v| v.integer(0..=1_000_000));
        let fail_timeout = section.get("fail_timeout").and_then(|v| v.timeout());
        let slow_start = section.get("slow_start").and_then(|v| v.duration());
        Self {
            slow_start: slow_start.unwrap_or_default(),
            said: max_fails.is_some() || fail_timeout.is_some(),
            max_fails: max_fails.map_or(1, |n| n.value),
            fail_timeout: fail_timeout.unwrap_or(Duration::from_secs(10)),
        }
    }

    /// A server of which nothing is said but where it is.
    pub fn server(&self, address: ServerAddress) -> ServerSpec {
        self.at(At::new(address, 0..0))
    }

    fn at(&self, address: At<ServerAddress>) -> ServerSpec {
        ServerSpec {
            address,
            weight: 1,
            max_fails: self.max_fails,
            fail_timeout: self.fail_timeout,
            max_conns: 0,
            backup: false,
            down: false,
            drain: false,
            route: None,
            slow_start: self.slow_start,
            limits_failures: self.said,
        }
    }
}

impl ServerSpec {
    pub(super) fn read_all(section: &Section<'_>) -> (Vec<Self>, ServerDefaults) {
        let defaults = ServerDefaults::read(section);
        let Some(value) = section.get("servers") else {
            section.error(
                "a pool without `servers`",
                "name its servers: servers = [\"10.0.0.1:8101\", \"10.0.0.2:8101\"]",
            );
            return (Vec::new(), defaults);
        };
        if value.is_empty_array() {
            value.fault(
                "is empty",
                "name at least one server: servers = [\"10.0.0.1:8101\"]",
            );
        }
        let items = value.array().unwrap_or_default();
        let specs = items.iter().filter_map(|item| Self::read(item, &defaults));
        (specs.collect(), defaults)
    }

    fn read(value: &Value<'_>, defaults: &ServerDefaults) -> Option<Self> {
        if value.is_string() {
            return read_address(value).map(|address| defaults.at(address));
        }
        let section = value.section("a server")?;
        let number = |key, range| {
            section
                .get(key)
                .and_then(|v| v.integer(range))
                .map(|n| n.value)
        };
        let flag = |key| section.get(key).and_then(|v| v.boolean()).unwrap_or(false);
        let address = section.get("address");
        if address.is_none() {
            section.error(
                "a server without `address`",
                "add it: { address = \"10.0.0.1:8101\", … }",
            );
        }
        let max_fails = number("max_fails", 0..=1_000_000);
        let fail_timeout = section.get("fail_timeout").and_then(|v| v.timeout());
        let (weight, max_conns) = (
            number("weight", 1..=65_535),
            number("max_conns", 0..=u32::MAX),
        );
        let (backup, down, drain) = (flag("backup"), flag("down"), flag("drain"));
        let route = section.get("route").and_then(|v| read_route(&v));
        let slow_start = section.get("slow_start").and_then(|v| v.duration());
        section.finish();
        let base = defaults.at(address.and_then(|v| read_address(&v))?);
        Some(Self {
            weight: weight.unwrap_or(base.weight),
            limits_failures: base.limits_failures || max_fails.is_some() || fail_timeout.is_some(),
            max_fails: max_fails.unwrap_or(base.max_fails),
            fail_timeout: fail_timeout.unwrap_or(base.fail_timeout),
            max_conns: max_conns.unwrap_or(base.max_conns),
            slow_start: slow_start.unwrap_or(base.slow_start),
            backup,
            down,
            drain,
            route,
            ..base
        })
    }
}

fn read_route(value: &Value<'_>) -> Option<At<String>> {
    let text = value.string()?;
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if text.is_empty() || !text.bytes().all(is_fit) {
        value.fault(
            format!("is no route: \"{}\"", *text),
            "letters, digits, - _ and . only, as in the server's jvmRoute: \"node1\"",
        );
        return None;
    }
    Some(text)
}

fn read_address(value: &Value<'_>) -> Option<At<ServerAddress>> {
    let text = value.string()?;
    match parse_address(&text) {
        Ok(address) => Some(At::new(address, text.span)),
        Err(help) => {
            value.fault(format!("has no server address: \"{}\"", *text), &help);
            None
        }
    }
}

fn parse_address(text: &str) -> Result<ServerAddress, String> {
    if let Some((_, rest)) = text.split_once("://") {
        return Err(format!(
            "leave the scheme out: \"{}\"",
            rest.trim_end_matches('/')
        ));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 {
            Err(PORT_ZERO.to_owned())
        } else {
            Ok(ServerAddress::Ip(address))
        };
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("add the port: \"{text}:8080\""));
    };
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let looks_like_ip = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match port.parse::<u16>() {
        Ok(0) => Err(PORT_ZERO.to_owned()),
        Ok(port) if is_name && !looks_like_ip => Ok(ServerAddress::Name(host.to_ascii_lowercase(), port)),
        _ => Err("an IP address or a name, and a port: \"10.0.0.1:8101\", \"app.internal:8101\", \"[::1]:8101\"".to_owned()),
    }
}

const PORT_ZERO: &str = "no server listens on port 0: name its real port";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["10.0.0.1:80", "[::1]:80", "app.internal:8101", "APP_1:80"] {
            assert!(parse_address(good).is_ok(), "{good}");
        }
        for (bad, help) in [
            ("10.0.0.1", "add the port"),
            ("http://a:80/", "leave the scheme out: \"a:80\""),
            ("a:0", "port 0"),
            ("a:99999", "an IP"),
            ("300.1.1.1:80", "an IP"),
            ("a b:80", "an IP"),
            (":80", "an IP"),
        ] {
            let said = parse_address(bad).unwrap_err();
            assert!(said.contains(help), "{bad}: {said}");
        }
    }
}
