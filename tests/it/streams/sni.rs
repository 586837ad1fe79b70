//! TLS that passes through unopened: the name that the client asks for chooses the pool.

mod hello;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::support::backend::Backend;
use crate::support::certs::{Authority, Identity};
use crate::support::client::get;
use crate::support::log::{lines, logging};
use crate::support::proxy::Proxy;
use crate::support::secure::{Secure, trusting};
use crate::support::streams::{addr, pool, start};
use crate::support::tls_peer::{TlsPeer, shows};

/// A stream that chooses among pools by these names.
fn by_name(names: &str, pools: &str) -> String {
    let timeouts = "timeouts = { header = \"1s\" }";
    format!("[[streams]]\nbind = \"127.0.0.2:0\"\nsni = {{ {names} }}\n{timeouts}\n{pools}")
}

/// Three servers with certificates of their own, behind a stream with these names.
struct Three {
    authority: Authority,
    identities: [Identity; 3],
    peers: [TlsPeer; 3],
    _proxy: Proxy,
    addr: SocketAddr,
}

impl Three {
    /// The servers are pools a, b and c, and say so.
    async fn behind(names: &str) -> Self {
        let authority = Authority::new();
        let identities = [
            authority.server(&["mqtt.x.example", "*.deep.y.example"]),
            authority.server(&["*.y.example", "*.deep.y.example", "y.example"]),
            authority.server(&["other.example", "*.z.deep.y.example", "127.0.0.1"]),
        ];
        let peers = [
            TlsPeer::start(shows(&identities[0]), "a").await,
            TlsPeer::start(shows(&identities[1]), "b").await,
            TlsPeer::start(shows(&identities[2]), "c").await,
        ];
        let pools: String = ["a", "b", "c"]
            .iter()
            .zip(&peers)
            .map(|(name, peer)| pool(name, &[peer.server()], ""))
            .collect();
        let (proxy, addr) = start(&by_name(names, &pools)).await;
        Self {
            authority,
            identities,
            peers,
            _proxy: proxy,
            addr,
        }
    }

    fn config(&self) -> ClientConfig {
        trusting(&self.authority)
    }

    /// Who asks for `name` is spoken to by this server, from the handshake on.
    async fn reaches(&self, name: &str, config: &Arc<ClientConfig>, index: usize) {
        let mut client = Secure::connect(self.addr, name, config).await;
        let shown = &client.agreed.certificate;
        assert_eq!(*shown, *self.identities[index].certificate(), "{name}");
        let answer = client.exchange(get("/")).await;
        assert_eq!(answer.text(), ["a", "b", "c"][index], "{name}");
        let asked = self.peers[index].calls().pop().expect("the call");
        let asked = asked.name.unwrap_or_else(|| "127.0.0.1".to_owned());
        assert_eq!(asked, name.to_ascii_lowercase());
    }

    /// Who asks for `name` is closed, and no server hears of it.
    async fn refuses(&self, name: &str) {
        let count = || -> usize { self.peers.iter().map(TlsPeer::connections).sum() };
        let before = count();
        let refused = Secure::try_connect(self.addr, name, &Arc::new(self.config())).await;
        assert!(refused.is_err(), "{name}");
        assert_eq!(count(), before, "{name}");
    }
}

#[tokio::test]
async fn the_name_chooses_the_pool_and_the_servers_own_certificate_is_seen() {
    let names = "\"MQTT.x.example\" = \"a\", \"*.y.example\" = \"b\", \"*\" = \"c\"";
    let three = Three::behind(names).await;
    let config = Arc::new(three.config());
    for (name, index) in [
        ("mqtt.x.example", 0),
        ("Mqtt.X.Example", 0),
        ("any.y.example", 1),
        ("other.example", 2),
        // No name at all.
        ("127.0.0.1", 2),
    ] {
        three.reaches(name, &config, index).await;
    }
}

#[tokio::test]
async fn an_exact_name_goes_before_wildcards_and_the_longest_of_those_first() {
    let names = "\"*.y.example\" = \"b\", \"one.deep.y.example\" = \"b\", \
                 \"*.deep.y.example\" = \"a\", \"*.z.deep.y.example\" = \"c\"";
    let three = Three::behind(names).await;
    let config = Arc::new(three.config());
    for (name, index) in [
        ("any.y.example", 1),
        ("one.deep.y.example", 1),
        ("two.deep.y.example", 0),
        ("three.z.deep.y.example", 2),
    ] {
        three.reaches(name, &config, index).await;
    }
    three.refuses("other.example").await;
}

#[tokio::test]
async fn a_name_that_nobody_has_is_closed() {
    let names = "\"mqtt.x.example\" = \"a\", \"*.y.example\" = \"b\"";
    let three = Three::behind(names).await;
    for name in [
        "other.example",
        "x.example",
        "deep.mqtt.x.example",
        // A star stands for something.
        "y.example",
        // No name at all.
        "127.0.0.1",
    ] {
        three.refuses(name).await;
    }
    let config = Arc::new(three.config());
    three.reaches("mqtt.x.example", &config, 0).await;
}

#[tokio::test]
async fn the_access_line_names_the_pool_that_was_chosen() {
    let authority = Authority::new();
    let peer = TlsPeer::start(shows(&authority.server(&["b.example"])), "b").await;
    let dead = Backend::refuses();
    let pools = pool("a", &[dead.server()], "") + &pool("b", &[peer.server()], "");
    let names = "\"a.example\" = \"a\", \"b.example\" = \"b\"";
    let (log, proxy) = logging("", &by_name(names, &pools)).await;
    let config = Arc::new(trusting(&authority));
    for (count, (name, pool, status)) in [("a.example", "a", 502), ("b.example", "b", 200)]
        .into_iter()
        .enumerate()
    {
        drop(Secure::try_connect(addr(&proxy), name, &config).await);
        let line = lines(&log, count + 1).await.remove(count);
        assert!(line.contains(&format!("\" {status} ")), "{line}");
        assert!(line.contains(&format!(" pool={pool} ")), "{line}");
    }
}
