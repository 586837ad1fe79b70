"""The kinds of work that are measured, one `Row` each. A new row is one entry here and, if need be, a place in `configs.py`."""

from dataclasses import dataclass

PROXIES = ("nginx", "haproxy", "lbd")


@dataclass(frozen=True)
class Row:
    """One kind of work: what the clients send, and what the backend answers."""

    name: str
    about: str
    path: str
    size: int  # bytes of the answer's body
    clients: int = 64
    post: int = 0  # bytes of the request's body; 0: GET
    close: bool = False  # the client asks for `Connection: close` each time
    access_log: bool = False
    proxies: tuple = PROXIES


ROWS = (
    Row("small", "100-byte answer, 64 keep-alive clients", "/small", 100),
    Row("small-512", "100-byte answer, 512 keep-alive clients", "/small", 100, clients=512),
    Row("20k", "20 KB answer, 64 keep-alive clients", "/20k", 20_480),
    Row("1m", "1 MB answer, 64 keep-alive clients", "/1m", 1_048_576),
    Row("post-10k", "POST of 10 KB, 100-byte answer", "/post", 100, post=10_240),
    Row("new-connection", "100-byte answer, a new connection for each request", "/small", 100, close=True),
    Row("log", "100-byte answer, access log to a file", "/small", 100, access_log=True, proxies=("nginx", "lbd")),
)
