//! A server of HTTP/2 in clear: what it does with each request, by name, and a record of what came.

use std::future::Future;
use std::net::SocketAddr;
use std::ops::RangeBounds;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response, request};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::behaviour::Gate;

/// A whole request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) head: request::Parts,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    /// Its number over all connections, from 1.
    pub(crate) number: usize,
}

impl Call {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let value = self.head.headers.get(name)?;
        Some(value.to_str().expect("a field is text"))
    }
}

/// What a server does with a whole request.
#[derive(Clone)]
pub(crate) struct Manner(Arc<dyn Fn(Call, SendResponse<Bytes>) -> Done + Send + Sync>);

type Done = Pin<Box<dyn Future<Output = Result<(), h2::Error>> + Send>>;

impl Manner {
    fn new<F>(act: impl Fn(Call, SendResponse<Bytes>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        Self(Arc::new(move |call, respond| Box::pin(act(call, respond))))
    }
}

/// 200 with `body`.
pub(crate) fn says(body: &'static str) -> Manner {
    Manner::new(move |_, mut respond| async move { answer(&mut respond, body) })
}

/// 200 with `body`, but not before the gate opens.
pub(crate) fn gated(gate: &Gate, body: &'static str) -> Manner {
    let gate = gate.clone();
    Manner::new(move |_, mut respond| {
        let gate = gate.clone();
        async move {
            gate.passed().await;
            answer(&mut respond, body)
        }
    })
}

/// 200 with what came, body and trailers; HEAD gets the length 5 and no body.
pub(crate) fn echoes() -> Manner {
    Manner::new(|call, mut respond| async move {
        let mut head = Response::new(());
        if call.head.method == "HEAD" {
            let length = HeaderValue::from_static("5");
            head.headers_mut().insert("content-length", length);
            return respond.send_response(head, true).map(drop);
        }
        let mut stream = respond.send_response(head, false)?;
        let has_trailers = !call.trailers.is_empty();
        stream.send_data(call.body.into(), !has_trailers)?;
        if has_trailers {
            stream.send_trailers(call.trailers)?;
        }
        Ok(())
    })
}

/// Resets the requests with these numbers for this reason, and says `body` to the others.
pub(crate) fn resets(
    numbers: impl RangeBounds<usize> + Send + Sync + 'static,
    reason: Reason,
    body: &'static str,
) -> Manner {
    Manner::new(move |call, mut respond| {
        let is_reset = numbers.contains(&call.number);
        async move {
            if is_reset {
                respond.send_reset(reason);
                return Ok(());
            }
            answer(&mut respond, body)
        }
    })
}

/// Sends the head of a 200 and half a body, and resets when the gate opens.
pub(crate) fn breaks_off(gate: &Gate) -> Manner {
    let gate = gate.clone();
    Manner::new(move |_, mut respond| {
        let gate = gate.clone();
        async move {
            let mut stream = respond.send_response(Response::new(()), false)?;
            stream.send_data(Bytes::from_static(b"half"), false)?;
            gate.passed().await;
            stream.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
    })
}

/// A gRPC answer: the message that came, and in the trailers that all went well.
pub(crate) fn grpc() -> Manner {
    Manner::new(|call, mut respond| async move {
        let mut head = Response::new(());
        let kind = call.head.headers["content-type"].clone();
        head.headers_mut().insert("content-type", kind);
        let mut stream = respond.send_response(head, false)?;
        stream.send_data(call.body.into(), false)?;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        stream.send_trailers(trailers)
    })
}

fn answer(respond: &mut SendResponse<Bytes>, body: &'static str) -> Result<(), h2::Error> {
    let mut stream = respond.send_response(Response::new(()), false)?;
    stream.send_data(Bytes::from_static(body.as_bytes()), true)
}

/// A running server. It ends with the test.
pub(crate) struct H2Peer {
    addr: SocketAddr,
    record: Arc<Record>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Record {
    connections: AtomicUsize,
    requests: AtomicUsize,
    calls: Mutex<Vec<Call>>,
}

impl H2Peer {
    pub(crate) async fn start(manner: Manner) -> Self {
        Self::start_with(Builder::new(), manner).await
    }

    /// With settings of its own.
    pub(crate) async fn start_with(builder: Builder, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let record: Arc<Record> = Arc::default();
        let seen = Arc::clone(&record);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.connections.fetch_add(1, Ordering::SeqCst);
                let served = serve(builder.clone(), stream, manner.clone(), Arc::clone(&seen));
                // A connection that fails ends; what the test wants to know of it is in the record.
                tokio::spawn(served);
            }
        });
        Self {
            addr,
            record,
            accepting,
        }
    }

    /// This server as an element of `servers`.
    pub(crate) fn server(&self) -> String {
        format!("\"{}\"", self.addr)
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    /// Whole requests so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let calls = self.record.calls.lock();
        calls.expect("no panic under the lock").clone()
    }
}

impl Drop for H2Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    builder: Builder,
    stream: TcpStream,
    manner: Manner,
    record: Arc<Record>,
) -> Result<(), h2::Error> {
    let mut connection = builder.handshake::<_, Bytes>(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let (manner, record) = (manner.clone(), Arc::clone(&record));
        tokio::spawn(async move {
            let call = receive(request, &record).await?;
            (manner.0)(call, respond).await
        });
    }
    Ok(())
}

async fn receive(request: Request<RecvStream>, record: &Record) -> Result<Call, h2::Error> {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        body.extend_from_slice(&piece);
        stream.flow_control().release_capacity(piece.len())?;
    }
    let call = Call {
        head,
        body,
        trailers: stream.trailers().await?.unwrap_or_default(),
        number: record.requests.fetch_add(1, Ordering::SeqCst) + 1,
    };
    let mut calls = record.calls.lock().expect("no panic under the lock");
    calls.push(call.clone());
    Ok(call)
}
