"""TLS of a bench: the certificate that all proxies have, and whether they do the same with it."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

SUITE = "TLS_AES_256_GCM_SHA384"  # what wrk and openssl ask for first; h2load is told to


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate and its key, in files."""

    cert: Path
    key: Path
    both: Path  # one after the other, as HAProxy wants them

    def trusted(self, *protocols: str) -> ssl.SSLContext:
        """The settings of a client that trusts this certificate and no other, and offers these protocols."""
        context = ssl.create_default_context(cafile=self.cert)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context


def make(children) -> Certificate:
    """Has openssl make a certificate on the curve P-256."""
    work = children.directory("certificate")
    made = Certificate(work / "cert.pem", work / "key.pem", work / "both.pem")
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    children.output("openssl", ["openssl", "req", "-x509", *kind, *names, "-keyout", made.key, "-out", made.cert])
    made.both.write_text(made.cert.read_text() + made.key.read_text())
    return made


def connect(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    """A connection whose handshake is done."""
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=5), server_hostname="127.0.0.1", session=session)


def exchange(connection: ssl.SSLSocket, request: bytes) -> bytes:
    """All that comes after a request until the other side closes; a session's tickets come with it."""
    connection.sendall(request)
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def differences(certificate: Certificate, port: int) -> list:
    """What a proxy does not do as all of them have to. The certificate is verified with each handshake."""
    found = []
    with connect(certificate.trusted("h2", "http/1.1"), port) as connection:
        got = connection.version(), connection.cipher()[0], connection.selected_alpn_protocol()
        if got != ("TLSv1.3", SUITE, "h2"):
            found.append(f"it chose {', '.join(map(str, got))}, expected TLSv1.3, {SUITE}, h2")
    if not speaks_older(certificate.trusted(), port):
        found.append("no TLS 1.2")
    if not resumes(certificate.trusted(), port):
        found.append("a session of TLS 1.3 is not resumed")
    return found


def speaks_older(context: ssl.SSLContext, port: int) -> bool:
    """Whether TLS 1.2 is spoken, too."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        connect(context, port).close()
    except ssl.SSLError:
        return False
    return True


def resumes(context: ssl.SSLContext, port: int) -> bool:
    """Whether a second connection takes up the session of the first."""
    with connect(context, port) as connection:
        exchange(connection, f"GET /small HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        session = connection.session
    with connect(context, port, session) as connection:
        return connection.session_reused
