//! One connection of a backend, in the hands of a behaviour, and the record of what came over it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::wire::{Body, Fields, Framing, Head, Reader};

/// What a backend has seen, over all its connections.
#[derive(Default)]
pub(super) struct Record {
    pub(super) connections: AtomicUsize,
    pub(super) open: AtomicUsize,
    pub(super) heads: Mutex<Vec<Head>>,
    pub(super) requests: Mutex<Vec<Request>>,
}

/// A whole request, as it reached a backend.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: Head,
    pub(crate) body: Body,
}

impl Request {
    pub(crate) fn method(&self) -> &str {
        self.head.start.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.head.start.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.head.fields
    }

    /// Head and body to the byte.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.head.bytes[..], &self.body.bytes].concat()
    }
}

/// One accepted connection, in the hands of a behaviour.
pub(crate) struct Peer {
    reader: Reader<TcpStream>,
    record: Arc<Record>,
    served: usize,
}

impl Peer {
    pub(super) fn new(stream: TcpStream, record: Arc<Record>) -> Self {
        record.connections.fetch_add(1, Ordering::SeqCst);
        record.open.fetch_add(1, Ordering::SeqCst);
        Self {
            reader: Reader::new(stream),
            record,
            served: 0,
        }
    }

    /// How many requests came over this connection.
    pub(crate) fn served(&self) -> usize {
        self.served
    }

    pub(crate) async fn head(&mut self) -> io::Result<Head> {
        let head = self.reader.head().await?;
        self.record
            .heads
            .lock()
            .expect("no panic under the lock")
            .push(head.clone());
        Ok(head)
    }

    /// The body that belongs to `head`. From here on the request counts.
    pub(crate) async fn body(&mut self, head: Head) -> io::Result<Request> {
        let framing = head.framing()?.unwrap_or(Framing::Empty);
        let body = self.reader.body(framing).await?;
        let request = Request { head, body };
        self.record
            .requests
            .lock()
            .expect("no panic under the lock")
            .push(request.clone());
        self.served += 1;
        Ok(request)
    }

    pub(crate) async fn request(&mut self) -> io::Result<Request> {
        let head = self.head().await?;
        self.body(head).await
    }

    /// The running number of the last request over all connections.
    pub(crate) fn number(&self) -> usize {
        self.record
            .requests
            .lock()
            .expect("no panic under the lock")
            .len()
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.source().write_all(bytes.as_ref()).await
    }

    /// Holds the connection until the other side lets go of it.
    pub(crate) async fn until_closed(&mut self) -> io::Result<()> {
        self.reader.rest().await.map(drop)
    }

    /// Ends the connection with a RST instead of a FIN.
    pub(crate) fn reset(mut self) -> io::Result<()> {
        self.reader.source().set_zero_linger()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.record.open.fetch_sub(1, Ordering::SeqCst);
    }
}
