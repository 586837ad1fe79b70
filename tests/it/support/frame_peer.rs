//! A server of HTTP/2 in clear that says exactly the frames it is given.
//!
//! By itself it only acknowledges lbd's SETTINGS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::frame::{PREFACE, encode, flag, kind, number};
use super::wire::Reader;

/// A running server. It ends with the test.
pub(crate) struct FramePeer {
    addr: SocketAddr,
    script: Arc<Script>,
    accepting: JoinHandle<()>,
}

/// What is said, and how often it was asked for.
struct Script {
    first: Vec<u8>,
    answer: Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>,
    requests: AtomicUsize,
}

impl FramePeer {
    /// Says `first`, its SETTINGS, on each connection, and what `answer` gives to each head that comes on a stream.
    pub(crate) async fn start(
        first: Vec<u8>,
        answer: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let script = Arc::new(Script {
            first,
            answer: Box::new(answer),
            requests: AtomicUsize::new(0),
        });
        let said = Arc::clone(&script);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = Arc::clone(&said);
                // A connection that fails ends; what the test wants to know of it is in the record.
                tokio::spawn(async move { script.say(stream).await });
            }
        });
        Self {
            addr,
            script,
            accepting,
        }
    }

    /// This server as an element of `servers`.
    pub(crate) fn server(&self) -> String {
        format!("\"{}\"", self.addr)
    }

    /// Heads that came so far.
    pub(crate) fn requests(&self) -> usize {
        self.script.requests.load(Ordering::SeqCst)
    }
}

impl Drop for FramePeer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Script {
    async fn say(&self, stream: TcpStream) -> io::Result<()> {
        let mut reader = Reader::new(stream);
        reader.exactly(PREFACE.len()).await?;
        reader.source().write_all(&self.first).await?;
        loop {
            let head = reader.exactly(9).await?;
            let length = number(&[0, head[0], head[1], head[2]]) as usize;
            reader.exactly(length).await?;
            let said = match head[3] {
                kind::HEADERS => {
                    self.requests.fetch_add(1, Ordering::SeqCst);
                    (self.answer)(number(&head[5..]))
                }
                kind::SETTINGS if head[4] & flag::ACK == 0 => {
                    encode(kind::SETTINGS, flag::ACK, 0, &[])
                }
                _ => continue,
            };
            reader.source().write_all(&said).await?;
        }
    }
}
