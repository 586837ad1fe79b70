//! `[notify]`: who is told what happens, while nobody looks.

use std::{collections::HashSet, sync::Arc, time::Duration};

use http::Uri;

use super::{
    admin::{Secret, read_secret},
    certificate::{Authorities, read_authorities, system_authorities},
    reader::{Section, Value, nearest},
    source::At,
};
/// The table `[notify]`.
#[derive(Clone, Debug)]
pub struct Notify {
    /// How long it is waited for more before anybody is told. What is over by then is not told.
    pub delay: Duration,
    /// What is told.
    pub events: HashSet<&'static str>,
    /// Who is told over HTTP.
    pub webhooks: Vec<Webhook>,
    /// A program that is told, and its arguments; empty: none.
    pub command: Vec<String>,
}

/// Somebody who is told over HTTP.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where. Chat services have their key in it, so that it is no text for logs.
    pub url: Secret,
    /// How logs call it: scheme and host of the URL.
    pub label: String,
    /// In whose words.
    pub format: WebhookFormat,
    /// What the message is signed with (DingTalk, Feishu).
    pub secret: Option<Secret>,
    /// Who may vouch for its server.
    pub authorities: Arc<Authorities>,
}

/// In whose words somebody is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WebhookFormat {
    /// The events as they are.
    Json,
    /// DingTalk's robots.
    DingTalk,
    /// WeCom's (WeChat Work) robots.
    WeCom,
    /// Feishu's and Lark's robots.
    Feishu,
    /// Slack's incoming webhooks, which Mattermost and others take, too.
    Slack,
}

const FORMATS: [(&str, WebhookFormat); 5] = [
    ("json", WebhookFormat::Json),
    ("dingtalk", WebhookFormat::DingTalk),
    ("wecom", WebhookFormat::WeCom),
    ("feishu", WebhookFormat::Feishu),
    ("slack", WebhookFormat::Slack),
];

/// What is told unless the file says otherwise: what somebody has to look at, and that it is over.
const USUAL: [&str; 7] = [
    "server_out",
    "server_back",
    "pool_dark",
    "pool_lit",
    "reload_failed",
    "certificate_ends",
    "certificate_ended",
];

/// What can be told.
pub const EVENTS: [&str; 14] = [
    "started",
    "server_out",
    "server_back",
    "server_ordered",
    "server_added",
    "server_removed",
    "server_changed",
    "servers_changed",
    "pool_dark",
    "pool_lit",
    "reloaded",
    "reload_failed",
    "certificate_ends",
    "certificate_ended",
];

impl Notify {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("[notify]")?;
        let webhooks = section.get("webhooks").and_then(|v| v.array());
        let command = section.get("command").map(|v| v.strings());
        let notify = Self {
            delay: section
                .get("delay")
                .and_then(|v| v.duration())
                .unwrap_or(Duration::from_secs(5)),
            events: match section.get("events") {
                Some(events) => read_events(&events),
                None => USUAL.into_iter().collect(),
            },
            webhooks: webhooks
                .unwrap_or_default()
                .iter()
                .filter_map(Webhook::read)
                .collect(),
            command: command
                .unwrap_or_default()
                .into_iter()
                .map(|word| word.value)
                .collect(),
        };
        let has_webhooks = section
            .get("webhooks")
            .is_some_and(|webhooks| !webhooks.is_empty_array());
        if let Some(command) = section.get("command")
            && notify.command.first().is_none_or(String::is_empty)
        {
            command.fault(
                "names no program",
                "a program and its arguments: [\"/usr/local/bin/alert\", \"lbd\"]",
            );
        }
        if !has_webhooks && notify.command.is_empty() {
            section.error(
                "[notify] tells nobody",
                "add webhooks = [{ url = \"https://…\", format = \"slack\" }], or command = [\"/usr/local/bin/alert\"]",
            );
        }
        section.finish();
        Some(notify)
    }
}

fn read_events(value: &Value<'_>) -> HashSet<&'static str> {
    let mut events = HashSet::new();
    for name in value.strings() {
        match EVENTS.into_iter().find(|known| *known == *name) {
            Some(known) => drop(events.insert(known)),
            None => {
                let help = match nearest(&name, EVENTS.into_iter()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("there are {}", EVENTS.join(", ")),
                };
                value.fault_at(
                    name.span.clone(),
                    format!("has no event \"{}\"", *name),
                    &help,
                );
            }
        }
    }
    events
}

impl Webhook {
    fn read(value: &Value<'_>) -> Option<Self> {
        let section = value.section("a webhook")?;
        let url = read_url(&section);
        let format = section.get("format").and_then(|v| v.word(&FORMATS));
        let secret = section.get("secret_file");
        let format = format.unwrap_or(WebhookFormat::Json);
        let takes_secret = matches!(format, WebhookFormat::DingTalk | WebhookFormat::Feishu);
        if let Some(secret) = secret.as_ref().filter(|_| !takes_secret) {
            secret.fault(
                "is for DingTalk and Feishu, which can be told to want a signature",
                "remove it; the key of others is in their URL",
            );
        }
        let secret = secret.as_ref().and_then(read_secret);
        let is_https = url
            .as_ref()
            .is_some_and(|(_, label)| label.starts_with("https:"));
        let own = section.get("ca").map(|v| read_authorities(&v));
        let authorities = match (own, section.get("url")) {
            (Some(own), _) => own,
            (None, Some(url)) if is_https => Some(system_authorities(&url)),
            (None, _) => Some(Arc::new(Authorities::nobody())),
        };
        section.finish();
        let (url, label) = url?;
        Some(Self {
            url,
            label,
            format,
            secret,
            authorities: authorities?,
        })
    }
}

/// The URL, and how logs call it.
fn read_url(section: &Section<'_>) -> Option<(Secret, String)> {
    let Some(value) = section.get("url") else {
        section.error(
            "a webhook without `url`",
            "add where to tell it: url = \"https://oapi.dingtalk.com/robot/send?access_token=…\"",
        );
        return None;
    };
    let text: At<String> = value.string()?;
    let uri: Option<Uri> = text.parse().ok();
    let scheme = uri.as_ref().and_then(Uri::scheme_str);
    match (scheme, uri.as_ref().and_then(Uri::authority)) {
        (Some(scheme @ ("http" | "https")), Some(authority))
            if !authority.as_str().contains('@') =>
        {
            let label = format!("{scheme}://{authority}");
            Some((Secret::new(&text), label))
        }
        _ => {
            value.fault(
                "is no URL of http or https",
                "such as \"https://hooks.slack.com/services/…\"",
            );
            None
        }
    }
}
