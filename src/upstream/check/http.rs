//! A request, and what is a good answer.

use super::{
    http2,
    probe::{Ended, Probe},
    tcp::shown,
};
use crate::{config::HttpCheck, net::Io};
use bytes::Bytes;
use http::{Request, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;

/// As much of a body is looked at.
const MOST: usize = 256 << 10;
const AGENT: &str = concat!("lbd/", env!("CARGO_PKG_VERSION"), " (check)");

pub(super) async fn check(probe: &Probe<'_>, check: &HttpCheck) -> Result<(), String> {
    let io = probe.connect(true).await?;
    let needs_body = check.body.is_some() || !check.json.is_empty() || !check.json_not.is_empty();
    let (status, body) = if probe.is_http2() {
        {
            let most = if needs_body { MOST } else { 0 };
            let answer = http2::ask(io, request(probe, check)?, None, most).await?;
            (answer.head.status(), answer.body)
        }
    } else {
        ask_http1(io, request(probe, check)?, needs_body).await?
    };
    judge(check, status, &body)
}

fn request(probe: &Probe<'_>, check: &HttpCheck) -> Result<Request<()>, String> {
    let host = check.host.as_deref().unwrap_or_else(|| probe.host());
    let uri = match probe.is_http2() {
        false => check.path.clone(),
        true => {
            let scheme = probe.scheme();
            format!("{scheme}://{host}{}", check.path)
        }
    };
    let mut request = Request::builder()
        .method(check.method.clone())
        .uri(uri)
        .header(header::USER_AGENT, AGENT);
    if !probe.is_http2() {
        let request = std::mem::take(&mut request);
        return finish(
            request
                .header(header::HOST, host)
                .header(header::CONNECTION, "close"),
            check,
        );
    }
    finish(request.version(Version::HTTP_2), check)
}

fn finish(mut request: http::request::Builder, check: &HttpCheck) -> Result<Request<()>, String> {
    if let Some(fields) = request.headers_mut() {
        for (name, value) in &check.headers {
            fields.insert(name.clone(), value.clone());
        }
    }
    request.body(()).map_err(|error| error.to_string())
}

async fn ask_http1(
    io: Io,
    request: Request<()>,
    needs_body: bool,
) -> Result<(StatusCode, Vec<u8>), String> {
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(io)).await;
    let (mut requests, connection) = shaken.map_err(in_words)?;
    let _connection = Ended(tokio::task::spawn_local(async move {
        // Its end is told by the request.
        let _ = connection.await;
    }));
    let request = request.map(|()| Empty::<Bytes>::new());
    let response = requests.send_request(request).await.map_err(in_words)?;
    let status = response.status();
    let mut rest = response.into_body();
    let mut body = Vec::new();
    while needs_body && body.len() < MOST {
        let Some(frame) = rest.frame().await else {
            break;
        };
        let frame = frame.map_err(|error| format!("answered {status}, but: {error}"))?;
        body.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    Ok((status, body))
}

fn in_words(error: hyper::Error) -> String {
    if error.is_incomplete_message() {
        "closed before answering".to_owned()
    } else if error.is_parse() {
        "answered no HTTP".to_owned()
    } else {
        error.to_string()
    }
}

/// What is wrong with an answer.
fn judge(check: &HttpCheck, status: StatusCode, body: &[u8]) -> Result<(), String> {
    let code = status.as_u16();
    if !check.status.iter().any(|range| range.contains(&code)) {
        return Err(format!("answered {code}{}", reason_in(body)));
    }
    if let Some(regex) = &check.body
        && !regex.is_match(body)
    {
        return Err(format!(
            "said {}, which does not match {regex}",
            shown(body)
        ));
    }
    if check.json.is_empty() && check.json_not.is_empty() {
        return Ok(());
    }
    let json: serde_json::Value = serde_json::from_slice(body)
        .map_err(|_| format!("said {}, which is no JSON", shown(body)))?;
    for (pointer, wanted) in &check.json {
        match json.pointer(pointer) {
            Some(value) if value == wanted => {}
            Some(value) => {
                let why = reason_in(body);
                return Err(format!("{pointer} is {}, not {wanted}{why}", brief(value)));
            }
            None => return Err(format!("{pointer} is missing")),
        }
    }
    for (pointer, unwanted) in &check.json_not {
        if json.pointer(pointer) == Some(unwanted) {
            return Err(format!("{pointer} is {unwanted}{}", reason_in(body)));
        }
    }
    Ok(())
}

/// A value as JSON, or the beginning of it.
fn brief(value: &serde_json::Value) -> String {
    const SHOWN: usize = 64;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What many servers say beside their state: `{"state": "paused", "reason": "backup"}`.
fn reason_in(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let reason = json.as_ref().and_then(|json| json.get("reason")?.as_str());
    reason.map_or_else(String::new, |reason| {
        format!(", reason {}", shown(reason.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut HttpCheck)) -> HttpCheck {
        let mut check = HttpCheck {
            method: http::Method::GET,
            path: "/status".to_owned(),
            host: None,
            headers: Vec::new(),
            status: vec![200..=399],
            body: None,
            json: Vec::new(),
            json_not: Vec::new(),
        };
        change(&mut check);
        check
    }

    fn said(check: &HttpCheck, status: u16, body: &str) -> String {
        let status = StatusCode::from_u16(status).unwrap();
        judge(check, status, body.as_bytes()).map_or_else(|why| why, |()| "good".to_owned())
    }

    #[test]
    fn a_status_is_good_if_it_is_listed() {
        let check = check(|check| check.status = vec![200..=299, 401..=401]);
        assert_eq!(said(&check, 204, ""), "good");
        assert_eq!(said(&check, 401, ""), "good");
        assert_eq!(said(&check, 503, ""), "answered 503");
        assert_eq!(
            said(&check, 503, r#"{"reason": "backup"}"#),
            "answered 503, reason \"backup\""
        );
    }

    #[test]
    fn a_state_that_must_not_be_is_found_behind_status_200() {
        let check = check(|check| check.json_not = vec![("/state".to_owned(), "paused".into())]);
        assert_eq!(said(&check, 200, r#"{"state": "running"}"#), "good");
        assert_eq!(said(&check, 200, r#"{"up": true}"#), "good");
        assert_eq!(
            said(&check, 200, r#"{"state": "paused", "reason": "by hand"}"#),
            "/state is \"paused\", reason \"by hand\""
        );
        assert_eq!(
            said(&check, 200, "<html>"),
            "said \"<html>\", which is no JSON"
        );
    }

    #[test]
    fn a_state_that_must_be_has_to_be_there() {
        let check = check(|check| check.json = vec![("/nodes/0".to_owned(), 3.into())]);
        assert_eq!(said(&check, 200, r#"{"nodes": [3]}"#), "good");
        assert_eq!(
            said(&check, 200, r#"{"nodes": [4]}"#),
            "/nodes/0 is 4, not 3"
        );
        assert_eq!(said(&check, 200, "{}"), "/nodes/0 is missing");
    }

    #[test]
    fn a_body_has_to_match() {
        let regex = regex::bytes::Regex::new("^ok").unwrap();
        let check = check(|check| check.body = Some(regex));
        assert_eq!(said(&check, 200, "ok\n"), "good");
        assert_eq!(
            said(&check, 200, "no"),
            "said \"no\", which does not match ^ok"
        );
    }
}
