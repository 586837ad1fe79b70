//! Peers by name: what a server does with a connection, mostly wrong, always on purpose.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::peer::{Peer, Request};

/// What a backend does with each of its connections.
#[derive(Clone)]
pub(crate) struct Behaviour(Arc<dyn Fn(Peer) -> Served + Send + Sync>);

impl Behaviour {
    pub(crate) fn new<F>(script: impl Fn(Peer) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self(Arc::new(move |peer| Box::pin(script(peer))))
    }

    /// Answers every request of a keep-alive connection with the bytes that `answer` makes.
    fn answering(answer: impl Fn(&Peer, &Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::new(move |mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                loop {
                    let request = peer.request().await?;
                    peer.send(answer(&peer, &request)).await?;
                }
            }
        })
    }

    pub(crate) fn serve(&self, peer: Peer) -> Served {
        (self.0)(peer)
    }
}

/// A connection being served.
pub(crate) type Served = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A gate that a test opens once, for all who wait before it.
#[derive(Clone)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn passed(&self) {
        let mut gate = self.0.subscribe();
        gate.wait_for(|open| *open)
            .await
            .expect("the gate holds its own sender");
    }
}

// === servers that do as they should ===

/// 200 with `body`, on a connection that stays open.
pub(crate) fn ok(body: &'static str) -> Behaviour {
    answers(200, body)
}

/// `status` with `body`, and the body left out for HEAD.
pub(crate) fn answers(status: u16, body: &'static str) -> Behaviour {
    Behaviour::answering(move |_, request| answer(status, body.as_bytes(), request))
}

/// 200 whose body is the request, head and body to the byte.
pub(crate) fn echo_request() -> Behaviour {
    Behaviour::answering(|_, request| answer(200, &request.bytes(), request))
}

/// 200 whose body is what the request's body carried.
pub(crate) fn echo_body() -> Behaviour {
    Behaviour::answering(|_, request| answer(200, &request.body.data, request))
}

/// 200 whose body is the number of requests so far: a second execution shows.
pub(crate) fn counting() -> Behaviour {
    Behaviour::answering(|peer, request| answer(200, peer.number().to_string().as_bytes(), request))
}

/// These bytes, whatever was asked, on a connection that stays open.
pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Behaviour {
    let bytes = bytes.into();
    Behaviour::answering(move |_, _| bytes.clone())
}

/// 200 with `body`, but not before the gate opens.
pub(crate) fn gated(gate: &Gate, body: &'static str) -> Behaviour {
    let gate = gate.clone();
    Behaviour::new(move |mut peer| {
        let gate = gate.clone();
        async move {
            loop {
                let request = peer.request().await?;
                gate.passed().await;
                peer.send(answer(200, body.as_bytes(), &request)).await?;
            }
        }
    })
}

/// 103 with a Link before every 200, and a 100 of its own (`X-From: peer`) before it reads the body of a request that expects one.
pub(crate) fn informational() -> Behaviour {
    Behaviour::new(|mut peer| async move {
        loop {
            let head = peer.head().await?;
            if head.fields.has("expect") {
                peer.send("HTTP/1.1 100 Continue\r\nX-From: peer\r\n\r\n")
                    .await?;
            }
            let request = peer.body(head).await?;
            peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
                .await?;
            peer.send(answer(200, b"final", &request)).await?;
        }
    })
}

/// Two chunks, then the trailer field `X-Sum`.
pub(crate) fn chunked_with_trailers() -> Behaviour {
    raw(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         6\r\nhello \r\n5\r\nworld\r\n0\r\nX-Sum: 11\r\n\r\n",
    )
}

/// An HTTP/1.0 server: no length, the end of the connection ends the body.
pub(crate) fn http10_close(body: &'static str) -> Behaviour {
    once(move |_| format!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{body}"))
}

/// `parts` bytes of body, `pause` before each.
pub(crate) fn slow_body(parts: usize, pause: Duration) -> Behaviour {
    Behaviour::new(move |mut peer| async move {
        loop {
            peer.request().await?;
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {parts}\r\n\r\n"
            ))
            .await?;
            for _ in 0..parts {
                sleep(pause).await;
                peer.send(".").await?;
            }
        }
    })
}

// === servers that fail ===

/// Takes every request, answers none.
pub(crate) fn never_answers() -> Behaviour {
    Behaviour::new(|mut peer| async move {
        peer.request().await?;
        peer.until_closed().await
    })
}

/// Reads the whole request, then closes.
pub(crate) fn closes_before_answer() -> Behaviour {
    Behaviour::new(|mut peer| async move { peer.request().await.map(drop) })
}

/// Sends the head of a 200, then resets the connection.
pub(crate) fn resets_after_headers() -> Behaviour {
    Behaviour::new(|mut peer| async move {
        peer.request().await?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n")
            .await?;
        peer.reset()
    })
}

/// Announces ten bytes, sends three, closes.
pub(crate) fn short_body() -> Behaviour {
    once(|_| "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nabc".into())
}

/// Promises keep-alive and closes right after its first answer.
pub(crate) fn closes_idle() -> Behaviour {
    once(|request| String::from_utf8_lossy(&answer(200, b"once", request)).into_owned())
}

/// Answers the first request of a connection, and closes when it has read the second: the close crosses the request.
pub(crate) fn drops_second_request() -> Behaviour {
    Behaviour::new(|mut peer| async move {
        while peer.served() < 2 {
            let request = peer.request().await?;
            if peer.served() == 1 {
                peer.send(answer(200, b"first", &request)).await?;
            }
        }
        Ok(())
    })
}

/// Says 413 on sight of the head, and never reads the body.
pub(crate) fn early_413() -> Behaviour {
    Behaviour::new(|mut peer| async move {
        let _head = peer.head().await?;
        peer.send(
            "HTTP/1.1 413 Payload Too Large\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 13\r\n\r\nsays the peer",
        )
        .await?;
        std::future::pending().await
    })
}

/// Answers one request with this body, and stays until the other side goes.
pub(crate) fn once_with(body: Vec<u8>) -> Behaviour {
    Behaviour::new(move |mut peer| {
        let body = body.clone();
        async move {
            peer.request().await?;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            peer.send(head).await?;
            peer.send(body).await?;
            peer.until_closed().await
        }
    })
}

/// A head of more than a megabyte.
pub(crate) fn huge_headers() -> Behaviour {
    let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
    let filler = line.repeat(1100);
    once(move |_| format!("HTTP/1.1 200 OK\r\n{filler}Content-Length: 2\r\n\r\nok"))
}

/// Not HTTP at all.
pub(crate) fn garbage() -> Behaviour {
    once(|_| "\u{1}\u{2}SSH-2.0-OpenSSH_9.2\r\n\r\n".into())
}

/// Both framings in one answer.
pub(crate) fn cl_and_te() -> Behaviour {
    once(|_| {
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into()
    })
}

/// Two lengths that disagree.
pub(crate) fn two_lengths() -> Behaviour {
    once(|_| "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nhello".into())
}

/// Answers one request, then closes.
fn once(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Behaviour {
    let answer = Arc::new(answer);
    Behaviour::new(move |mut peer| {
        let answer = Arc::clone(&answer);
        async move {
            let request = peer.request().await?;
            peer.send(answer(&request)).await
        }
    })
}

fn answer(status: u16, body: &[u8], request: &Request) -> Vec<u8> {
    let length = body.len();
    let mut bytes = format!(
        "HTTP/1.1 {status} Said So\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    if request.method() != "HEAD" {
        bytes.extend(body);
    }
    bytes
}
