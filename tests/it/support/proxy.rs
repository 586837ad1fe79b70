//! An in-process lbd on a port that the system chose.

use std::net::SocketAddr;
use std::time::Duration;

use lbd::config::{self, Config, SourceFile};
use lbd::server::{Server, Status};
use lbd::upstream::{PoolStatus, ServerStatus};

use super::client::Client;
use super::raw::{Raw, Response};
use super::wait;

/// A running server. Dropping it stops it, too, without the drain and the last flush of the log.
pub(crate) struct Proxy(Server);

impl Proxy {
    /// One listener and the routes and pools of `rest`.
    pub(crate) async fn start(rest: &str) -> Self {
        Self::start_file(&file("", "", rest)).await
    }

    /// The same with further keys for the listener.
    pub(crate) async fn start_with(listener: &str, rest: &str) -> Self {
        Self::start_file(&file("", listener, rest)).await
    }

    /// From the text of a whole lb.toml.
    pub(crate) async fn start_file(text: &str) -> Self {
        match wait::within("starting", Server::start(load(text))).await {
            Ok(server) => Self(server),
            Err(error) => panic!("starting: {error}"),
        }
    }

    /// The address of the first listener.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addrs()[0]
    }

    /// All addresses, in file order.
    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        self.0.listen_addrs()
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.addr()).await
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.addr()).await
    }

    /// GET over a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Response {
        self.client().await.get(target).await
    }

    /// Any request over a connection of its own.
    pub(crate) async fn request(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.client()
            .await
            .request(method, target, fields, body)
            .await
    }

    /// What has gone wrong on clients' connections: handshakes, and floods of frames.
    pub(crate) fn troubles(&self) -> (u64, u64) {
        let status = self.status();
        let handshakes = status.listeners.iter().map(|own| own.tls_failures);
        (handshakes.sum(), status.h2_floods)
    }

    /// What operators are told.
    pub(crate) fn status(&self) -> Status {
        self.0.status()
    }

    /// What has happened, as they are told.
    pub(crate) fn events(&self) -> &lbd::telemetry::Events {
        self.0.events()
    }

    /// What they are told of the only pool.
    pub(crate) fn pool(&self) -> PoolStatus {
        self.status().pools.remove(0)
    }

    /// What they are told of its server at `addr`.
    pub(crate) fn server(&self, addr: SocketAddr) -> ServerStatus {
        let mut servers = self.pool().servers.into_iter();
        let server = servers.find(|server| server.server == addr.to_string());
        server.expect("the pool has this server")
    }

    /// To one listener and the routes and pools of `rest`.
    pub(crate) async fn reload(&mut self, rest: &str) {
        let reloaded = self.try_reload(&file("", "", rest)).await;
        reloaded.expect("a good file is taken");
    }

    /// To a whole lb.toml; gives the error's text.
    pub(crate) async fn try_reload(&mut self, text: &str) -> Result<(), String> {
        let reloaded = wait::within("reloading", self.0.reload(load(text))).await;
        reloaded.map_err(|error| error.to_string())
    }

    /// As [`Proxy::stop`], with a deadline of the caller's choice (`None`: none at all), and more than once.
    pub(crate) async fn shutdown(&self, deadline: Option<Duration>) {
        wait::within("stopping", self.0.shutdown(deadline)).await;
    }

    /// Graceful, and the logs are on disk when it returns.
    pub(crate) async fn stop(self) {
        self.shutdown(Some(Duration::from_secs(1))).await;
    }
}

fn load(text: &str) -> Config {
    match config::load(&SourceFile::new("lb.toml", text)) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{report}\n--- lb.toml ---\n{text}"),
    }
}

/// A whole lb.toml: the keys of `[log]` (none: no access log), those of the one listener, then the rest.
pub(crate) fn file(log: &str, listener: &str, rest: &str) -> String {
    let log = if log.is_empty() {
        "access = \"off\""
    } else {
        log
    };
    format!("workers = 1\n[log]\n{log}\n[[listeners]]\nbind = \"127.0.0.1:0\"\n{listener}\n{rest}")
}

/// Everything to one pool, `app`, with these servers and keys.
pub(crate) fn app(servers: &[String], keys: &str) -> String {
    app_at("path = \"/\"", servers, keys)
}

/// One route with these keys to one pool, `app`, with these servers and keys.
pub(crate) fn app_at(route: &str, servers: &[String], keys: &str) -> String {
    let servers = servers.join(", ");
    format!("[[routes]]\n{route}\npool = \"app\"\n[pools.app]\nservers = [{servers}]\n{keys}\n")
}

/// A route with these keys that answers 200 with `body`.
pub(crate) fn says(route: &str, body: &str) -> String {
    format!("[[routes]]\n{route}\nrespond = {{ status = 200, body = \"{body}\" }}\n")
}
