//! What becomes of the target on the way to the server.

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::proxy::{Proxy, app_at};

/// The target that the server sees.
async fn forwarded(route: &str, target: &str) -> String {
    let backend = Backend::start(ok("x")).await;
    let proxy = Proxy::start(&app_at(route, &[backend.server()], "")).await;
    assert_eq!(proxy.get(target).await.status, 200, "{target}");
    backend.last().target().to_owned()
}

#[tokio::test]
async fn without_a_rewrite_the_target_stays_to_the_byte() {
    for target in [
        "/app_a/x?y=1",
        "/app_a/%41%2fb",
        "/app_a/./x/../y",
        "/app_a//x",
        "/app_a/?a=/../b&c=%zz",
        "/app_a/x?",
        "/app_a/~a!$&'()*+,;=:@",
    ] {
        assert_eq!(forwarded("path = \"/app_a/\"", target).await, target);
    }
}

#[tokio::test]
async fn the_matched_prefix_is_replaced() {
    for (path, replacement, target, expected) in [
        ("/app_a/", "/", "/app_a/x", "/x"),
        ("/app_a/", "/", "/app_a/", "/"),
        ("/app_a/", "/", "/app_a/x/?y=1&z", "/x/?y=1&z"),
        ("/app_a/", "/v2/", "/app_a/x", "/v2/x"),
        ("/app_a", "/v2", "/app_a/x", "/v2/x"),
        ("/app_a", "/v2", "/app_a", "/v2"),
        ("/app_a", "/", "/app_a/x", "/x"),
        ("/app_a", "/", "/app_a?q", "/?q"),
    ] {
        let route = format!("path = \"{path}\"\nreplace_prefix = \"{replacement}\"");
        assert_eq!(
            forwarded(&route, target).await,
            expected,
            "{path} to {replacement}"
        );
    }
}

#[tokio::test]
async fn a_rewritten_target_does_not_climb_out() {
    let route = "path = \"/app_a/\"\nreplace_prefix = \"/inner/\"";
    for target in [
        "/app_a/x/../y",
        "/%61pp_a/y",
        "/z/../app_a/y",
        "//app_a/./y",
        "/app_a/x/%2e%2e/y",
    ] {
        assert_eq!(forwarded(route, target).await, "/inner/y", "{target}");
    }
}

#[tokio::test]
async fn a_rewritten_target_is_escaped_again() {
    let route = "path = \"/app_a/\"\nreplace_prefix = \"/\"";
    assert_eq!(
        forwarded(route, "/app_a/a%20b?c=%20d").await,
        "/a%20b?c=%20d"
    );
    assert_eq!(forwarded(route, "/app_a/100%25").await, "/100%25");
    assert_eq!(forwarded(route, "/app_a/what%3Fnow").await, "/what%3Fnow");
    let line_break = forwarded(route, "/app_a/a%0D%0AX-Evil:%201")
        .await
        .to_ascii_uppercase();
    assert!(line_break.contains("%0D%0A"), "{line_break}");
}

#[tokio::test]
async fn regex_and_exact_routes_forward_too() {
    assert_eq!(
        forwarded("regex = \"^/v[0-9]+/\"", "/v2/x?y").await,
        "/v2/x?y"
    );
    assert_eq!(
        forwarded(
            "exact = \"/status\"\nreplace_prefix = \"/health\"",
            "/status?y"
        )
        .await,
        "/health?y"
    );
}
