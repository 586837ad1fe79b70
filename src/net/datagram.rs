//! UDP: sockets for clients, one for each worker on one address, and sockets towards peers.
//!
//! Datagrams are read several at a time (`recvmmsg`), and those of a client that the kernel has put together because
//! they came in a row stay together on their way (GRO, GSO): the `quinn-udp` crate knows how. Sockets towards peers come
//! and go with sessions, and are not worth the ten system calls that it takes to ask for that.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::net::{SendFlags, send, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use super::socket::{BindError, exclusive};

/// Datagrams that are read at a time. More wait in the kernel meanwhile, and other tasks have their turn.
const BATCH: usize = 16;
/// A datagram at its longest, or as many as the kernel puts together.
const LONGEST: usize = 1 << 16;

/// What is waited for: word that a peer is none is no datagram.
const NEWS: Interest = Interest::READABLE.add(Interest::ERROR);

/// Binds `address` with `count` sockets. Port 0 lets the system choose one port for all of them. `port_is_ours`: this
/// process has sockets on the port already, on an address that covers or is covered by this one.
///
/// # Errors
/// The operating system's, and what an operator can do about it.
pub fn bind_datagrams(
    address: SocketAddr,
    count: usize,
    port_is_ours: bool,
) -> Result<Vec<std::net::UdpSocket>, BindError> {
    bind_all(address, count, port_is_ours).map_err(|source| BindError::new(address, source))
}

fn bind_all(
    mut address: SocketAddr,
    count: usize,
    port_is_ours: bool,
) -> io::Result<Vec<std::net::UdpSocket>> {
    if !port_is_ours {
        // As with TCP, but nothing lingers.
        exclusive(&socket(address)?, address)?;
    }
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = socket(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        if let Some(bound) = socket.local_addr()?.as_socket() {
            address = bound;
        }
        sockets.push(socket.into());
    }
    Ok(sockets)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// One worker's socket for the clients of one address.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    abilities: UdpSocketState,
    address: SocketAddr,
}

/// A socket towards one peer, which hears of nobody else.
#[derive(Debug)]
pub struct PeerDatagrams {
    socket: UdpSocket,
}

/// Datagrams that were read together.
#[derive(Debug)]
pub struct Batch {
    space: Vec<u8>,
    metas: [RecvMeta; BATCH],
    len: usize,
}

/// Datagrams in a row from one sender; one, mostly.
#[derive(Clone, Copy, Debug)]
pub struct Received<'b> {
    /// The other end.
    pub from: SocketAddr,
    /// The address of ours that it was sent to.
    pub to: Option<IpAddr>,
    /// The content.
    pub bytes: &'b [u8],
    /// How long each of several is; the last may be shorter.
    pub each: usize,
}

impl Received<'_> {
    /// How many datagrams these are.
    pub fn count(&self) -> u64 {
        self.parts().count() as u64
    }

    /// One after the other. An empty datagram is one, too.
    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let one = self.bytes.is_empty().then_some(&[][..]);
        one.into_iter().chain(self.bytes.chunks(self.each.max(1)))
    }

    fn is_one(&self) -> bool {
        self.bytes.len() <= self.each
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            // Memory that no datagram has reached is none yet.
            space: vec![0; BATCH * LONGEST],
            metas: [RecvMeta::default(); BATCH],
            len: 0,
        }
    }
}

impl Batch {
    /// What was read last.
    pub fn received(&self) -> impl Iterator<Item = Received<'_>> {
        let slots = self.space.chunks(LONGEST).zip(&self.metas).take(self.len);
        slots.map(|(space, meta)| Received {
            from: meta.addr,
            to: meta.dst_ip,
            bytes: &space[..meta.len],
            each: meta.stride,
        })
    }
}

/// Something has come to a socket, and has not been read yet.
#[derive(Debug)]
pub struct Arrived<'s> {
    socket: &'s UdpSocket,
    abilities: &'s UdpSocketState,
    news: Interest,
}

