//! A client that says exactly the bytes it is given and reads what comes back, strictly and under a deadline.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;
use tokio::time::interval;

use super::connect::{connect, connect_from};
use super::wait;
use super::wire::{Body, Fields, Framing, Head, Reader};

/// One connection.
pub(crate) struct Raw {
    reader: Reader<OwnedReadHalf>,
    /// None once [`Raw::keep_sending`] or [`Raw::drip`] has it.
    writer: Option<OwnedWriteHalf>,
}

impl Raw {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::new(connect(addr).await)
    }

    /// Connects from an address of our choice in 127.0.0.0/8.
    pub(crate) async fn connect_from(source: &str, addr: SocketAddr) -> Self {
        Self::new(connect_from(source, addr).await)
    }

    fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            reader: Reader::new(reader),
            writer: Some(writer),
        }
    }

    /// Waits until the proxy has accepted a connection over which nothing was sent: the kernel hands
    /// it over after a second only.
    pub(crate) async fn accepted(&self) {
        let writer = self.writer.as_ref().expect("the writer is here");
        let ours = writer.local_addr().expect("it is connected").port();
        wait::until("the connection is accepted", || {
            let table = fs::read_to_string("/proc/net/tcp").expect("Linux says so");
            table.lines().any(|line| has_owner(line, ours))
        })
        .await;
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes)
            .await
            .expect("the proxy takes what the client says");
    }

    /// As [`Raw::send`], for a connection that may be closed by now.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let writer = self.writer.as_mut().expect("the writer is here");
        wait::within("sending", writer.write_all(bytes.as_ref())).await
    }

    /// Sends `bytes` again and again, until the proxy does not take them any longer.
    pub(crate) fn keep_sending(&mut self, bytes: Vec<u8>) -> JoinHandle<()> {
        let mut writer = self.writer.take().expect("the writer is here");
        tokio::spawn(async move { while writer.write_all(&bytes).await.is_ok() {} })
    }

    /// Sends `bytes` one by one at this pace, until the proxy does not take them any longer.
    pub(crate) fn drip(&mut self, bytes: Vec<u8>, pace: Duration) -> JoinHandle<()> {
        let mut writer = self.writer.take().expect("the writer is here");
        tokio::spawn(async move {
            let mut pace = interval(pace);
            for byte in bytes {
                pace.tick().await;
                if writer.write_all(&[byte]).await.is_err() {
                    break;
                }
            }
            // Ending the task would end our side of the connection.
            std::future::pending().await
        })
    }

    /// The next answer, to anything but HEAD. Interim answers (1xx) come one by one, too.
    pub(crate) async fn response(&mut self) -> Response {
        self.try_response("GET")
            .await
            .expect("a well-formed, complete answer")
    }

    /// The next answer to a request with `method`, or why it is none: `InvalidData`, `UnexpectedEof`, a reset.
    pub(crate) async fn try_response(&mut self, method: &str) -> io::Result<Response> {
        wait::within("the answer", async {
            let head = self.reader.head().await?;
            let mut response = Response::parse(head)?;
            let framing = response.framing(method)?;
            response.body = self.reader.body(framing).await?;
            Ok(response)
        })
        .await
    }

    /// The head of the next answer alone; its body stays in the connection.
    pub(crate) async fn response_head(&mut self) -> Response {
        let head = wait::within("the head of the answer", self.reader.head()).await;
        head.and_then(Response::parse).expect("a well-formed head")
    }

    /// [`Raw::send`] and [`Raw::response`].
    pub(crate) async fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        self.send(bytes).await;
        self.response().await
    }

    /// The next `length` bytes, or as many as came before the connection broke; taken 64 KB at a time at this pace.
    pub(crate) async fn slowly(&mut self, length: usize, pace: Duration) -> Vec<u8> {
        let (mut bytes, mut pace) = (Vec::new(), interval(pace));
        while bytes.len() < length {
            pace.tick().await;
            let next = self.reader.exactly((length - bytes.len()).min(65_536));
            match wait::within("more of the answer", next).await {
                Ok(piece) => bytes.extend(piece),
                Err(_) => {
                    bytes.extend(self.reader.unread());
                    break;
                }
            }
        }
        bytes
    }

    /// All that comes until the proxy closes, a reset counting as a close.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        match wait::within("the end of the connection", self.reader.rest()).await {
            Ok(rest) => rest,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.reader.unread(),
            Err(error) => panic!("reading to the end: {error}"),
        }
    }

    /// The proxy closes, and says nothing more before it does.
    pub(crate) async fn ends(&mut self) {
        let rest = self.rest().await;
        assert!(
            rest.is_empty(),
            "unexpected bytes: {:?}",
            String::from_utf8_lossy(&rest)
        );
    }
}

/// Whether a line of /proc/net/tcp is a socket in some process's hands with `port` at its other end.
fn has_owner(line: &str, port: u16) -> bool {
    const REMOTE: usize = 2;
    const INODE: usize = 9;
    let columns: Vec<_> = line.split_whitespace().collect();
    let remote = columns
        .get(REMOTE)
        .and_then(|address| address.split_once(':'));
    remote.is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port))
        && columns.get(INODE).is_some_and(|inode| *inode != "0")
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Body,
    head: Head,
}

impl Response {
    fn parse(head: Head) -> io::Result<Self> {
        let mut words = head.start.splitn(3, ' ');
        let version = words.next().unwrap_or_default().to_owned();
        let status = words
            .next()
            .filter(|code| code.len() == 3)
            .and_then(|code| code.parse().ok());
        match status {
            Some(status) if version == "HTTP/1.1" || version == "HTTP/1.0" => Ok(Self {
                version,
                status,
                fields: head.fields.clone(),
                body: Body::default(),
                head,
            }),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("status line {:?}", head.start),
            )),
        }
    }

    fn framing(&self, method: &str) -> io::Result<Framing> {
        let framing = self.head.framing()?;
        Ok(match self.status {
            100..200 | 204 | 304 => Framing::Empty,
            _ if method == "HEAD" => Framing::Empty,
            _ => framing.unwrap_or(Framing::UntilClose),
        })
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body.data).into_owned()
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.fields.has("transfer-encoding")
    }
}
