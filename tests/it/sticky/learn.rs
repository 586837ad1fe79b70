//! What lbd learns: who has made a session, or who has served a client.

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, ok, raw};
use crate::support::proxy::{Proxy, app, file};

use super::{answer, before, kept, moved, pair, pool, says, three};

/// The key of a pool that learns from its app's cookie.
const FROM_APP: &str = "sticky = { learn = \"PHPSESSID\" }";
/// The key of a pool that learns by address.
const BY_ADDRESS: &str = "sticky = { learn = \"$remote_addr\" }";
/// The key of a listener that believes what the tests say of clients.
const TRUSTS: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

/// An app that says `name`, and makes the session `of-NAME` at `/login`.
fn sessions(name: &'static str) -> Behaviour {
    Behaviour::new(move |mut peer| async move {
        loop {
            let request = peer.request().await?;
            let cookie =
                format!("Set-Cookie: lang=en\r\nSet-Cookie: PHPSESSID=of-{name}; path=/\r\n");
            let is_login = request.target() == "/login";
            let fields = if is_login { &*cookie } else { "" };
            peer.send(says(fields, name)).await?;
        }
    })
}

/// Two such apps, and lbd before them, which has seen a session made by each.
async fn two_sessions() -> (Backend, Backend, Proxy) {
    let (a, b) = (
        Backend::start(sessions("a")).await,
        Backend::start(sessions("b")).await,
    );
    let proxy = before(&[&a, &b], FROM_APP).await;
    for name in ["a", "b"] {
        let mut client = proxy.client().await.allowing("set-cookie");
        let answer = client.get("/login").await;
        assert_eq!(answer.text(), name);
        let cookies = answer.fields.all("set-cookie");
        let own = format!("PHPSESSID=of-{name}; path=/");
        assert_eq!(cookies, ["lang=en", &own], "the app's, and none of lbd's");
    }
    (a, b, proxy)
}

#[tokio::test]
async fn a_session_stays_where_it_was_made() {
    let (_a, _b, proxy) = two_sessions().await;
    for _ in 0..5 {
        for (cookie, name) in [
            ("PHPSESSID=of-b", "b"),
            ("PHPSESSID=of-a", "a"),
            ("lang=en; PHPSESSID=of-a; x=1", "a"),
        ] {
            assert_eq!(kept(&proxy, cookie).await, name, "{cookie}");
        }
    }
}

#[tokio::test]
async fn a_session_that_nobody_has_seen_made_stays_where_it_is_served_first() {
    let (_a, _b, proxy) = two_sessions().await;
    for cookie in ["PHPSESSID=old-1", "PHPSESSID=old-2", "PHPSESSID=old-3"] {
        let first = kept(&proxy, cookie).await;
        for _ in 0..5 {
            assert_eq!(kept(&proxy, cookie).await, first);
        }
    }
}

#[tokio::test]
async fn requests_without_a_session_are_balanced() {
    let (_a, _b, proxy) = two_sessions().await;
    let mut names = String::new();
    for cookie in ["x=1", "PHPSESSID=", "x=1", "PHPSESSID="] {
        names += &kept(&proxy, cookie).await;
    }
    assert_eq!(names, "abab");
}

#[tokio::test]
async fn a_session_that_another_server_replaces_is_its_own() {
    let new = raw(says("Set-Cookie: PHPSESSID=new\r\n", "b"));
    let (mut a, b) = (Backend::start(ok("a")).await, Backend::start(new).await);
    let mut proxy = before(&[&a, &b], FROM_APP).await;
    assert_eq!(kept(&proxy, "PHPSESSID=old").await, "a");
    a.stop().await;
    let (name, cookie) = moved(&proxy, "PHPSESSID=old").await;
    assert_eq!((&*name, &*cookie), ("b", "PHPSESSID=new"));
    a.start_as(ok("a"));
    proxy.reload(&pool(&[&a, &b], FROM_APP)).await;
    for _ in 0..3 {
        assert_eq!(moved(&proxy, &cookie).await.0, "b");
    }
}

#[tokio::test]
async fn a_reload_forgets_nothing() {
    let (a, b, mut proxy) = two_sessions().await;
    let c = Backend::start(ok("c")).await;
    for servers in [&[&a, &b][..], &[&c, &b, &a], &[&b, &a]] {
        proxy.reload(&pool(servers, FROM_APP)).await;
        for (cookie, name) in [("PHPSESSID=of-a", "a"), ("PHPSESSID=of-b", "b")] {
            assert_eq!(kept(&proxy, cookie).await, name);
        }
    }
}

#[tokio::test]
async fn sessions_of_a_dead_server_go_elsewhere_and_stay_there() {
    let (mut a, b, mut proxy) = two_sessions().await;
    a.stop().await;
    for _ in 0..3 {
        assert_eq!(kept(&proxy, "PHPSESSID=of-a").await, "b");
    }
    a.start_as(sessions("a"));
    proxy.reload(&pool(&[&a, &b], FROM_APP)).await;
    for _ in 0..3 {
        assert_eq!(kept(&proxy, "PHPSESSID=of-a").await, "b");
    }
}

