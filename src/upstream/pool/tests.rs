use std::{
    net::IpAddr,
    pin::pin,
    task::{Context, Poll, Waker},
};

use tokio::time::Instant;

use super::*;
use crate::{
    config::{ServerAddress, SourceFile},
    net::Timers,
    upstream::{
        failure::{Failure, FailureKind},
        peer::PeerId,
    },
};

const DIED: Failure = Failure {
    kind: FailureKind::Error,
    sent: true,
    reason: "closed before answering",
};

fn pool_config(body: &str) -> config::Pool {
    let text = format!("[[listeners]]\nbind = \"127.0.0.1:80\"\n[pools.p]\n{body}");
    config::load(&SourceFile::new("lb.toml", text))
        .unwrap()
        .config
        .pools
        .remove(0)
}

fn pool(body: &str) -> Arc<Pool> {
    let pool = Arc::new(
        Pool::new(
            pool_config(body),
            &Resolver::default(),
            &Events::default(),
            None,
        )
        .unwrap(),
    );
    pool.begin();
    pool
}

fn context(now: Instant, tried: &[PeerId]) -> PickContext<'_> {
    PickContext {
        now,
        client: IpAddr::from([192, 168, 110, 7]),
        hash_key: b"",
        session: None,
        tried,
        avoided: &[],
    }
}

fn pick(pool: &Arc<Pool>, now: Instant, tried: &[PeerId]) -> Result<Lease, NoLivePeer> {
    pool.pick(&context(now, tried))
}

fn port(pool: &Arc<Pool>, now: Instant) -> u16 {
    pick(pool, now, &[]).map_or(0, |lease| lease.peer().address().port())
}

fn fail_once(pool: &Arc<Pool>, now: Instant, port: u16) {
    loop {
        let mut lease = pick(pool, now, &[]).unwrap();
        if lease.peer().address().port() == port {
            return lease.failed(now, &DIED);
        }
        lease.succeeded(now);
    }
}

#[test]
fn turns_follow_the_weights() {
    let pool = pool("servers = [{ address = \"10.0.0.1:1\", weight = 2 }, \"10.0.0.2:2\"]");
    let now = Instant::now();
    assert_eq!([0; 6].map(|_| port(&pool, now)), [1, 2, 1, 1, 2, 1]);
}

#[test]
fn ip_hash_keeps_a_network_on_one_server_while_it_lives() {
    let pool = pool("balance = \"ip_hash\"\nservers = [\"10.0.0.1:1\", \"10.0.0.2:2\"]");
    let now = Instant::now();
    assert_eq!([0; 4].map(|_| port(&pool, now)), [2; 4]);
    fail_once(&pool, now, 2);
    assert_eq!([0; 4].map(|_| port(&pool, now)), [1; 4]);
}

#[test]
fn a_server_that_failed_is_out_until_one_request_has_probed_it() {
    let pool = pool("fail_timeout = \"10s\"\nservers = [\"10.0.0.1:1\", \"10.0.0.2:2\"]");
    let start = Instant::now();
    fail_once(&pool, start, 2);
    assert_eq!([0; 4].map(|_| port(&pool, start)), [1; 4]);
    let later = start + Duration::from_secs(10);
    #[expect(clippy::needless_collect, reason = "all six must be in flight at once")]
    let leases: Vec<_> = (0..6).map(|_| pick(&pool, later, &[]).unwrap()).collect();
    let mut probes: Vec<_> = leases
        .into_iter()
        .filter(|lease| lease.peer().address().port() == 2)
        .collect();
    assert_eq!(probes.len(), 1);
    probes[0].succeeded(later);
    drop(probes);
    assert!([0; 2].map(|_| port(&pool, later)).contains(&2));
}

#[test]
fn a_client_that_leaves_a_probe_lets_the_next_request_probe() {
    let pool = pool("fail_timeout = \"10s\"\nservers = [\"10.0.0.1:1\", \"10.0.0.2:2\"]");
    let start = Instant::now();
    fail_once(&pool, start, 2);
    let later = start + Duration::from_secs(10);
    let abandoned = (0..4).filter(|_| port(&pool, later) == 2).count();
    let again = (0..4)
        .filter(|_| port(&pool, later + Duration::from_secs(1)) == 2)
        .count();
    assert!(abandoned >= 1 && again >= 1);
}

#[test]
fn the_only_server_is_never_taken_out() {
    let pool = pool("servers = [\"10.0.0.1:1\", { address = \"10.0.0.2:2\", down = true }]");
    let now = Instant::now();
    for _ in 0..10 {
        pick(&pool, now, &[]).unwrap().failed(now, &DIED);
    }
    assert_eq!(port(&pool, now), 1);
}

