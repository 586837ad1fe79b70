"""A server of idle tunnels: `idle_server.py tcp|ws`. It prints its port, echoes what little is said to it, and holds every connection
until its client closes it. A process of its own, so that its descriptors are not the bench's.
"""

import contextlib
import select
import socket
import sys

import echo


def main():
    """Accepts and answers until it is ended."""
    kind = sys.argv[1]
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    watch = select.epoll()
    watch.register(listener, select.EPOLLIN)
    print(listener.getsockname()[1], flush=True)
    held = {}
    while True:
        for descriptor, _ in watch.poll():
            if descriptor == listener.fileno():
                connection = listener.accept()[0]
                held[connection.fileno()] = connection
                watch.register(connection, select.EPOLLIN)
            elif not is_served(held[descriptor], kind):
                held.pop(descriptor).close()


def is_served(connection: socket.socket, kind: str) -> bool:
    """Answers what was received; false if the connection is over."""
    with contextlib.suppress(ConnectionError):
        if received := connection.recv(4096):
            connection.sendall(echo.answer(kind, received))
            return True
    return False


if __name__ == "__main__":
    main()
