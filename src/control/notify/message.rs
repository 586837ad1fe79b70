//! The same events in each service's words.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    config::{Webhook, WebhookFormat},
    telemetry::{Event, Severity},
};

/// Events that a text names one by one; services refuse what is too long.
const NAMED: usize = 20;
/// Characters of one event, and bytes of all: WeCom takes 4096 with what stands around them.
const LONGEST_LINE: usize = 400;
const LONGEST_TEXT: usize = 3500;

/// A message to one webhook.
pub(super) struct Message {
    pub(super) url: String,
    pub(super) body: Bytes,
}

impl Message {
    pub(super) fn new(webhook: &Webhook, events: &[Event]) -> Self {
        Self::at(webhook, events, Timestamp::now())
    }

    fn at(webhook: &Webhook, events: &[Event], now: Timestamp) -> Self {
        let mut url = webhook.url.reveal().to_owned();
        let secret = webhook.secret.as_ref().map(|secret| secret.reveal());
        let title = format!("lbd on {}", host());
        let mut body = match webhook.format {
            WebhookFormat::Json => whole(events),
            WebhookFormat::DingTalk => {
                let text = format!("#### {title}\n\n{}", lines(events, "- "));
                json!({ "msgtype": "markdown", "markdown": { "title": title, "text": text } })
            }
            WebhookFormat::WeCom => {
                let text = format!("**{title}**\n{}", lines(events, "> "));
                json!({ "msgtype": "markdown", "markdown": { "content": text } })
            }
            WebhookFormat::Feishu => {
                let text = format!("{title}\n{}", lines(events, ""));
                json!({ "msg_type": "text", "content": { "text": text } })
            }
            WebhookFormat::Slack => {
                let text = format!("*{title}*\n{}", for_slack(&lines(events, "")));
                json!({ "text": text })
            }
        };
        match (webhook.format, secret) {
            (WebhookFormat::DingTalk, Some(secret)) => {
                let milliseconds = now.as_millisecond();
                let text = format!("{milliseconds}\n{secret}");
                let sign = signature(secret.as_bytes(), text.as_bytes());
                let sign = utf8_percent_encode(&sign, NON_ALPHANUMERIC);
                let mark = if url.contains('?') { '&' } else { '?' };
                url.push_str(&format!("{mark}timestamp={milliseconds}&sign={sign}"));
            }
            (WebhookFormat::Feishu, Some(secret)) => {
                let seconds = now.as_second();
                let key = format!("{seconds}\n{secret}");
                body["timestamp"] = seconds.to_string().into();
                body["sign"] = signature(key.as_bytes(), b"").into();
            }
            _ => {}
        }
        Self {
            url,
            body: body.to_string().into(),
        }
    }
}

/// The events as they are, with who tells them.
pub(super) fn in_json(events: &[Event]) -> Bytes {
    format!("{}\n", whole(events)).into()
}

fn whole(events: &[Event]) -> Value {
    json!({
        "lbd": { "host": host(), "version": env!("CARGO_PKG_VERSION") },
        "events": events,
    })
}

/// Why somebody who answered so does not take the message. Chat services say so inside a 200.
pub(super) fn objection(status: StatusCode, body: &[u8]) -> Option<String> {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default();
    if !status.is_success() {
        return Some(format!("answered {}", status.as_u16()));
    }
    // DingTalk's and WeCom's, and Feishu's.
    let code = said.get("errcode").or_else(|| said.get("code"));
    let code = code.and_then(Value::as_i64).unwrap_or_default();
    (code != 0).then(|| format!("answered {code}: {}{}", text("errmsg"), text("msg")))
}

/// A line for each event.
fn lines(events: &[Event], begin: &str) -> String {
    let mut text = String::new();
    let mut named = 0;
    for event in events.iter().take(NAMED) {
        let mark = match event.severity {
            Severity::Info => "✅",
            Severity::Warning => "⚠️",
            Severity::Error => "❌",
        };
        // What has more lines has them in the log.
        let mut lines = event.text.lines().filter(|line| !line.trim().is_empty());
        let first: String = lines.by_ref().take(2).collect::<Vec<_>>().join(" ");
        let first: String = first.chars().take(LONGEST_LINE).collect();
        let line = format!("{begin}{mark} {first}\n");
        if text.len() + line.len() > LONGEST_TEXT {
            break;
        }
        text.push_str(&line);
        named += 1;
    }
    if events.len() > named {
        let others = events.len() - named;
        text.push_str(&format!("{begin}… and {others} more\n"));
    }
    text
}

/// Slack has three characters that mean something.
fn for_slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn signature(key: &[u8], text: &[u8]) -> String {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    STANDARD.encode(hmac::sign(&key, text).as_ref())
}

fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_service_that_objects_inside_a_200_is_heard() {
        let said = |status, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            objection(status, body.as_bytes())
        };
        assert_eq!(said(200, r#"{"errcode":0,"errmsg":"ok"}"#), None);
        assert_eq!(said(200, "ok"), None);
        assert_eq!(said(204, ""), None);
        let heard = said(
            200,
            r#"{"errcode":310000,"errmsg":"keywords not in content"}"#,
        );
        assert_eq!(heard.unwrap(), "answered 310000: keywords not in content");
        let heard = said(200, r#"{"code":19021,"msg":"sign match fail"}"#);
        assert_eq!(heard.unwrap(), "answered 19021: sign match fail");
        assert_eq!(said(500, "").unwrap(), "answered 500");
    }

    /// HMAC-SHA256 of RFC 4231's second case, in base64.
    #[test]
    fn signatures_are_hmac_in_base64() {
        let sign = signature(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(sign, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    }
}
