//! `[admin]`: the port for people, Prometheus and whoever steers lbd over the network.

use std::{fmt, net::SocketAddr, sync::Arc};

use super::{
    listener::parse_bind,
    reader::{Section, Value},
    source::At,
};

/// The table `[admin]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Admin {
    /// Where it accepts.
    pub bind: At<SocketAddr>,
    /// What a request that changes something has to show; `None`: nothing can be changed there.
    pub token: Option<Secret>,
    /// Names by which browsers may call it, in lower case, beside `localhost` and all addresses.
    pub hosts: Vec<String>,
    /// Whether looking needs the token, too.
    pub reads_need_token: bool,
}

/// What nobody is to read in a log.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// It itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

const EXAMPLE: &str = "127.0.0.1:8180";

impl Admin {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("[admin]")?;
        let bind = read_bind(&section);
        let token_file = section.get("token_file");
        let token = token_file.as_ref().map(read_token);
        let hosts = section.get("hosts").map(|v| read_hosts(&v));
        let reads_need_token = section
            .get("reads")
            .and_then(|v| v.word(&[("open", false), ("token", true)]))
            .unwrap_or(false);
        if token.is_none() {
            if let Some(bind) = bind.as_ref().filter(|bind| !bind.ip().is_loopback()) {
                let message = format!(
                    "{} can be reached from other machines, and there is no `token_file`",
                    bind.value
                );
                section.error(
                    message,
                    "make one: head -c 24 /dev/urandom | base64 > /etc/lbd/admin.token; then token_file = \"/etc/lbd/admin.token\"",
                );
            } else if reads_need_token {
                section.error(
                    "`reads = \"token\"` without a `token_file`",
                    "name the file that has the token: token_file = \"/etc/lbd/admin.token\"",
                );
            }
        }
        section.finish();
        Some(Self {
            bind: bind?,
            token: token.flatten(),
            hosts: hosts.unwrap_or_default(),
            reads_need_token,
        })
    }
}

/// Names, without scheme and port.
fn read_hosts(value: &Value<'_>) -> Vec<String> {
    let is_name = |name: &str| {
        let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        !name.is_empty() && name.bytes().all(is_fit)
    };
    let mut hosts = Vec::new();
    for host in value.strings() {
        if is_name(&host) {
            hosts.push(host.value.to_ascii_lowercase());
        } else {
            value.fault_at(
                host.span.clone(),
                format!("has what is no name: \"{}\"", *host),
                "a name without scheme, port and star: \"lb1.company.com\"",
            );
        }
    }
    hosts
}

fn read_bind(section: &Section<'_>) -> Option<At<SocketAddr>> {
    let Some(value) = section.get("bind") else {
        section.error(
            "[admin] without `bind`",
            format!("add the address to accept on: bind = \"{EXAMPLE}\""),
        );
        return None;
    };
    parse_bind(&value, value.string()?)
}

/// What a `token_file` holds: one line that nobody guesses.
fn read_token(value: &Value<'_>) -> Option<Secret> {
    let secret = read_secret(value)?;
    if !(16..=512).contains(&secret.reveal().len()) {
        value.fault(
            "has a token that is not from 16 to 512 characters long",
            "make one: head -c 24 /dev/urandom | base64 > FILE",
        );
        return None;
    }
    Some(secret)
}

/// The first line of the file that `value` names: visible ASCII.
pub(super) fn read_secret(value: &Value<'_>) -> Option<Secret> {
    let (file, content) = value.file()?;
    let text = String::from_utf8_lossy(&content);
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() || !line.bytes().all(|b| b.is_ascii_graphic()) {
        value.fault(
            format!("holds no secret: {}", file.value),
            "one line of visible characters without spaces",
        );
        return None;
    }
    if others_may_read(&file.value) {
        value.warn(
            format!("can be read by every user of this machine: {}", file.value),
            "chmod 640 it, and give it to lbd's group",
        );
    }
    Some(Secret::new(line))
}

fn others_may_read(file: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}