#[test]
fn a_backup_serves_only_when_nobody_else_can() {
    let pool = pool("servers = [\"10.0.0.1:1\", { address = \"10.0.0.2:2\", backup = true }]");
    let now = Instant::now();
    assert_eq!([0; 3].map(|_| port(&pool, now)), [1; 3]);
    let first = pick(&pool, now, &[]).unwrap();
    let second = pick(&pool, now, &[first.peer().id()]).unwrap();
    assert_eq!(second.peer().address().port(), 2);
}

#[test]
fn max_conns_is_a_limit_and_a_place_that_is_left_can_be_taken() {
    let pool = pool("servers = [{ address = \"10.0.0.1:1\", max_conns = 2 }]");
    let now = Instant::now();
    let first = pick(&pool, now, &[]).unwrap();
    let second = pick(&pool, now, &[]).unwrap();
    assert_eq!(first.peer().in_flight(), 2);
    assert!(pick(&pool, now, &[]).is_err());
    drop(second);
    assert_eq!(port(&pool, now), 1);
}

#[tokio::test]
async fn whoever_comes_when_a_place_is_free_does_not_overtake_those_who_wait() {
    let keys = "servers = [{ address = \"10.0.0.1:1\", max_conns = 1 }]\nqueue = { size = 2 }";
    let (pool, timers, now) = (pool(keys), Timers::new(), Instant::now());
    let (early, late, context) = (timers.timer(), timers.timer(), context(now, &[]));
    let held = pick(&pool, now, &[]).unwrap();
    let mut first = pin!(pool.pick_in_turn(&context, &early));
    let mut second = pin!(pool.pick_in_turn(&context, &late));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    drop(held);
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert!(matches!(first.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    assert!(matches!(second.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
}

#[test]
fn when_all_are_out_it_is_said_until_when() {
    let pool = pool("fail_timeout = \"10s\"\nservers = [\"10.0.0.1:1\", \"10.0.0.2:2\"]");
    let now = Instant::now();
    fail_once(&pool, now, 1);
    fail_once(&pool, now + Duration::from_secs(1), 2);
    let nobody = pick(&pool, now + Duration::from_secs(2), &[]).unwrap_err();
    assert_eq!(
        nobody,
        NoLivePeer {
            pool: "p".to_owned(),
            retry_in: Some(Duration::from_secs(8)),
            is_busy: false,
        }
    );
}

#[test]
fn a_reload_keeps_peers_and_forgets_their_failures() {
    let body = "servers = [\"10.0.0.1:1\", \"10.0.0.2:2\"]";
    let old = pool(body);
    let now = Instant::now();
    fail_once(&old, now, 2);
    let in_flight = pick(&old, now, &[]).unwrap();
    let new = Arc::new(
        Pool::new(
            pool_config(body),
            &Resolver::default(),
            &Events::default(),
            Some(&old),
        )
        .unwrap(),
    );
    new.begin();
    assert!([0; 2].map(|_| port(&new, now)).contains(&2));
    let same = (0..2)
        .filter_map(|_| pick(&new, now, &[]).ok())
        .find(|lease| lease.peer().id() == in_flight.peer().id());
    assert_eq!(same.unwrap().peer().in_flight(), 2);
}

#[test]
fn a_name_without_address_leaves_the_others_to_serve() {
    let pool = pool("servers = [\"no-such-host.invalid:1\", \"10.0.0.2:2\"]");
    assert_eq!([0; 2].map(|_| port(&pool, Instant::now())), [2; 2]);
}

#[test]
fn a_pool_follows_a_name_and_keeps_what_it_knows_of_peers_that_stay() {
    let resolver = Resolver::default();
    let name = ServerAddress::Name("app.internal".to_owned(), 80);
    let resolve = |addresses: &[&str]| {
        let addresses = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        resolver.learn(name.clone(), Ok(addresses));
    };
    resolve(&["10.0.0.1:80"]);
    let config = pool_config("servers = [\"app.internal:80\"]");
    let pool = Arc::new(Pool::new(config, &resolver, &Events::default(), None).unwrap());
    let now = Instant::now();
    let in_flight = pick(&pool, now, &[]).unwrap();
    assert_eq!(&**in_flight.peer().label(), "app.internal:80[10.0.0.1]");
    resolve(&["10.0.0.1:80", "10.0.0.2:80"]);
    assert!(pool.prepare(&Resolver::default()).is_some());
    pool.adopt(&pool.prepare(&resolver).unwrap());
    assert!(pool.prepare(&resolver).is_none());
    let leases = [
        pick(&pool, now, &[]).unwrap(),
        pick(&pool, now, &[]).unwrap(),
    ];
    let hosts = leases
        .each_ref()
        .map(|lease| lease.peer().address().ip().to_string());
    assert_eq!(hosts, ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(leases[0].peer().in_flight(), 2);
}
