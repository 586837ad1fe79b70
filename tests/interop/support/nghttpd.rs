//! nghttpd, the server of nghttp2: HTTP/2 and nothing else.

use std::process::Stdio;

use super::{certs::Cert, port::Port, programs::program};
use crate::harness::{Dir, Process};

/// It serves the files of its directory, and sends back what is posted. Killed on drop.
#[derive(Debug)]
pub(crate) struct Nghttpd {
    // Before `dir`, so that nobody reads there when it is removed.
    pub(crate) process: Process,
    pub(crate) dir: Dir,
    pub(crate) port: Port,
}

impl Nghttpd {
    /// `nghttpd ARGS`, with TLS if there is a certificate.
    pub(crate) fn start(args: &[&str], cert: Option<&Cert>) -> Self {
        let (dir, port) = (Dir::new(), Port::new());
        let mut nghttpd = program("nghttpd");
        nghttpd.args(["-v", "--echo-upload", "-a", "127.0.0.1", "-d"]);
        nghttpd.arg(dir.path()).args(args);
        if cert.is_none() {
            nghttpd.arg("--no-tls");
        }
        nghttpd.arg(port.addr().port().to_string());
        nghttpd.args(cert.iter().flat_map(|cert| [&cert.key, &cert.cert]));
        let process = Process::spawn(nghttpd.stdin(Stdio::null()));
        port.until_it_listens();
        Self { process, dir, port }
    }
}
