//! What chat services take, and how two of them want it signed.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::{KEY, Post, Site, told};
use crate::harness::Dir;
use crate::support::{are_here, outcome, program};

const SECRET: &str = "SEC0123456789abcdef";

/// What is told where the webhook has this format, and a secret.
fn signed(format: &str) -> Option<(Site, Post)> {
    if !are_here(&["openssl"]) {
        return None;
    }
    let dir = Dir::new();
    let file = dir.write("secret", &format!("{SECRET}\n"));
    let file = file.display();
    told(&format!("format = \"{format}\", secret_file = \"{file}\""))
}

/// HMAC-SHA256 in base64, by openssl.
fn signature(key: &str, message: &str) -> String {
    let dir = Dir::new();
    let key: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
    let [message, mac] = [dir.write("message", message), dir.file("mac")];
    let mut digest = program("openssl");
    digest.args(["dgst", "-sha256", "-mac", "HMAC", "-macopt"]);
    digest
        .arg(format!("hexkey:{key}"))
        .args(["-binary", "-out"]);
    let ended = outcome(digest.arg(&mac).arg(message));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = outcome(program("openssl").args(["base64", "-A", "-in"]).arg(mac));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.out.trim_end().to_owned()
}

/// Whether `timestamp`, of which there are so many in a second, is now.
fn is_now(timestamp: &str, in_a_second: u128) -> bool {
    let timestamp: u128 = timestamp.parse().expect("a number");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a clock that is set").as_millis() * in_a_second / 1000;
    now.abs_diff(timestamp) < 60 * in_a_second
}

/// `text` names the server that is out, and its pool.
fn is_about(text: &Value, site: &Site) {
    let text = text.as_str().expect("a text");
    let server = site.dead[0].to_string();
    assert!(text.contains(&server), "{text}");
    assert!(text.contains("app"), "{text}");
}

#[test]
fn dingtalk_gets_markdown_with_a_title() {
    let Some((site, post)) = told("format = \"dingtalk\"") else {
        return;
    };
    let body = post.json();
    assert_eq!(body["msgtype"], "markdown");
    is_about(&body["markdown"]["text"], &site);
    let title = body["markdown"]["title"].as_str();
    assert!(title.is_some_and(|title| !title.is_empty()), "{body}");
    assert_eq!(post.target, format!("/robot/send?access_token={KEY}"));
}

#[test]
fn dingtalk_gets_a_signature_behind_the_key() {
    let Some((site, post)) = signed("dingtalk") else {
        return;
    };
    is_about(&post.json()["markdown"]["text"], &site);
    let (rest, sign) = post.target.rsplit_once("&sign=").expect("a signature");
    let (rest, timestamp) = rest.rsplit_once("&timestamp=").expect("a time");
    assert_eq!(rest, format!("/robot/send?access_token={KEY}"));
    assert!(is_now(timestamp, 1000), "{timestamp}");
    let expected = signature(SECRET, &format!("{timestamp}\n{SECRET}"));
    let expected = expected.replace('+', "%2B").replace('/', "%2F");
    assert_eq!(sign, expected.replace('=', "%3D"));
}

#[test]
fn wecom_gets_markdown() {
    let Some((site, post)) = told("format = \"wecom\"") else {
        return;
    };
    let body = post.json();
    assert_eq!(body["msgtype"], "markdown");
    is_about(&body["markdown"]["content"], &site);
}

#[test]
fn feishu_gets_a_text() {
    let Some((site, post)) = told("format = \"feishu\"") else {
        return;
    };
    let body = post.json();
    assert_eq!(body["msg_type"], "text");
    is_about(&body["content"]["text"], &site);
    assert_eq!(
        (&body["timestamp"], &body["sign"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn feishu_gets_a_signature_in_the_message() {
    let Some((site, post)) = signed("feishu") else {
        return;
    };
    let body = post.json();
    is_about(&body["content"]["text"], &site);
    let timestamp = body["timestamp"]
        .as_str()
        .expect("a text, as Feishu has it");
    assert!(is_now(timestamp, 1), "{timestamp}");
    let expected = signature(&format!("{timestamp}\n{SECRET}"), "");
    assert_eq!(body["sign"], expected);
    assert_eq!(post.target, format!("/robot/send?access_token={KEY}"));
}

#[test]
fn slack_gets_a_text() {
    let Some((site, post)) = told("format = \"slack\"") else {
        return;
    };
    is_about(&post.json()["text"], &site);
}
