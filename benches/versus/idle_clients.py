"""A process that holds idle clients: `idle_clients.py KIND PORT PATH SIZE COUNT [CERTIFICATE]`, the last for TLS.

It opens COUNT connections one after the other and uses each once: with the KIND `http` it makes a request for PATH and reads the answer of
SIZE bytes, with `ws` it upgrades the connection and sends a message there and back, with `tcp` only that. It stays connected. Then it
says `ready` and sleeps. Nobody may speak to an idle client or close it: if that happens it ends with code 1, for the bench to see.
A process of its own, so that neither its descriptors nor its memory are the bench's.
"""

import select
import socket
import ssl
import sys

import echo


def ask(client: socket.socket, request: bytes, size: int):
    """One request and its answer."""
    client.sendall(request)
    answer = b""
    while len(answer.partition(b"\r\n\r\n")[2]) < size:
        received = client.recv(65_536)
        if not received:
            raise ConnectionError("closed before the answer was whole")
        answer += received
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(f"answered {answer[:200]!r}")


def main():
    """Connects all of them and waits for what must not happen."""
    kind, port, path, size, count, *certificate = sys.argv[1:]
    context = ssl.create_default_context(cafile=certificate[0]) if certificate else None
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    watch = select.epoll()
    clients = []
    for _ in range(int(count)):
        try:
            clients.append(echo.connect(int(port), context))
            if kind == "http":
                ask(clients[-1], request, int(size))
            else:
                echo.say(clients[-1], kind)
        except OSError as error:
            sys.exit(f"the proxy and a client that is to be idle: {error}")
    for client in clients:
        watch.register(client, select.EPOLLIN)
    print("ready", flush=True)
    watch.poll()
    sys.exit("the proxy closed an idle client or spoke to it")


if __name__ == "__main__":
    main()
