//! Both ends of UDP, under deadlines: sockets in the hands of the test, and servers that say who they are.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::wait;

/// Room for any datagram.
const LARGEST: usize = 1 << 16;

/// One socket.
pub(crate) struct Datagrams(UdpSocket);

impl Datagrams {
    pub(crate) async fn bind() -> Self {
        Self::bind_to("127.0.0.1").await
    }

    /// At an IP address of our choice.
    pub(crate) async fn bind_to(ip: &str) -> Self {
        Self(UdpSocket::bind((ip, 0)).await.expect("a port"))
    }

    /// Where one has been that is gone.
    pub(crate) async fn bind_again(addr: SocketAddr) -> Self {
        Self(UdpSocket::bind(addr).await.expect("the port is free"))
    }

    /// A port from which nothing ever comes but "port unreachable", and which nobody else gets meanwhile: the socket
    /// there is for datagrams of one other socket only.
    pub(crate) async fn unreachable() -> Self {
        let socket = Self::bind().await;
        let own = socket.addr();
        // Itself is as good as any.
        socket.0.connect(own).await.expect("a socket of our own");
        socket
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound socket has an address")
    }

    /// This server as an element of `servers`.
    pub(crate) fn server(&self) -> String {
        format!("\"{}\"", self.addr())
    }

    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>, to: SocketAddr) {
        let bytes = bytes.as_ref();
        let sent = wait::within("sending", self.0.send_to(bytes, to)).await;
        assert_eq!(sent.expect("a datagram can be sent"), bytes.len());
    }

    /// The next datagram, and who sent it.
    pub(crate) async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut bytes = vec![0; LARGEST];
        let received = wait::within("a datagram", self.0.recv_from(&mut bytes)).await;
        let (length, from) = received.expect("a datagram that came");
        bytes.truncate(length);
        (bytes, from)
    }

    /// What `to` answers.
    pub(crate) async fn ask(&self, bytes: impl AsRef<[u8]>, to: SocketAddr) -> Vec<u8> {
        self.send(bytes, to).await;
        let (answer, from) = self.receive().await;
        assert_eq!(from, to, "the answer comes from where the client has asked");
        answer
    }

    /// The same as text.
    pub(crate) async fn ask_text(&self, text: &str, to: SocketAddr) -> String {
        String::from_utf8_lossy(&self.ask(text, to).await).into_owned()
    }
}

/// A datagram, and who sent it.
type Came = (Vec<u8>, SocketAddr);

/// A server that sends back what came behind its name. It ends with the test.
pub(crate) struct Echo {
    addr: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    serving: JoinHandle<()>,
}

impl Echo {
    pub(crate) async fn start(name: &'static str) -> Self {
        let socket = Datagrams::bind().await.0;
        let addr = socket.local_addr().expect("a bound socket has an address");
        let came: Arc<Mutex<Vec<_>>> = Arc::default();
        let record = Arc::clone(&came);
        let serving = tokio::spawn(async move {
            let mut bytes = vec![0; LARGEST];
            loop {
                // An answer that could not be delivered is told here; it is no end.
                let Ok((length, from)) = socket.recv_from(&mut bytes).await else {
                    continue;
                };
                let datagram = bytes[..length].to_vec();
                let answer = [name.as_bytes(), &datagram].concat();
                record
                    .lock()
                    .expect("no panic under the lock")
                    .push((datagram, from));
                let _ = socket.send_to(&answer, from).await;
            }
        });
        Self {
            addr,
            came,
            serving,
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// This server as an element of `servers`.
    pub(crate) fn server(&self) -> String {
        format!("\"{}\"", self.addr)
    }

    /// The datagrams that came, and from where.
    pub(crate) fn came(&self) -> Vec<(Vec<u8>, SocketAddr)> {
        let came = self.came.lock();
        came.expect("no panic under the lock").clone()
    }

    /// From how many addresses they came: each is a session.
    pub(crate) fn sessions(&self) -> usize {
        let mut sources: Vec<_> = self.came().into_iter().map(|(_, from)| from).collect();
        sources.sort();
        sources.dedup();
        sources.len()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
