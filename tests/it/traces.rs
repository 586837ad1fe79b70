//! Traces (W3C Trace Context): `traceparent` on its way to servers, and in the access log.

mod otlp;

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::http2::{Http2, request};
use crate::support::log::{line, logging_at};
use crate::support::proxy::{Proxy, app};

/// What a client's field says.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// The field of a client that has decided, or has not, that its trace is kept.
fn came(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

/// Values that are none.
fn invalid() -> Vec<String> {
    let good = came("01");
    vec![
        String::new(),
        "nonsense".to_owned(),
        good[..good.len() - 1].to_owned(),
        format!("{good}-more"),
        good.to_uppercase(),
        good.replacen("00-", "ff-", 1),
        good.replace(TRACE, &"0".repeat(32)),
        good.replace(SPAN, &"0".repeat(16)),
    ]
}

/// lbd with these keys of `[tracing]` before these servers.
fn traced(keys: &str, servers: &[String]) -> String {
    format!("{}[tracing]\n{keys}\n", app(servers, ""))
}

/// Keeps none of the requests that come without a decision, or all.
const NONE: &str = "sample = \"0%\"";
const ALL: &str = "sample = \"100%\"";

/// What the last request said to its server.
fn said(backend: &Backend) -> Option<String> {
    let last = backend.last();
    let field = last.fields().get("traceparent");
    field.map(str::to_owned)
}

/// What the server is told of a request with this field, if any, by lbd with these keys of `[tracing]`.
async fn told(keys: &str, field: Option<&str>) -> String {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&traced(keys, &[backend.server()])).await;
    let fields: Vec<_> = field
        .map(|value| ("traceparent", value))
        .into_iter()
        .collect();
    proxy.request("GET", "/", &fields, b"").await;
    said(&backend).expect("the server is told")
}

/// The trace, the span and the flags in a field that is as it should be.
fn parts(field: &str) -> [&str; 3] {
    let parts: Vec<_> = field.split('-').collect();
    let ["00", trace, span, flags] = parts[..] else {
        panic!("{field}");
    };
    for (part, length) in [(trace, 32), (span, 16), (flags, 2)] {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        assert!(
            part.len() == length && part.bytes().all(is_digit),
            "{field}"
        );
    }
    for part in [trace, span] {
        assert!(part.bytes().any(|digit| digit != b'0'), "{field}");
    }
    [trace, span, flags]
}

// === without [tracing] ===

#[tokio::test]
async fn without_tracing_the_field_passes_as_it_came() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    for field in [came("01").as_str(), &came("00"), "nonsense"] {
        let fields = [("traceparent", field)];
        proxy.request("GET", "/", &fields, b"").await;
        assert_eq!(said(&backend).as_deref(), Some(field));
    }
}

#[tokio::test]
async fn without_tracing_none_is_made() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app(&[backend.server()], "")).await;
    proxy.get("/").await;
    assert_eq!(said(&backend), None);
}

// === with it ===

#[tokio::test]
async fn a_request_without_a_trace_begins_one() {
    for (keys, flags) in [(NONE, "00"), (ALL, "01")] {
        let field = told(keys, None).await;
        assert_eq!(parts(&field)[2], flags, "{keys}");
    }
}

#[tokio::test]
async fn each_request_begins_its_own() {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&traced(NONE, &[backend.server()])).await;
    let mut fields = Vec::new();
    for _ in 0..2 {
        proxy.get("/").await;
        fields.push(said(&backend).expect("the server is told"));
    }
    let (first, second) = (parts(&fields[0]), parts(&fields[1]));
    assert_ne!(first[0], second[0]);
    assert_ne!(first[1], second[1]);
}

#[tokio::test]
async fn what_is_no_trace_is_replaced_by_one() {
    for field in invalid() {
        let told = told(NONE, Some(&field)).await;
        let [trace, span, flags] = parts(&told);
        assert_ne!(trace, TRACE, "{field}");
        assert_ne!(span, SPAN, "{field}");
        assert_eq!(flags, "00", "{field}");
    }
}

#[tokio::test]
async fn a_trace_goes_on_with_a_span_of_lbd_s_own() {
    let mut spans = vec![SPAN.to_owned()];
    for keys in [NONE, ALL] {
        for flags in ["00", "01"] {
            let told = told(keys, Some(&came(flags))).await;
            let [trace, span, passed] = parts(&told);
            assert_eq!((trace, passed), (TRACE, flags), "{keys}");
            assert!(spans.iter().all(|known| known != span), "{span} again");
            spans.push(span.to_owned());
        }
    }
}

#[tokio::test]
async fn a_later_version_of_the_field_is_understood() {
    let later = came("01").replacen("00-", "01-", 1);
    for field in [later.clone(), later + "-more"] {
        let told = told(NONE, Some(&field)).await;
        assert_eq!(parts(&told)[0], TRACE, "{field}");
    }
}

#[tokio::test]
async fn requests_over_http_2_are_traced_too() {
    let backend = Backend::start(ok("x")).await;
    let text = traced(NONE, &[backend.server()]);
    let proxy = Proxy::start_with("h2c = true", &text).await;
    let mut client = Http2::connect(proxy.addr()).await;
    assert_eq!(client.get("/").await.status, 200);
    parts(&said(&backend).expect("the server is told"));
    let field = came("01");
    let fields = [("traceparent", field.as_str())];
    client.ask(request("GET", "/", &fields), b"").await;
    let told = said(&backend).expect("the server is told");
    assert_eq!(parts(&told)[0], TRACE);
}

// === the access log ===

/// The line of a request with this field, if any, in a log of this format, and what its server was told.
async fn logged(format: &str, rest: &str, field: Option<&str>) -> (String, Option<String>) {
    let backend = Backend::start(ok("x")).await;
    let keys = format!("access_format = \"{format}\"");
    let text = app(&[backend.server()], "") + rest;
    let (log, proxy) = logging_at("", &keys, &text).await;
    let mut fields = vec![("X-Request-Id", "id-1")];
    fields.extend(field.map(|value| ("traceparent", value)));
    proxy.request("GET", "/", &fields, b"").await;
    (line(&log).await, said(&backend))
}

#[tokio::test]
async fn a_line_has_the_trace_that_its_server_was_told() {
    for (format, before, after) in [
        ("combined", " id=id-1 trace=", " time="),
        ("json", ",\"trace\":\"", "\","),
    ] {
        let (line, told) = logged(format, "[tracing]\n", None).await;
        let told = told.expect("the server is told");
        let part = format!("{before}{}{after}", parts(&told)[0]);
        assert!(line.contains(&part), "no {part} in {line}");
    }
}

#[tokio::test]
async fn a_line_has_the_trace_that_came_though_nothing_is_traced() {
    let (line, _) = logged("combined", "", Some(&came("00"))).await;
    let part = format!(" id=id-1 trace={TRACE} ");
    assert!(line.contains(&part), "{line}");
}

#[tokio::test]
async fn a_line_of_what_is_part_of_no_trace_has_none() {
    for format in ["combined", "json"] {
        for field in [None, Some("nonsense")] {
            let (line, _) = logged(format, "", field).await;
            assert!(!line.contains("trace"), "{line}");
        }
    }
}
