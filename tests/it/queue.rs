//! Requests that wait for a server to have room: in a line, for a while, and with an answer that says so if there is none.

mod in_vain;
mod streams;
mod tunnels;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::backend::Backend;
use crate::support::behaviour::{Behaviour, ok};
use crate::support::client::{Client, get};
use crate::support::proxy::{Proxy, app, file};
use crate::support::raw::{Raw, Response};
use crate::support::wait;

/// A server that answers as many requests as the test allows, each with its target.
struct Slow {
    backend: Backend,
    allowed: Arc<Semaphore>,
}

impl Slow {
    async fn start() -> Self {
        let allowed = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&allowed);
        let behaviour = Behaviour::new(move |mut peer| {
            let permits = Arc::clone(&permits);
            async move {
                loop {
                    let request = peer.request().await?;
                    let permit = permits.acquire().await;
                    permit.expect("nobody closes it").forget();
                    let (target, length) = (request.target(), request.target().len());
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    peer.send(head + target).await?;
                }
            }
        });
        Self {
            backend: Backend::start(behaviour).await,
            allowed,
        }
    }

    /// One request more is answered.
    fn answers_one(&self) {
        self.allowed.add_permits(1);
    }

    /// As an element of `servers`, with room for one request.
    fn server(&self) -> String {
        self.backend.server_with("max_conns = 1")
    }

    /// The targets of the requests that came, in their order.
    fn targets(&self) -> Vec<String> {
        let seen = self.backend.seen();
        seen.iter().map(|seen| seen.target().to_owned()).collect()
    }
}

/// A line that is long enough, and in which nobody waits in vain.
const LINE: &str = "queue = { size = 10, timeout = \"1h\" }";

/// A slow server with one place, and lbd before it, with these keys of the pool.
async fn before(keys: &str) -> (Slow, Proxy) {
    let slow = Slow::start().await;
    let proxy = Proxy::start(&app(&[slow.server()], keys)).await;
    (slow, proxy)
}

/// Sends GET `target`, and waits until `count` requests wait in line.
async fn waits(proxy: &Proxy, target: &str, count: usize) -> Raw {
    let mut client = proxy.raw().await;
    client.send(get(target)).await;
    are_waiting(proxy, count).await;
    client
}

async fn are_waiting(proxy: &Proxy, count: usize) {
    let what = format!("{count} wait");
    wait::until(&what, || proxy.pool().waiting == count).await;
}

/// Sends GET `/first`, which takes the only place of `slow`.
async fn first(proxy: &Proxy, slow: &Slow) -> Raw {
    let mut client = proxy.raw().await;
    client.send(get("/first")).await;
    wait::until("the server is busy", || slow.backend.requests() == 1).await;
    client
}

/// lbd says that there is no room, and when to come again.
fn assert_busy(answer: &Response) {
    assert_eq!((answer.status, answer.field("server")), (503, Some("lbd")));
    assert_eq!(answer.field("retry-after"), Some("1"));
}

#[tokio::test]
async fn requests_wait_and_are_answered_in_their_order() {
    let (slow, proxy) = before(LINE).await;
    let mut clients = vec![first(&proxy, &slow).await];
    for i in 1..=5 {
        clients.push(waits(&proxy, &format!("/{i}"), i).await);
    }
    assert_eq!(slow.backend.requests(), 1);
    for (i, client) in clients.iter_mut().enumerate() {
        slow.answers_one();
        assert_eq!(client.response().await.status, 200);
        let served = (i + 2).min(6);
        wait::until("the next one's turn", || slow.backend.requests() == served).await;
    }
    assert_eq!(slow.targets(), ["/first", "/1", "/2", "/3", "/4", "/5"]);
    assert_eq!(proxy.pool().waiting, 0);
}