impl Arrived<'_> {
    /// Reads some of it into `batch`; says whether there may be more.
    ///
    /// # Errors
    /// The operating system's, `ConnectionRefused` among them: the other side has said that nobody listens there.
    pub fn read(&mut self, batch: &mut Batch) -> io::Result<bool> {
        batch.len = 0;
        let mut space = batch.space.chunks_mut(LONGEST);
        let mut slots: [_; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(space.next().unwrap_or_default()));
        let metas = &mut batch.metas;
        let read = self.socket.try_io(self.news, || {
            self.abilities.recv(self.socket.into(), &mut slots, metas)
        });
        match read {
            Ok(len) => {
                batch.len = len;
                let is_full = len == BATCH;
                if !is_full {
                    // Those were all: when more come, the reactor says so anew.
                    let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _ = self.socket.try_io(self.news, nothing);
                }
                Ok(is_full)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Datagrams {
    /// Takes a socket that [`bind_datagrams`] made into the runtime that is current.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let abilities = UdpSocketState::new((&socket).into())?;
        allow_fragments(&socket, address)?;
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            abilities,
            address,
        })
    }

    /// Whether it is for every address of the machine, so that it matters which one a client has asked.
    pub fn is_for_every_address(&self) -> bool {
        self.address.ip().is_unspecified()
    }

    /// The address that it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for datagrams from clients.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn arrived(&self) -> io::Result<Arrived<'_>> {
        self.arrived_at(&self.socket).await
    }

    /// Waits for datagrams from `peer`, or for word that it is none.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn arrived_from<'s>(&'s self, peer: &'s PeerDatagrams) -> io::Result<Arrived<'s>> {
        self.arrived_at(&peer.socket).await
    }

    async fn arrived_at<'s>(&'s self, socket: &'s UdpSocket) -> io::Result<Arrived<'s>> {
        let ready = socket.ready(NEWS).await?;
        Ok(Arrived {
            socket,
            // tokio tries for one kind of news at a time.
            news: if ready.is_readable() {
                Interest::READABLE
            } else {
                Interest::ERROR
            },
            abilities: &self.abilities,
        })
    }

    /// Sends what a peer has sent on to `client`; a socket for every address sends it from `from`, which the client has asked.
    ///
    /// # Errors
    /// The operating system's; what there is no room for is lost, as datagrams are.
    pub fn send(
        &self,
        client: SocketAddr,
        from: Option<IpAddr>,
        received: &Received<'_>,
    ) -> io::Result<()> {
        self.send_with(&self.socket, client, from, received)
    }

    /// Sends what a client has sent on to `peer`.
    ///
    /// # Errors
    /// The operating system's, `ConnectionRefused` among them: the peer has said that nobody listens there.
    pub fn send_to(&self, peer: &PeerDatagrams, received: &Received<'_>) -> io::Result<()> {
        if received.is_one() {
            return peer.send(received.bytes);
        }
        let address = peer.socket.peer_addr()?;
        self.send_with(&peer.socket, address, None, received)
    }

    fn send_with(
        &self,
        socket: &UdpSocket,
        to: SocketAddr,
        from: Option<IpAddr>,
        received: &Received<'_>,
    ) -> io::Result<()> {
        let send = |contents, segment_size| {
            let transmit = Transmit {
                destination: to,
                ecn: None,
                contents,
                segment_size,
                src_ip: from,
            };
            self.abilities.try_send(socket.into(), &transmit)
        };
        if received.is_one() {
            return send(received.bytes, None);
        }
        let most = self.abilities.max_gso_segments();
        let is_together =
            received.count() <= most as u64 && send(received.bytes, Some(received.each)).is_ok();
        if !is_together {
            // The way is too narrow for them together, or the system knows no such thing.
            for part in received.parts() {
                send(part, None)?;
            }
        }
        Ok(())
    }
}

impl PeerDatagrams {
    /// A socket for datagrams to and from `address`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = socket(address)?;
        allow_fragments(&socket, address)?;
        socket.connect(&address.into())?;
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
        })
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// The operating system's, `ConnectionRefused` among them: the peer has said that nobody listens there.
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        send(&self.socket, datagram, SendFlags::empty())?;
        Ok(())
    }
}

/// QUIC, for which `quinn-udp` is made, wants datagrams that are too long lost; everybody else wants them there, in
/// pieces if need be, and the first one, too, which finds out that the way is narrow.
fn allow_fragments(socket: &impl AsFd, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() {
        sockopt::set_ip_mtu_discover(socket, sockopt::Ipv4PathMtuDiscovery::DONT)?;
    } else {
        sockopt::set_ipv6_mtu_discover(socket, sockopt::Ipv6PathMtuDiscovery::DONT)?;
    }
    Ok(())
}
