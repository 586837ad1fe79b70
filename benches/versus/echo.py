"""What is said in tunnels and streams that are idle then: one small message, and its echo. Both ends of it, and of UDP the client's.

What passes is so short that it arrives whole. The load of the rows `ws-echo` and `udp-echo` has a program of its own, `benches/echo.rs`.
"""

import contextlib
import socket
import ssl

MESSAGE = b"e" * 100  # `benches/echo.rs` expects as many in a tunnel
PATIENCE = 10  # seconds

# RFC 6455's own example: every client sends this key, which has this answer.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
UPGRADED = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
REFUSED = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"
MASK = b"\x5a\xa5\xc3\x3c"


def connect(port: int, context: ssl.SSLContext | None = None) -> socket.socket:
    """A TCP connection, over TLS if there is a context."""
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    return context.wrap_socket(client, server_hostname="127.0.0.1") if context else client


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    """The payload with the mask applied, or without it again."""
    return bytes(octet ^ mask[at % len(mask)] for at, octet in enumerate(payload))


def say(client: socket.socket, kind: str):
    """One message and its echo; for `ws` the Upgrade before it, too. An OSError if anything is not as it has to be."""
    said, expected = MESSAGE, MESSAGE
    if kind == "ws":
        port = client.getpeername()[1]
        client.sendall(f"GET /echo HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{UPGRADE}Sec-WebSocket-Key: {KEY}\r\n\r\n".encode())
        check_upgraded(client.recv(4096).decode())
        start = bytes((0x82, len(MESSAGE)))
        said, expected = bytes((0x82, 0x80 | len(MESSAGE))) + MASK + masked(MESSAGE), start + MESSAGE
    client.sendall(said)
    if (echo := client.recv(4096)) != expected:
        raise ConnectionError(f"{echo!r} is not the echo that was due")


def check_upgraded(head: str):
    """Fails unless it is the answer that makes a connection a WebSocket tunnel."""
    lines = {line.lower() for line in head.splitlines()}
    if not head.startswith("HTTP/1.1 101 ") or not {"connection: upgrade", "upgrade: websocket"} <= lines or ACCEPT not in head:
        raise ConnectionError(f"not a tunnel: {head!r}")


def answer(kind: str, received: bytes) -> bytes:
    """What the server says to that: the echo, or to a request's head its answer."""
    if kind == "tcp":
        return received
    if received.startswith(b"GET "):
        lines = received.decode().lower().splitlines()
        return (UPGRADED if "upgrade: websocket" in lines and KEY in received.decode() else REFUSED).encode()
    mask, payload = received[2:6], received[6:]
    return bytes((received[0], len(payload))) + masked(payload, mask)


def round_trip(kind: str, port: int, context: ssl.SSLContext | None = None) -> bool:
    """One message and its echo by a client that comes and goes."""
    if kind != "udp":
        with contextlib.closing(connect(port, context)) as client:
            say(client, kind)
        return True
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect(("127.0.0.1", port))
        client.send(MESSAGE)
        return client.recv(4096) == MESSAGE
