//! Which route a request takes.

mod fixed;
mod forwarding;

use crate::support::client::Client;
use crate::support::proxy::{Proxy, file, says};

/// lbd with these routes: `(keys, what it says)`.
async fn routes(routes: &[(&str, &str)]) -> Proxy {
    let text: String = routes.iter().map(|(keys, body)| says(keys, body)).collect();
    Proxy::start(&text).await
}

/// What is said on `target`; 404 is "none".
async fn on(proxy: &Proxy, target: &str) -> String {
    let answer = proxy.get(target).await;
    if answer.status == 404 {
        "none".into()
    } else {
        answer.text()
    }
}

/// What is said on `/` of `host`.
async fn on_host(proxy: &Proxy, host: &str) -> String {
    proxy
        .request("GET", "/", &[("Host", host)], b"")
        .await
        .text()
}

// === paths ===

#[tokio::test]
async fn the_longest_path_wins_whatever_the_order() {
    for order in [["/", "/a/", "/a/b/"], ["/a/b/", "/a/", "/"]] {
        let proxy = routes(
            &order
                .map(|path| (format!("path = \"{path}\""), path))
                .each_ref()
                .map(|(k, p)| (k.as_str(), *p)),
        )
        .await;
        for (target, path) in [
            ("/", "/"),
            ("/x", "/"),
            ("/a/", "/a/"),
            ("/a/x", "/a/"),
            ("/a/b/", "/a/b/"),
            ("/a/b/c/d", "/a/b/"),
        ] {
            assert_eq!(on(&proxy, target).await, path, "{target} with {order:?}");
        }
    }
}

#[tokio::test]
async fn a_path_matches_whole_segments() {
    let proxy = routes(&[("path = \"/ACS\"", "acs")]).await;
    for (target, body) in [
        ("/ACS", "acs"),
        ("/ACS/", "acs"),
        ("/ACS/x", "acs"),
        ("/ACS?x", "acs"),
        ("/ACSx", "none"),
        ("/AC", "none"),
        ("/acs", "none"),
    ] {
        assert_eq!(on(&proxy, target).await, body, "{target}");
    }
}

#[tokio::test]
async fn an_exact_path_matches_itself_alone_and_first() {
    let proxy = routes(&[
        ("path = \"/\"", "all"),
        ("path = \"/status\"\nfinal = true", "below"),
        ("regex = \"status\"", "regex"),
        ("exact = \"/status\"", "exact"),
    ])
    .await;
    for (target, body) in [
        ("/status", "exact"),
        ("/status?x", "exact"),
        ("/status/x", "below"),
    ] {
        assert_eq!(on(&proxy, target).await, body, "{target}");
    }
}

#[tokio::test]
async fn a_regex_beats_the_longest_path_unless_that_is_final() {
    let proxy = routes(&[
        ("path = \"/a/\"", "a"),
        ("path = \"/f/\"\nfinal = true", "final"),
        ("path = \"/f/open/\"", "open"),
        ("regex = \"\\\\.js$\"", "js"),
    ])
    .await;
    for (target, body) in [
        ("/a/x", "a"),
        ("/a/x.js", "js"),
        ("/f/x.js", "final"),
        ("/f/open/x.js", "js"),
        ("/f/open/x", "open"),
        ("/x.js?y", "js"),
        ("/x", "none"),
    ] {
        assert_eq!(on(&proxy, target).await, body, "{target}");
    }
}

#[tokio::test]
async fn the_first_regex_in_the_file_wins() {
    let proxy = routes(&[
        ("regex = \"^/v[0-9]+/\"", "version"),
        ("regex = \"^/v1/\"", "one"),
    ])
    .await;
    assert_eq!(on(&proxy, "/v1/x").await, "version");
}

#[tokio::test]
async fn matching_sees_the_path_decoded_and_resolved() {
    let proxy = routes(&[
        ("path = \"/\"", "all"),
        ("path = \"/admin/\"", "admin"),
        ("exact = \"/a b\"", "space"),
    ])
    .await;
    for target in [
        "/admin/",
        "/%61dmin/x",
        "/x/../admin/x",
        "/./admin/",
        "//admin/x",
        "/x/%2e%2e/admin/",
        "/admin/x/..",
    ] {
        assert_eq!(on(&proxy, target).await, "admin", "{target}");
    }
    assert_eq!(on(&proxy, "/a%20b").await, "space");
    assert_eq!(on(&proxy, "/admin/../x").await, "all");
    assert_eq!(on(&proxy, "/?/admin/").await, "all");
}

// === hosts and listeners ===

#[tokio::test]
async fn the_exact_host_wins_over_the_longest_wildcard_over_none() {
    let proxy = routes(&[
        ("path = \"/\"", "any"),
        ("path = \"/\"\nhosts = [\"*.x.com\"]", "x"),
        ("path = \"/\"\nhosts = [\"*.b.x.com\"]", "b"),
        ("path = \"/\"\nhosts = [\"a.b.x.com\", \"y.com\"]", "exact"),
    ])
    .await;
    for (host, body) in [
        ("a.b.x.com", "exact"),
        ("y.com", "exact"),
        ("c.b.x.com", "b"),
        ("b.x.com", "x"),
        ("q.x.com", "x"),
        ("x.com", "any"),
        ("yx.com", "any"),
        ("z.y.com", "any"),
        ("127.0.0.1", "any"),
    ] {
        assert_eq!(on_host(&proxy, host).await, body, "{host}");
    }
}

#[tokio::test]
async fn hosts_are_compared_without_case_and_port() {
    let proxy = routes(&[
        ("path = \"/\"", "any"),
        ("path = \"/\"\nhosts = [\"HQ.company.com\"]", "hq"),
    ])
    .await;
    for host in ["hq.company.com", "HQ.COMPANY.com", "hq.company.com:8100"] {
        assert_eq!(on_host(&proxy, host).await, "hq", "{host}");
    }
}

#[tokio::test]
async fn an_absolute_target_names_the_host() {
    let proxy = routes(&[
        ("path = \"/\"", "any"),
        ("path = \"/\"\nhosts = [\"hq.company.com\"]", "hq"),
    ])
    .await;
    let bytes = "GET http://hq.company.com/ HTTP/1.1\r\nHost: other\r\n\r\n";
    assert_eq!(proxy.raw().await.exchange(bytes).await.text(), "hq");
}

#[tokio::test]
async fn without_a_matching_host_there_is_no_route() {
    let proxy = routes(&[("path = \"/\"\nhosts = [\"hq.company.com\"]", "hq")]).await;
    assert_eq!(
        proxy
            .request("GET", "/", &[("Host", "other")], b"")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_route_can_be_for_one_listener() {
    let two = [
        says("path = \"/\"", "everywhere"),
        says("path = \"/inner/\"\nlisteners = [\"inner\"]", "inner"),
        "[[listeners]]\nname = \"inner\"\nbind = \"127.0.0.2:0\"\n".into(),
    ];
    let proxy = Proxy::start_file(&file("", "name = \"outer\"", &two.concat())).await;
    let inner = proxy.addrs()[1];
    assert_eq!(on(&proxy, "/inner/x").await, "everywhere");
    assert_eq!(
        Client::connect(inner).await.get("/inner/x").await.text(),
        "inner"
    );
}
