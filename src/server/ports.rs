//! Ports: which a configuration wants, and sockets bound to them, one for each worker.

use std::net::SocketAddr;

use super::{
    StartError,
    worker::{BoundSocket, Port, Service},
};
use crate::{
    config::{self, At, Config, StreamProtocol},
    net::{bind, bind_datagrams},
};

/// A port that is listened on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// As the file says it.
    pub(super) configured: Port,
    /// With the port that the system chose, if the file says 0.
    pub(super) actual: SocketAddr,
}

/// Sockets for one port, one for each worker.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) bound: Bound,
    pub(super) sockets: Vec<BoundSocket>,
}

pub(super) fn ports(config: &Config) -> Vec<Port> {
    let listeners = config.listeners.iter();
    let listeners = listeners.flat_map(|listener| ports_for(&listener.bind, Service::Http));
    let streams = config.streams.iter();
    let streams = streams.flat_map(|stream| ports_for(&stream.bind, service_of(stream)));
    listeners.chain(streams).collect()
}

fn ports_for(bind: &[At<SocketAddr>], service: Service) -> impl Iterator<Item = Port> {
    bind.iter().map(move |bind| Port {
        address: bind.value,
        service,
    })
}

fn service_of(stream: &config::Stream) -> Service {
    match stream.protocol {
        StreamProtocol::Udp => Service::Datagrams,
        StreamProtocol::Tcp => Service::Stream,
    }
}

/// Binds `ports`, `count` sockets each; `current` is what this process listens on already.
pub(super) fn bind_all(
    ports: Vec<Port>,
    count: usize,
    current: &[Bound],
) -> Result<Vec<Sockets>, StartError> {
    let is_udp = |port: Port| port.service == Service::Datagrams;
    let mut ours: Vec<(bool, u16)> = current
        .iter()
        .map(|bound| (is_udp(bound.configured), bound.actual.port()))
        .collect();
    let mut all = Vec::with_capacity(ports.len());
    for configured in ports {
        let is_ours = ours.contains(&(is_udp(configured), configured.address.port()));
        let (sockets, actual) = bind_port(configured, count, is_ours)?;
        ours.push((is_udp(configured), actual.port()));
        all.push(Sockets {
            bound: Bound { configured, actual },
            sockets,
        });
    }
    Ok(all)
}

/// `count` sockets, and the address that they have.
fn bind_port(
    port: Port,
    count: usize,
    is_ours: bool,
) -> Result<(Vec<BoundSocket>, SocketAddr), StartError> {
    if port.service == Service::Datagrams {
        let sockets = bind_datagrams(port.address, count, is_ours)?;
        let actual = sockets.first().map(std::net::UdpSocket::local_addr);
        let actual = actual.unwrap_or(Ok(port.address))?;
        return Ok((sockets.into_iter().map(BoundSocket::Udp).collect(), actual));
    }
    // A server behind a stream may be the one that speaks first.
    let is_silent_at_first = port.service == Service::Http;
    let sockets = bind(port.address, count, is_ours, is_silent_at_first)?;
    let actual = sockets.first().map(std::net::TcpListener::local_addr);
    let actual = actual.unwrap_or(Ok(port.address))?;
    Ok((sockets.into_iter().map(BoundSocket::Tcp).collect(), actual))
}

/// Says what is served, so that a look at the log answers "did it take my change?".
pub(super) fn announce(config: &Config, bound: &[Bound]) {
    let names = |count: usize, name: &Option<At<String>>| {
        let name = name.as_ref().map(|name| format!(" ({})", name.value));
        std::iter::repeat_n(name.unwrap_or_default(), count)
    };
    let of_listeners = config.listeners.iter();
    let of_listeners = of_listeners.flat_map(|l| names(l.bind.len(), &l.name));
    let of_streams = config.streams.iter();
    let of_streams = of_streams.flat_map(|s| names(s.bind.len(), &s.name));
    // Both in the order of the file.
    for (bound, name) in bound.iter().zip(of_listeners.chain(of_streams)) {
        let udp = match bound.configured.service {
            Service::Datagrams => "UDP ",
            Service::Http | Service::Stream => "",
        };
        tracing::info!("listening on {udp}{}{name}", bound.actual);
    }
    for pool in &config.pools {
        let count = pool.servers.len();
        let plural = if count == 1 { "" } else { "s" };
        tracing::info!(
            "pool {}: {count} server{plural}, {}",
            pool.name.value,
            pool.balance
        );
    }
}