#[tokio::test]
async fn one_more_than_the_line_has_room_for_is_503_at_once() {
    let (slow, proxy) = before("queue = { size = 2, timeout = \"1h\" }").await;
    let mut served = first(&proxy, &slow).await;
    let mut one = waits(&proxy, "/1", 1).await;
    let mut two = waits(&proxy, "/2", 2).await;
    for _ in 0..3 {
        assert_busy(&proxy.get("/3").await);
    }
    slow.allowed.add_permits(3);
    for client in [&mut served, &mut one, &mut two] {
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(slow.backend.requests(), 3);
}

#[tokio::test]
async fn a_body_waits_too() {
    let (slow, proxy) = before(LINE).await;
    let mut served = first(&proxy, &slow).await;
    let mut client = proxy.raw().await;
    let body = "x".repeat(100_000);
    let head = format!(
        "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head + &body).await;
    are_waiting(&proxy, 1).await;
    slow.allowed.add_permits(2);
    assert_eq!(served.response().await.status, 200);
    assert_eq!(client.response().await.text(), "/post");
    assert_eq!(slow.backend.last().body.data.len(), 100_000);
}

#[tokio::test]
async fn whoever_waits_goes_where_there_is_room_first() {
    let (a, b) = (Slow::start().await, Slow::start().await);
    let proxy = Proxy::start(&app(&[a.server(), b.server()], LINE)).await;
    let mut clients = Vec::new();
    for busy in 1..=2 {
        let mut client = proxy.raw().await;
        client.send(get("/first")).await;
        let come = || a.backend.requests() + b.backend.requests() == busy;
        wait::until("a server is busy", come).await;
        clients.push(client);
    }
    let mut next = waits(&proxy, "/next", 1).await;
    b.allowed.add_permits(2);
    assert_eq!(next.response().await.text(), "/next");
    assert_eq!((a.backend.requests(), b.backend.requests()), (1, 2));
}

#[tokio::test]
async fn nobody_waits_while_another_server_has_room() {
    let (a, b) = (Slow::start().await, Slow::start().await);
    let servers = [a.server(), b.backend.server_with("backup = true")];
    let proxy = Proxy::start(&app(&servers, LINE)).await;
    let _first = first(&proxy, &a).await;
    b.answers_one();
    assert_eq!(proxy.get("/second").await.text(), "/second");
    assert_eq!(b.backend.requests(), 1);
}

#[tokio::test]
async fn those_who_wait_are_served_after_a_reload() {
    let slow = Slow::start().await;
    let text = app(&[slow.server()], LINE);
    let mut proxy = Proxy::start(&text).await;
    let mut clients = [
        first(&proxy, &slow).await,
        waits(&proxy, "/1", 1).await,
        waits(&proxy, "/2", 2).await,
    ];
    proxy.reload(&text).await;
    assert_eq!(proxy.pool().waiting, 2, "it is the same line");
    let mut last = waits(&proxy, "/3", 3).await;
    slow.allowed.add_permits(4);
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(last.response().await.text(), "/3");
    assert_eq!(slow.targets(), ["/first", "/1", "/2", "/3"]);
}

#[tokio::test]
async fn those_who_wait_find_a_server_that_a_reload_brings() {
    let (slow, new) = (Slow::start().await, Slow::start().await);
    let mut proxy = Proxy::start(&app(&[slow.server()], LINE)).await;
    let _first = first(&proxy, &slow).await;
    let mut next = waits(&proxy, "/next", 1).await;
    new.answers_one();
    proxy
        .reload(&app(&[slow.server(), new.server()], LINE))
        .await;
    assert_eq!(next.response().await.text(), "/next");
    assert_eq!(new.backend.requests(), 1);
}

#[tokio::test]
async fn one_who_waits_probes_a_server_when_its_time_has_come() {
    let (slow, mut failing) = (Slow::start().await, Backend::refuses());
    let servers = [slow.server(), failing.server()];
    let keys = format!("{LINE}\nmax_fails = 1\nfail_timeout = \"500ms\"");
    let proxy = Proxy::start(&app(&servers, &keys)).await;
    let _first = first(&proxy, &slow).await;
    assert_eq!(proxy.get("/").await.status, 502);
    failing.start_as(ok("well"));
    let mut next = waits(&proxy, "/next", 1).await;
    assert_eq!(next.response().await.text(), "well");
    assert_eq!(slow.backend.requests(), 1);
}

#[tokio::test]
async fn a_request_that_failed_elsewhere_does_not_wait() {
    let (slow, dead) = (Slow::start().await, Backend::refuses());
    let servers = [slow.server(), dead.server_with("max_fails = 0")];
    let proxy = Proxy::start(&app(&servers, LINE)).await;
    let _first = first(&proxy, &slow).await;
    assert_eq!(proxy.get("/").await.status, 502);
}

/// Answers 200 while it has a place free for each, and 500 beyond that.
fn strict(places: &Arc<Semaphore>) -> Behaviour {
    let free = Arc::clone(places);
    Behaviour::new(move |mut peer| {
        let free = Arc::clone(&free);
        async move {
            loop {
                peer.request().await?;
                let place = free.try_acquire();
                let status = if place.is_ok() { 200 } else { 500 };
                tokio::task::yield_now().await;
                drop(place);
                let head = format!("HTTP/1.1 {status} Said So\r\nContent-Length: 0\r\n\r\n");
                peer.send(head).await?;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_requests_of_all_workers_each_is_answered_and_none_beyond_max_conns() {
    const PLACES: usize = 3;
    let places = Arc::new(Semaphore::new(PLACES));
    let backend = Backend::start(strict(&places)).await;
    let server = backend.server_with(&format!("max_conns = {PLACES}"));
    let pool = app(&[server], "queue = { size = 1000, timeout = \"1h\" }");
    let text = file("", "", &pool).replace("workers = 1", "workers = 2");
    let proxy = Proxy::start_file(&text).await;
    let addr = proxy.addr();
    let mut clients = JoinSet::new();
    for _ in 0..40 {
        clients.spawn(async move {
            let mut client = Client::connect(addr).await;
            for _ in 0..25 {
                assert_eq!(client.get("/").await.status, 200);
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("every request is answered");
    }
    assert_eq!((backend.requests(), proxy.pool().waiting), (1000, 0));
}
