"""A process that holds idle clients: `idle_clients.py PORT PATH SIZE COUNT [CERTIFICATE]`, the last for TLS.

It opens COUNT connections one after the other, makes one request on each, reads the answer of SIZE bytes and stays connected. Then it
says `ready` and sleeps. Nobody may speak to an idle client or close it: if that happens it ends with code 1, for the bench to see.
A process of its own, so that neither its descriptors nor its memory are the bench's.
"""

import select
import socket
import ssl
import sys


def connected(port: int, context: ssl.SSLContext | None, request: bytes, size: int) -> socket.socket:
    """One client that got its answer."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    if context:
        client = context.wrap_socket(client, server_hostname="127.0.0.1")
    client.sendall(request)
    answer = b""
    while len(answer.partition(b"\r\n\r\n")[2]) < size:
        received = client.recv(65_536)
        if not received:
            sys.exit("the proxy closed the connection of a client before its answer was whole")
        answer += received
    if not answer.startswith(b"HTTP/1.1 200 "):
        sys.exit(f"the proxy answered a client that is to be idle: {answer[:200]!r}")
    return client


def main():
    """Connects all of them and waits for what must not happen."""
    port, path, size, count, *certificate = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:]
    context = ssl.create_default_context(cafile=certificate[0]) if certificate else None
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    clients = [connected(port, context, request, size) for _ in range(count)]
    watch = select.epoll()
    for client in clients:
        watch.register(client, select.EPOLLIN)
    print("ready", flush=True)
    watch.poll()
    sys.exit("the proxy closed an idle client or spoke to it")


if __name__ == "__main__":
    main()
