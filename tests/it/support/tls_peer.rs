//! A server of HTTP/1.1 inside TLS, and a record of who called it, and how.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::certs::{Authority, Identity};
use super::secure::provider;
use super::wire::{Framing, Head, Reader};

/// Shows this certificate.
pub(crate) fn shows(identity: &Identity) -> ServerConfig {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions that the cryptography speaks")
        .with_no_client_auth()
        .with_single_cert(identity.chain(), identity.private_key())
        .expect("a certificate with its key")
}

/// Shows this certificate, and wants to see one that `clients` vouches for.
pub(crate) fn asks(identity: &Identity, clients: &Authority) -> ServerConfig {
    let roots = Arc::new(clients.roots());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions that the cryptography speaks")
        .with_client_cert_verifier(verifier.expect("an authority to trust"))
        .with_single_cert(identity.chain(), identity.private_key())
        .expect("a certificate with its key")
}

/// A running server. It ends with the test.
pub(crate) struct TlsPeer {
    addr: SocketAddr,
    record: Arc<Record>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Record {
    connections: AtomicUsize,
    calls: Mutex<Vec<Call>>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The name that the handshake asked for.
    pub(crate) name: Option<String>,
    /// What the client showed.
    pub(crate) certificate: Option<CertificateDer<'static>>,
    pub(crate) head: Head,
}

impl TlsPeer {
    /// Answers every request with its body, or with `body` if it has none.
    pub(crate) async fn start(config: ServerConfig, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let record: Arc<Record> = Arc::default();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let seen = Arc::clone(&record);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.connections.fetch_add(1, Ordering::SeqCst);
                // A connection that fails ends; what the test wants to know of it is in the record.
                tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&seen), body));
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

impl Drop for TlsPeer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    record: Arc<Record>,
    body: &'static str,
) -> io::Result<()> {
    let stream = acceptor.accept(stream).await?;
    let (_, session) = stream.get_ref();
    let name = session.server_name().map(str::to_owned);
    let shown = session.peer_certificates();
    let certificate = shown.and_then(|chain| chain.first()).cloned();
    let mut reader = Reader::new(stream);
    loop {
        let head = reader.head().await?;
        let framing = head.framing()?.unwrap_or(Framing::Empty);
        let came = reader.body(framing).await?.data;
        let body: &[u8] = if came.is_empty() {
            body.as_bytes()
        } else {
            &came
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let answer = [answer.as_bytes(), body].concat();
        let call = Call {
            name: name.clone(),
            certificate: certificate.clone(),
            head,
        };
        record
            .calls
            .lock()
            .expect("no panic under the lock")
            .push(call);
        reader.source().write_all(&answer).await?;
        reader.source().flush().await?;
    }
}
