//! One check of one server: the way there, which is the traffic's, and what is asked.

use std::{borrow::Cow, cell::RefCell, net::SocketAddr, rc::Rc, sync::Arc};

use tokio::task::JoinHandle;

use super::{grpc, http, mqtt, tcp};
use crate::{
    config::{self, Check, HealthCheck, HostSent, PeerProtocol, ProxyVersion},
    net::{Endpoints, Extensions, Io, Stream},
    upstream::{failure::Failure, member::Member, pool::Pool, transport::Transport},
};

/// One check of one server.
pub(super) struct Probe<'p> {
    pub(super) pool: &'p config::Pool,
    pub(super) transport: &'p Arc<Transport>,
    /// Where it is asked.
    address: SocketAddr,
    /// How the file calls it.
    pub(super) authority: &'p Arc<str>,
    send_proxy: Option<ProxyVersion>,
    is_for_streams: bool,
    stage: RefCell<Cow<'static, str>>,
}

impl<'p> Probe<'p> {
    pub(super) fn new(pool: &'p Pool, member: &'p Member, check: &HealthCheck) -> Self {
        let mut address = member.peer.address();
        if let Some(port) = check.port {
            address.set_port(port);
        }
        Self {
            pool: pool.config(),
            transport: pool.transport(),
            address,
            authority: &member.authority,
            send_proxy: check.send_proxy,
            is_for_streams: check.is_for_streams,
            stage: RefCell::new("no connection".into()),
        }
    }

    /// How far it had come when time ran out.
    pub(super) fn stage(&self) -> String {
        self.stage.borrow().to_string()
    }

    /// It has come so far.
    pub(super) fn is_at(&self, stage: impl Into<Cow<'static, str>>) {
        self.stage.replace(stage.into());
    }

    /// Asks; what is wrong, in words for a log.
    pub(super) async fn run(&self, check: &Check) -> Result<(), String> {
        match check {
            Check::Http(check) => http::check(self, check).await,
            Check::Tcp { send, expect } => tcp::check(self, send, expect.as_ref()).await,
            Check::Tls => self.connect(!self.is_for_streams).await.map(drop),
            Check::Grpc { service } => grpc::check(self, service).await,
            Check::Mqtt {
                client_id,
                username,
                password,
            } => {
                let login = mqtt::Login {
                    client_id: client_id.as_deref(),
                    username: username.as_deref(),
                    password: password.as_deref(),
                };
                mqtt::check(self, &login).await
            }
        }
    }

    /// A connection as traffic has it; `is_http`: to speak the pool's protocol.
    pub(super) async fn connect(&self, is_http: bool) -> Result<Io, String> {
        let failed = |error| Failure::connecting(&error).reason.to_owned();
        let mut stream = Stream::connect(self.address).await.map_err(failed)?;
        if let Some(version) = self.send_proxy {
            let header = self.proxy_header(version, &stream);
            stream.write_first(&header).await.map_err(failed)?;
        }
        self.is_at("no TLS handshake");
        let secured = self.transport.secure(&mut stream, self.authority, is_http);
        secured.await.map_err(|failure| failure.reason.to_owned())?;
        self.is_at("no answer");
        Ok(Io::new(Rc::new(stream)))
    }

    /// A connection of lbd's own, from here to there.
    fn proxy_header(&self, version: ProxyVersion, stream: &Stream) -> Vec<u8> {
        let ends = Endpoints {
            source: stream.local_address().unwrap_or(self.address),
            destination: self.address,
        };
        match version {
            ProxyVersion::V1 => ends.to_v1(),
            ProxyVersion::V2 => ends.to_v2(&Extensions::default()),
        }
    }

    /// The `Host` that a request names, unless the check says another.
    pub(super) fn host(&self) -> &str {
        match &self.pool.host {
            HostSent::Literal(host) => host,
            HostSent::Client | HostSent::Server => self.authority,
        }
    }

    /// Whether the pool speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.transport.protocol == PeerProtocol::Http2
    }

    /// What URLs of the pool begin with.
    pub(super) fn scheme(&self) -> &'static str {
        match self.pool.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// A task that lasts no longer than the check that it is for.
pub(super) struct Ended(pub(super) JoinHandle<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}
