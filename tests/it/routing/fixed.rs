//! Routes that need no server: to the slash, elsewhere, a fixed answer, and no route at all.

use crate::support::proxy::Proxy;

use super::{on, routes};

#[tokio::test]
async fn a_request_without_the_slash_is_sent_to_it() {
    let proxy = routes(&[("path = \"/app_a/\"", "a")]).await;
    for (target, location) in [
        ("/app_a", "/app_a/"),
        ("/app_a?x=1&y=%2F", "/app_a/?x=1&y=%2F"),
    ] {
        let answer = proxy.get(target).await;
        assert_eq!(
            (answer.status, answer.field("location")),
            (308, Some(location)),
            "{target}"
        );
    }
    assert_eq!(on(&proxy, "/app_ax").await, "none");
}

#[tokio::test]
async fn the_slash_is_not_added_where_another_route_is() {
    let proxy = routes(&[
        ("path = \"/app/\"", "below"),
        ("exact = \"/app\"", "itself"),
    ])
    .await;
    assert_eq!(on(&proxy, "/app").await, "itself");
}

#[tokio::test]
async fn a_redirect_to_the_slash_cannot_lead_to_another_host() {
    let proxy = routes(&[("path = \"/evil.example/\"", "a")]).await;
    let answer = proxy.get("//evil.example").await;
    let location = answer.field("location").unwrap_or_default();
    assert!(!location.starts_with("//"), "{location}");
}

#[tokio::test]
async fn a_redirect_route_redirects() {
    let text = "[[routes]]\npath = \"/old/\"\nredirect = { to = \"https://new.example/x\" }\n\
                [[routes]]\npath = \"/tls/\"\nredirect = { to = \"https://$host$request_uri\", status = 301 }\n";
    let proxy = Proxy::start(text).await;
    let answer = proxy.get("/old/y?z").await;
    assert_eq!(
        (answer.status, answer.field("location")),
        (308, Some("https://new.example/x"))
    );
    let answer = proxy.get("/tls/y?z").await;
    assert_eq!(
        (answer.status, answer.field("location")),
        (301, Some("https://app.example/tls/y?z"))
    );
}

#[tokio::test]
async fn a_respond_route_responds_to_every_method_and_keeps_the_connection() {
    let text = "[[routes]]\npath = \"/\"\nrespond = { status = 503, body = \"closed today\" }\n";
    let proxy = Proxy::start(text).await;
    let mut client = proxy.client().await;
    for (method, body) in [
        ("GET", "closed today"),
        ("HEAD", ""),
        ("POST", "closed today"),
    ] {
        let answer = client
            .request(
                method,
                "/x",
                &[],
                if method == "POST" { b"ignored" } else { b"" },
            )
            .await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (503, body),
            "{method}"
        );
        assert_eq!(answer.field("content-length"), Some("12"), "{method}");
    }
}

#[tokio::test]
async fn a_205_has_no_body() {
    let text = "[[routes]]\npath = \"/\"\nrespond = { status = 205, body = \"ignored\" }\n";
    let proxy = Proxy::start(text).await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (205, ""));
    }
}

#[tokio::test]
async fn without_a_route_the_answer_is_a_404_that_names_no_internals() {
    let proxy = routes(&[("path = \"/only/\"", "x")]).await;
    let answer = proxy.get("/secret/path").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (404, "404 Not Found\n")
    );
    assert_eq!(
        answer.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.field("server"), Some("lbd"));
    assert!(
        answer
            .field("date")
            .is_some_and(|date| date.ends_with(" GMT") && date.len() == 29),
        "{answer:?}"
    );
}
