//! Files with `[[streams]]`, beside one listener that has no route, and what they log.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::certs::Identity;
use super::client::get;
use super::proxy::Proxy;
use super::wait;
use super::wire::{Framing, Reader};

/// A pool of this name, with these servers and keys.
pub(crate) fn pool(name: &str, servers: &[String], keys: &str) -> String {
    let servers = servers.join(", ");
    format!("[pools.{name}]\nservers = [{servers}]\n{keys}\n")
}

/// A stream with these keys to one pool, `app`, with these servers and keys.
pub(crate) fn stream(keys: &str, servers: &[String], pool_keys: &str) -> String {
    // Not where the listener is, so that a reload can tell the two apart.
    stream_at("127.0.0.2:0", keys, servers, pool_keys)
}

/// The same at an address of the test's choice.
pub(crate) fn stream_at(bind: &str, keys: &str, servers: &[String], pool_keys: &str) -> String {
    let pool = pool("app", servers, pool_keys);
    format!("[[streams]]\nbind = \"{bind}\"\npool = \"app\"\n{keys}\n{pool}")
}

/// The key that ends TLS with this certificate, and with further keys.
pub(crate) fn ends_tls(identity: &Identity, keys: &str) -> String {
    let comma = if keys.is_empty() { "" } else { ", " };
    format!(
        "tls = {{ certificates = [{{ {} }}]{comma}{keys} }}",
        identity.keys()
    )
}

/// The address of the first stream.
pub(crate) fn addr(proxy: &Proxy) -> SocketAddr {
    proxy.addrs()[1]
}

/// lbd with these streams and pools, and the address of the first stream.
pub(crate) async fn start(rest: &str) -> (Proxy, SocketAddr) {
    let proxy = Proxy::start(rest).await;
    let addr = addr(&proxy);
    (proxy, addr)
}

/// The body of the answer to GET / over a connection of any kind.
pub(crate) async fn ask(connection: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let mut reader = Reader::new(connection);
    let asking = async {
        reader.source().write_all(&get("/")).await?;
        reader.source().flush().await?;
        let head = reader.head().await?;
        let framing = head.framing()?.unwrap_or(Framing::UntilClose);
        reader.body(framing).await
    };
    let answer = wait::within("the answer", asking).await;
    let body = answer.expect("a well-formed, complete answer");
    String::from_utf8_lossy(&body.data).into_owned()
}

/// Bytes that differ from their neighbours, so that a mix-up shows.
pub(crate) fn long(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i ^ (i >> 8)) as u8).collect()
}
