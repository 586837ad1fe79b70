//! The route that an app writes behind its session's id, as Tomcat does: `JSESSIONID=A1B2.node1`.

use crate::support::backend::Backend;
use crate::support::behaviour::ok;
use crate::support::proxy::{Proxy, app};

use super::kept;

/// Servers that say a, b and c and are called node1, node2 and node3, and lbd before them.
async fn three_nodes() -> ([Backend; 3], Proxy) {
    let backends = super::three().await;
    let proxy = Proxy::start(&nodes(&backends)).await;
    (backends, proxy)
}

/// The text for these servers, in this order.
fn nodes(backends: &[Backend; 3]) -> String {
    let named = |(n, backend): (usize, &Backend)| {
        backend.server_with(&format!("route = \"node{}\"", n + 1))
    };
    let servers: Vec<_> = backends.iter().enumerate().map(named).collect();
    app(&servers, "sticky = { route = \"JSESSIONID\" }")
}

/// Who answers requests for `path` with these fields, time and again.
async fn always(proxy: &Proxy, path: &str, fields: &[(&str, &str)]) -> String {
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(proxy.request("GET", path, fields, b"").await.text());
    }
    names.dedup();
    assert_eq!(names.len(), 1, "{path} {fields:?}: {names:?}");
    names.remove(0)
}

#[tokio::test]
async fn the_cookie_s_route_decides() {
    let (_backends, proxy) = three_nodes().await;
    for (route, name) in [("node2", "b"), ("node1", "a"), ("node3", "c")] {
        for cookies in [
            format!("JSESSIONID=abc.{route}"),
            format!("JSESSIONID=a.b-c.{route}"),
            format!("a=1; JSESSIONID=abc.{route}; b=2"),
            format!("XJSESSIONID=abc.node1; JSESSIONID=abc.{route}"),
        ] {
            let fields = [("Cookie", &*cookies)];
            assert_eq!(always(&proxy, "/", &fields).await, name, "{cookies}");
        }
    }
}

#[tokio::test]
async fn without_cookies_the_path_s_parameter_decides() {
    let (_backends, proxy) = three_nodes().await;
    for (path, name) in [
        ("/x;jsessionid=abc.node2", "b"),
        ("/x;JSESSIONID=abc.node3?y=1", "c"),
        ("/x;v=1;jsessionid=abc.node1", "a"),
        ("/x;jsessionid=abc.node2/y/z", "b"),
    ] {
        assert_eq!(always(&proxy, path, &[]).await, name, "{path}");
        let fields = [("Cookie", "a=1")];
        assert_eq!(always(&proxy, path, &fields).await, name, "{path}");
    }
}

#[tokio::test]
async fn without_both_the_argument_decides() {
    let (_backends, proxy) = three_nodes().await;
    for (path, name) in [
        ("/x?JSESSIONID=abc.node2", "b"),
        ("/x?y=1&jsessionid=abc.node3&z=2", "c"),
    ] {
        assert_eq!(always(&proxy, path, &[]).await, name, "{path}");
    }
}

#[tokio::test]
async fn the_cookie_is_believed_first() {
    let (_backends, proxy) = three_nodes().await;
    let fields = [("Cookie", "JSESSIONID=abc.node3")];
    let path = "/x;jsessionid=abc.node2?JSESSIONID=abc.node1";
    assert_eq!(always(&proxy, path, &fields).await, "c");
    assert_eq!(always(&proxy, path, &[]).await, "b");
}

#[tokio::test]
async fn a_session_without_a_known_route_is_balanced() {
    let (_backends, proxy) = three_nodes().await;
    let mut names = String::new();
    for cookie in [
        "JSESSIONID=abc.node4",
        "JSESSIONID=abc",
        "JSESSIONID=",
        "JSESSIONID=abc.",
        "JSESSIONID=abc.NODE1",
        "other=abc.node1",
    ] {
        names += &kept(&proxy, cookie).await;
    }
    assert_eq!(names, "abcabc");
}

#[tokio::test]
async fn lbd_sets_no_cookie_of_its_own() {
    let (_backends, proxy) = three_nodes().await;
    let answer = proxy.get("/").await;
    assert_eq!(answer.field("set-cookie"), None);
}

#[tokio::test]
async fn a_reload_may_change_the_order_of_the_servers_and_not_their_routes() {
    let ([a, b, _c], mut proxy) = three_nodes().await;
    let servers = [
        b.server_with("route = \"node2\""),
        a.server_with("route = \"node1\""),
    ];
    let text = app(&servers, "sticky = { route = \"JSESSIONID\" }");
    proxy.reload(&text).await;
    for (cookie, name) in [("JSESSIONID=1.node1", "a"), ("JSESSIONID=1.node2", "b")] {
        assert_eq!(always(&proxy, "/", &[("Cookie", cookie)]).await, name);
    }
}

#[tokio::test]
async fn sessions_of_a_dead_server_go_elsewhere_until_it_is_back() {
    let (mut backends, mut proxy) = three_nodes().await;
    backends[0].stop().await;
    for _ in 0..4 {
        let name = kept(&proxy, "JSESSIONID=1.node1").await;
        assert!(name == "b" || name == "c", "{name}");
    }
    backends[0].start_as(ok("a"));
    proxy.reload(&nodes(&backends)).await;
    assert_eq!(kept(&proxy, "JSESSIONID=1.node1").await, "a");
}