#[tokio::test]
async fn a_session_of_a_server_that_is_gone_from_the_file_goes_elsewhere() {
    let (_a, b, mut proxy) = two_sessions().await;
    let c = Backend::start(ok("c")).await;
    proxy.reload(&pool(&[&c, &b], FROM_APP)).await;
    let first = kept(&proxy, "PHPSESSID=of-a").await;
    for _ in 0..3 {
        assert_eq!(kept(&proxy, "PHPSESSID=of-a").await, first);
        assert_eq!(kept(&proxy, "PHPSESSID=of-b").await, "b");
    }
}

#[tokio::test]
async fn the_session_of_a_refusal_is_learnt_too() {
    let made = "HTTP/1.1 403 No\r\nSet-Cookie: PHPSESSID=new\r\nContent-Length: 0\r\n\r\n";
    let (refusing, b) = (
        Backend::start(raw(made)).await,
        Backend::start(ok("b")).await,
    );
    let proxy = before(&[&refusing, &b], FROM_APP).await;
    let first = answer(&proxy, "/", &[]).await;
    assert_eq!((first.status, &*pair(&first)), (403, "PHPSESSID=new"));
    for _ in 0..3 {
        let fields = [("Cookie", "PHPSESSID=new")];
        assert_eq!(answer(&proxy, "/", &fields).await.status, 403);
    }
}

// === by what requests say ===

/// Who answers the client at `address`.
async fn served(proxy: &Proxy, address: &str) -> String {
    let fields = [("X-Forwarded-For", address)];
    let answer = proxy.request("GET", "/", &fields, b"").await;
    answer.text()
}

/// Who answers the clients 10.0.0.1 to 10.0.0.6.
async fn all_served(proxy: &Proxy) -> String {
    let mut names = String::new();
    for n in 1..=6 {
        names += &served(proxy, &format!("10.0.0.{n}")).await;
    }
    names
}

#[tokio::test]
async fn an_address_stays_with_its_server() {
    let [a, b, c] = three().await;
    let proxy = Proxy::start_with(TRUSTS, &pool(&[&a, &b, &c], BY_ADDRESS)).await;
    for _ in 0..4 {
        assert_eq!(all_served(&proxy).await, "abcabc");
    }
    let mut alone = String::new();
    for _ in 0..4 {
        alone += &served(&proxy, "10.0.0.6").await;
    }
    assert_eq!(alone, "cccc");
}

#[tokio::test]
async fn an_address_whose_server_is_dead_moves_once() {
    let [mut a, b, c] = three().await;
    let proxy = Proxy::start_with(TRUSTS, &pool(&[&a, &b, &c], BY_ADDRESS)).await;
    assert_eq!(all_served(&proxy).await, "abcabc");
    a.stop().await;
    let moved = all_served(&proxy).await;
    assert!(!moved.contains('a'), "{moved}");
    a.start_as(ok("a"));
    for _ in 0..3 {
        assert_eq!(all_served(&proxy).await, moved);
    }
}

#[tokio::test]
async fn a_key_may_be_of_several_parts() {
    let [a, b, _] = three().await;
    let keys = "sticky = { learn = \"$http_x_tenant/$cookie_user\" }";
    let proxy = before(&[&a, &b], keys).await;
    let users = [
        ("t1", "user=1"),
        ("t1", "user=2"),
        ("t2", "user=2"),
        ("t2", "user=1"),
    ];
    for _ in 0..3 {
        let mut names = String::new();
        for (tenant, user) in users {
            let fields = [("X-Tenant", tenant), ("Cookie", user)];
            names += &proxy.request("GET", "/", &fields, b"").await.text();
        }
        assert_eq!(names, "abab");
    }
}

#[tokio::test]
async fn with_ip_hash_a_server_more_moves_nobody_who_was_here() {
    let [a, b, c] = three().await;
    let keys = format!("balance = \"ip_hash\"\n{BY_ADDRESS}");
    let text = |servers: &[&Backend]| file("", TRUSTS, &pool(servers, &keys));
    let mut proxy = Proxy::start_file(&text(&[&a, &b])).await;
    let networks: Vec<_> = (0..20).map(|n| format!("10.{n}.0.1")).collect();
    let mut before = Vec::new();
    for client in &networks {
        before.push(served(&proxy, client).await);
    }
    let reloaded = proxy.try_reload(&text(&[&a, &b, &c])).await;
    reloaded.expect("a good file is taken");
    for (client, name) in networks.iter().zip(&before) {
        assert_eq!(served(&proxy, client).await, *name, "{client}");
    }
    assert_eq!(c.requests(), 0);
}

#[tokio::test]
async fn what_one_pool_learns_is_nothing_to_another() {
    let (a, b) = (Backend::start(ok("a")).await, Backend::start(ok("b")).await);
    let servers = [a.server(), b.server()];
    let other = format!(
        "[[routes]]\npath = \"/other\"\npool = \"other\"\n[pools.other]\nservers = [{}]\n{BY_ADDRESS}\n",
        servers.join(", ")
    );
    let proxy = Proxy::start_with(TRUSTS, &(other + &app(&servers, BY_ADDRESS))).await;
    assert_eq!(served(&proxy, "10.0.0.1").await, "a");
    assert_eq!(served(&proxy, "10.0.0.2").await, "b");
    let fields = [("X-Forwarded-For", "10.0.0.2")];
    let answer = proxy.request("GET", "/other", &fields, b"").await;
    assert_eq!(answer.text(), "a", "the first turn there");
}
