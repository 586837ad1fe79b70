"""What is measured: one `Row` for each kind of work, and in it one `Contestant` for each line of the table.

A new row is one entry in `ROWS` and, if its contestants have a setting that is new, a place in `configs.py`.
"""

from dataclasses import dataclass

PEERS = ("nginx", "haproxy")
PROGRAMS = (*PEERS, "lbd", "relay")
JUDGED = "lbd"  # whose lines the goals are for


@dataclass(frozen=True)
class Contestant:
    """One program with its settings: one line of a row."""

    name: str  # the program and, after a slash, what sets this line apart
    workers: int = 1
    routes: int = 0  # beside the route `/`
    servers: int = 1
    idle: int = 0  # clients that made one request, stay connected and are silent meanwhile
    access_log: bool = False
    tokio: bool = False  # the relay in tasks of lbd's runtime instead of around epoll
    deferred: bool = False  # the kernel keeps connections back until bytes have come, which nginx and HAProxy do if told to
    splice: str = ""  # of HAProxy, whether the kernel moves the bytes of a stream: `auto`, or `response`, those of answers
    aside: bool = False  # measured for information: no other line's ratio is to this one

    @property
    def program(self) -> str:
        """Which of `PROGRAMS` it is."""
        return self.name.partition("/")[0]


PLAIN_PEERS = tuple(map(Contestant, PEERS))
ALL = (*PLAIN_PEERS, Contestant("lbd"))


@dataclass(frozen=True)
class Row:
    """One kind of work: what the clients send, what the backend answers, who stands between, and how much that may cost lbd."""

    name: str
    about: str
    goal: float  # what lbd's ratio must not exceed or, if the goal is `absolute`, its bytes for each client
    contestants: tuple = ALL
    baseline: str | None = None  # name of the contestant the ratio is to, `{program}` in it being each one's own; None: the better other peer
    relayed: str = "http"  # what the proxy passes on: `http`, the tunnel behind an Upgrade to WebSocket, `ws`, or at layer 4 `tcp` or `udp`
    path: str = "/small"  # `{last}` in it is the number of the contestant's last route
    size: int = 100  # bytes of the answer's body
    clients: int = 64
    threads: int = 1  # of wrk or h2load
    post: int = 0  # bytes of the request's body; 0: GET
    close: bool = False  # the client asks for `Connection: close` each time
    memory: bool = False  # the clients are idle, and what is measured is the memory that each of them takes
    absolute: bool = False  # the goal is no ratio; in rows of memory only
    tls: bool = False  # between client and proxy
    streams: int = 0  # requests of each client at a time, over HTTP/2; 0: HTTP/1.1
    sessions: str = ""  # each request is on a TLS connection of its own, whose session is `new` or taken up again: `reuse`
    proxy_cores: str = "0"
    load_cores: str = "1"  # of clients and backend

    @property
    def client(self) -> str:
        """The program that makes the load."""
        return "echo" if self.is_echoed else "h2load" if self.streams else "openssl" if self.sessions else "wrk"

    @property
    def at_layer_4(self) -> bool:
        """Whether the proxy passes bytes on and reads none of them."""
        return self.relayed in ("tcp", "udp")

    @property
    def is_echoed(self) -> bool:
        """Whether there is a server behind the proxy that sends back what it is sent, not the backend that answers HTTP."""
        return self.relayed in ("ws", "udp") or self.relayed == "tcp" and self.memory

    @property
    def judged_by_ratio(self) -> bool:
        """Whether the goal is a ratio, not bytes for each client."""
        return not self.absolute

    def path_for(self, contestant: Contestant) -> str:
        """The path that clients of this contestant ask for."""
        return self.path.format(last=contestant.routes - 1)

    def idle_clients(self, contestant: Contestant) -> int:
        """How many of this contestant's clients are idle."""
        return self.clients if self.memory else contestant.idle

    def idle_descriptors(self, contestant: Contestant) -> int:
        """How many descriptors those take of a proxy: a connection that is tunnelled has one on each side."""
        return self.idle_clients(contestant) * (1 if self.relayed == "http" else 2)


