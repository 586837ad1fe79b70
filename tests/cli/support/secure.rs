//! lbd with TLS, its certificate's files, and clients that trust it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs,
    pki_types::ServerName,
};

use super::{HELLO, Pair, certs::NAME, lbd};
use crate::harness::{Dir, File, Lbd, process::Finished, wait::DEADLINE};

/// A running lbd that says "hello" inside TLS.
#[derive(Debug)]
pub(crate) struct Secure {
    // Before the files, so that nobody reads there when they are removed.
    pub(crate) lbd: Lbd,
    files: Dir,
}

impl Secure {
    /// It shows `pair`, and is ready for signals.
    pub(crate) fn start(pair: &Pair) -> Self {
        let files = Dir::new();
        pair.write(&files, "server");
        let listener = format!(
            "tls = {{ certificates = [{{ cert = \"{}\", key = \"{}\" }}] }}",
            files.file("server.pem").display(),
            files.file("server.key").display()
        );
        let lbd = File {
            listener: &listener,
            rest: HELLO,
            ..File::default()
        }
        .start();
        lbd.process.err.wait_for("control socket ");
        Self { lbd, files }
    }

    /// The file of its certificate.
    pub(crate) fn cert(&self) -> PathBuf {
        self.files.file("server.pem")
    }

    /// The file of its key.
    pub(crate) fn key(&self) -> PathBuf {
        self.files.file("server.key")
    }

    /// Writes `pair` over both.
    pub(crate) fn renew(&self, pair: &Pair) {
        pair.write(&self.files, "server");
    }

    /// `lbd reload`.
    pub(crate) fn reload(&self) -> Finished {
        lbd(&self.lbd.dir, &["reload", "-c", "lb.toml"])
    }

    /// A client that trusts `pair` alone is shown it, and answered.
    pub(crate) fn shows(&self, pair: &Pair) {
        let answer = fetch(self.lbd.addr, pair).expect("a handshake and an answer");
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    }

    /// A client that trusts `pair` alone does not trust what it is shown.
    pub(crate) fn does_not_show(&self, pair: &Pair) {
        let refused = fetch(self.lbd.addr, pair);
        assert!(refused.is_err(), "{refused:?}");
    }
}

/// What is answered to GET / inside TLS, to a client that trusts `pair` alone.
fn fetch(addr: SocketAddr, pair: &Pair) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    let added = roots.add(pair.certificate().clone());
    added.expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions that the cryptography speaks")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(NAME).expect("a server's name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a client");
    let tcp = TcpStream::connect(addr)?;
    tcp.set_read_timeout(Some(DEADLINE))?;
    let mut stream = StreamOwned::new(session, tcp);
    let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