ROWS = (
    Row("small", "100-byte answer, 64 keep-alive clients", goal=0.95),
    Row("small-512", "100-byte answer, 512 keep-alive clients", goal=0.95, clients=512),
    Row("20k", "20 KB answer, 64 keep-alive clients", goal=0.95, path="/20k", size=20_480),
    Row("1m", "1 MB answer, 64 keep-alive clients", goal=0.75, path="/1m", size=1_048_576),
    Row("post-10k", "POST of 10 KB, 100-byte answer", goal=0.95, path="/post", post=10_240),
    Row(
        "new-connection",
        "100-byte answer, a new connection for each request",
        goal=0.95,
        contestants=(*PLAIN_PEERS, *(Contestant(f"{program}/deferred", deferred=True) for program in PEERS), Contestant("lbd")),
        close=True,
    ),
    Row(
        "floor",
        "`small` beside relays that copy bytes and read none of them",
        goal=1.12,
        baseline="relay/tokio",
        contestants=(Contestant("relay/epoll"), Contestant("relay/tokio", tokio=True), Contestant("lbd")),
    ),
    Row(
        "log",
        "`small` with an access log to a file",
        goal=0.95,
        contestants=(Contestant("nginx/log", access_log=True), Contestant("lbd/log", access_log=True)),
    ),
    Row(
        "log-cost",
        "`small` with and without an access log",
        goal=1.10,
        baseline="lbd",
        contestants=(Contestant("lbd"), Contestant("lbd/log", access_log=True)),
    ),
    Row(
        "routes",
        "`small` with few and many routes, for the last of them",
        goal=1.05,
        baseline="lbd/10",
        contestants=(Contestant("nginx/1000", routes=1_000), *(Contestant(f"lbd/{count}", routes=count) for count in (10, 1_000, 10_000))),
        path="/app_{last}/part/x",
    ),
    Row(
        "servers",
        "`small` by a pool of few and many servers in turn",
        goal=1.05,
        baseline="lbd/2",
        contestants=(Contestant("nginx/1000", servers=1_000), *(Contestant(f"lbd/{count}", servers=count) for count in (2, 100, 1_000))),
    ),
    Row(
        "busy-among-idle",
        "`small` while 10,000 other keep-alive clients are connected and silent",
        goal=1.05,
        baseline="lbd",
        contestants=(Contestant("nginx/idle", idle=10_000), Contestant("lbd"), Contestant("lbd/idle", idle=10_000)),
    ),
    Row(
        "two-workers",
        "100-byte answer, 128 keep-alive clients, one and two workers on two cores that wrk and backend share",
        goal=1.05,
        baseline="{program}/1",
        contestants=tuple(Contestant(f"{program}/{count}", workers=count) for program in ("nginx", "lbd") for count in (1, 2)),
        clients=128,
        threads=2,
        proxy_cores="0,1",
        load_cores="0,1",
    ),
    Row("tls-small", "`small` over TLS", goal=0.95, tls=True),
    Row("tls-1m", "`1m` over TLS", goal=0.90, path="/1m", size=1_048_576, tls=True),
    Row("tls-handshake", "100-byte answer, a full TLS handshake for each request", goal=0.75, clients=16, tls=True, sessions="new"),
    Row("tls-resumed", "100-byte answer, a TLS session resumed for each request", goal=0.95, clients=16, tls=True, sessions="reuse"),
    Row("h2-small", "100-byte answer, HTTP/2, 16 clients of 16 streams", goal=1.00, clients=16, tls=True, streams=16),
    Row("h2-20k", "20 KB answer, HTTP/2, 16 clients of 16 streams", goal=0.85, path="/20k", size=20_480, clients=16, tls=True, streams=16),
    Row("tcp-small", "`small` through a stream at layer 4", goal=1.00, relayed="tcp"),
    Row(
        "tcp-1m",
        "`1m` through a stream at layer 4",
        goal=0.65,
        contestants=(
            *PLAIN_PEERS,
            Contestant("haproxy/auto", splice="auto", aside=True),
            Contestant("haproxy/splice", splice="response", aside=True),
            Contestant("lbd"),
        ),
        relayed="tcp",
        path="/1m",
        size=1_048_576,
    ),
    Row("ws-echo", "messages of 100 bytes and their echoes through 64 WebSocket tunnels", goal=1.00, relayed="ws"),
    Row(
        "udp-echo",
        "datagrams of 64 bytes and their echoes, 64 clients",
        goal=0.90,
        contestants=(Contestant("nginx"), Contestant("lbd")),  # HAProxy has no streams of UDP
        relayed="udp",
    ),
    Row("idle-memory", "memory for each of 10,000 idle keep-alive clients", goal=1_000, clients=10_000, memory=True, absolute=True),
    Row(
        "tls-idle-memory",
        "memory for each of 5,000 idle keep-alive clients over TLS",
        goal=1.00,
        baseline="nginx",
        clients=5_000,
        memory=True,
        tls=True,
    ),
    Row("tcp-idle", "memory for each of 5,000 idle TCP streams", goal=2_000, relayed="tcp", clients=5_000, memory=True, absolute=True),
    Row("ws-idle", "memory for each of 5,000 idle WebSocket tunnels", goal=2_000, relayed="ws", clients=5_000, memory=True, absolute=True),
    Row("tls-tunnel-idle", "`ws-idle` with TLS on the client's side", goal=1.00, relayed="ws", clients=5_000, memory=True, tls=True),
)
