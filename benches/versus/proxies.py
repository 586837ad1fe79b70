"""The servers of a bench: backends, and proxies that have shown that they do the same work."""

import contextlib
import functools
import http.client
import subprocess
import sys
from pathlib import Path

import configs
import echo
import process
import streams
import tls
from process import Failure
from rows import ROWS, Contestant

IDLE_CLIENTS = Path(__file__).with_name("idle_clients.py")
IDLE_SERVER = Path(__file__).with_name("idle_server.py")
PYTHON = (sys.executable, "-B")  # no __pycache__ in the source tree


class Backend:
    """The nginx that answers behind the proxies, with one worker for each core it may use."""

    def __init__(self, children, cores: str):
        self.port = children.ports.take()
        work = children.directory("backend")
        (work / "nginx.conf").write_text(configs.backend(work, self.port, workers=len(cores.split(","))))
        self.child = children.start("backend", ["nginx", "-e", work / "error.log", "-c", work / "nginx.conf"], cores)
        for row in ROWS:
            path = row.path_for(row.contestants[-1])
            process.wait_until(f"it answered {path}", lambda path=path, row=row: fetch(self.port, path, row.post) == (200, row.size), self.child)

    def accepted(self) -> int:
        """How many connections it has accepted so far, that of this question among them."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            connection.request("GET", "/accepted")
            return int(connection.getresponse().read().split()[7])


class EchoServer:
    """What sends back all that it is sent, behind one proxy. It has chosen its port itself."""

    def __init__(self, children, name: str, command: list, cores: str):
        self.child = children.start(name, command, cores, stdout=subprocess.PIPE)
        said = self.child.popen.stdout.readline().decode().strip()
        if not said.isdigit():
            raise Failure(f"{name} said {said!r} in place of its port:\n{self.child.last_words()}")
        self.port = int(said)

    def accepted(self) -> None:
        """It does not count its connections."""


class Proxy:
    """A running contestant: where it listens, the path to ask it for, the processes that count, and its idle clients if it has any."""

    def __init__(self, contestant: Contestant, site: configs.Site, path: str, child, server: Backend | EchoServer):
        self.contestant, self.site, self.path, self.child, self.server = contestant, site, path, child, server
        self.name = contestant.name
        self.host = f"127.0.0.1:{site.port}"
        self.url = f"{site.scheme}://{self.host}{path}"
        self.pids = []
        self.holders = []

    def fetch(self, post: int) -> tuple:
        """One request for its path, as `fetch`."""
        return fetch(self.site.port, self.path, post, self.site.certificate)

    def check_alive(self):
        """Fails if the proxy died or lost its server or an idle client."""
        for child in (self.child, self.server.child, *self.holders):
            if not child.alive():
                raise Failure(f"{self.name}: {child.name} ended with code {child.popen.returncode}:\n{child.last_words()}")


class Stage:
    """Starts and ends what a row needs; a backend stays for all rows that have it on the same cores."""

    def __init__(self, children, binaries: dict):
        self.children, self.binaries = children, binaries
        self.backends = {}

    @functools.cached_property
    def certificate(self) -> tls.Certificate:
        """The one that all proxies have in rows of TLS."""
        return tls.make(self.children)

    def backend(self, row) -> Backend:
        """The backend of a row."""
        if row.load_cores not in self.backends:
            self.backends[row.load_cores] = Backend(self.children, row.load_cores)
        return self.backends[row.load_cores]

    def server(self, row, label: str) -> Backend | EchoServer:
        """What is to stand behind the proxy of this label."""
        if not row.is_echoed:
            return self.backend(row)
        command = [*PYTHON, IDLE_SERVER, row.relayed] if row.memory else [self.binaries["echo"], f"serve-{row.relayed}"]
        return EchoServer(self.children, f"{label}-server", command, row.load_cores)

    def start(self, row, contestant: Contestant) -> Proxy:
        """Starts a contestant on its cores, checks that it does the work that all of them do, and connects its idle clients."""
        label = f"{row.name}-{contestant.name.replace('/', '-')}"
        certificate = self.certificate if row.tls else None
        server = self.server(row, label)
        port = self.children.ports.take_udp() if row.relayed == "udp" else self.children.ports.take()
        site = configs.Site(self.children.directory(label), port, server.port, contestant, certificate, row.relayed)
        command = (streams if row.at_layer_4 else configs).command(self.binaries[contestant.program], site)
        child = self.children.start(label, command, row.proxy_cores)
        proxy = Proxy(contestant, site, row.path_for(contestant), child, server)
        if row.is_echoed:
            context = certificate.trusted() if certificate else None
            process.wait_until(f"{proxy.name} brought an echo back", lambda: echo.round_trip(row.relayed, port, context), child)
        else:
            process.wait_until("it answered", lambda: proxy.fetch(row.post)[0] == 200, child)
            check_answer(proxy, row)
        if row.relayed == "tcp" and not row.is_echoed:
            check_untouched(proxy)
        elif row.relayed == "http" and contestant.program != "relay":  # which cannot set headers
            check_same_work(proxy, self.seen_over_http2 if row.streams else seen_over_http1)
        if row.tls and (wrong := tls.differences(site.certificate, site.port)):
            raise Failure(f"{proxy.name} does not do the same with TLS: {'; '.join(wrong)}")
        proxy.pids = child.workers()
        if contestant.idle:
            self.hold(row, proxy, contestant.idle)
        return proxy

    def hold(self, row, proxy: Proxy, count: int):
        """Has a process open idle clients of a proxy, and waits until all of them had their answer."""
        certificate = [proxy.site.certificate.cert] if row.tls else []
        command = [*PYTHON, IDLE_CLIENTS, row.relayed, proxy.site.port, proxy.path, row.size, count, *certificate]
        holder = self.children.start(f"{row.name}-idle-clients", command, row.load_cores, stdout=subprocess.PIPE)
        proxy.holders.append(holder)
        if holder.popen.stdout.readline() != b"ready\n":
            raise Failure(f"{proxy.name}: not all of {count} idle clients were answered:\n{holder.last_words()}")

    def seen_over_http2(self, proxy: Proxy) -> dict:
        """Sends a request with a forged header over HTTP/2, on a connection of its own, and gives what reached the backend."""
        command = ["nghttp", "--no-verify-peer", "-H", "X-Forwarded-For: 6.6.6.6", f"{proxy.site.scheme}://{proxy.host}/seen"]
        return fields(self.children.output("nghttp", command))

    def release(self, proxy: Proxy):
        """Closes a proxy's idle clients."""
        while proxy.holders:
            self.children.end(proxy.holders.pop())

    def end(self, proxy: Proxy):
        """Ends a proxy, its idle clients, and its server if no other proxy has that, too."""
        self.release(proxy)
        self.children.end(proxy.child)
        if isinstance(proxy.server, EchoServer):
            self.children.end(proxy.server.child)


def connect(port: int, certificate: tls.Certificate | None) -> http.client.HTTPConnection:
    """A client of HTTP/1.1, over TLS if there is a certificate to expect."""
    if certificate:
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=certificate.trusted())
    return http.client.HTTPConnection("127.0.0.1", port, timeout=5)


def fetch(port: int, path: str, post: int, certificate: tls.Certificate | None = None) -> tuple:
    """One request, a POST of so many bytes or a GET; gives status and length of the answer's body."""
    with contextlib.closing(connect(port, certificate)) as connection:
        connection.request("POST" if post else "GET", path, body=b"b" * post or None)
        answer = connection.getresponse()
        return answer.status, len(answer.read())


def check_answer(proxy: Proxy, row):
    """Fails unless the answer is whole."""
    if (got := proxy.fetch(row.post)) != (200, row.size):
        raise Failure(f"{proxy.name}: {proxy.path} gave status and length {got}, expected {(200, row.size)}")


def check_same_work(proxy: Proxy, ask):
    """Fails unless the six headers arrive and a connection to the backend outlives a client's `close`; `ask` gives what the backend saw.

    It asks once more than there are servers in each worker, so that one of the connections must have served twice. With many servers
    that connects all of them, too.
    """
    asks = proxy.contestant.servers * proxy.contestant.workers + 1
    seen = [ask(proxy) for _ in range(asks)]
    host = proxy.host
    expected = {"x_forwarded_for": "127.0.0.1", "x_forwarded_proto": proxy.site.scheme, "x_forwarded_host": host, "host": host,
                "x_forwarded_port": str(proxy.site.port), "x_real_ip": "127.0.0.1", "protocol": "HTTP/1.1"}  # fmt: skip
    last = seen[-1]
    wrong = [f"{name} is {last.get(name)!r}, expected {value!r}" for name, value in expected.items() if last.get(name) != value]
    if not last.get("x_request_id"):
        wrong.append("no x_request_id")
    if last.get("connection", "").lower() == "close" or len({one.get("serial") for one in seen}) == asks:
        wrong.append("no keep-alive to the backend")
    if wrong:
        raise Failure(f"{proxy.name} does not do the same work: {'; '.join(wrong)}")


def check_untouched(proxy: Proxy):
    """Fails if a proxy at layer 4 has done anything to a request."""
    seen = seen_over_http1(proxy)
    expected = {"x_forwarded_for": "6.6.6.6", "x_forwarded_proto": "", "x_request_id": "", "host": proxy.host, "connection": "close"}
    if wrong := [f"{name} is {seen.get(name)!r}, expected {value!r}" for name, value in expected.items() if seen.get(name) != value]:
        raise Failure(f"{proxy.name} does not pass on what it is sent: {'; '.join(wrong)}")


def seen_over_http1(proxy: Proxy) -> dict:
    """Sends a request with `Connection: close` and a forged header, and gives what reached the backend."""
    with contextlib.closing(connect(proxy.site.port, proxy.site.certificate)) as connection:
        connection.request("GET", "/seen", headers={"Connection": "close", "X-Forwarded-For": "6.6.6.6"})
        return fields(connection.getresponse().read().decode())


def fields(text: str) -> dict:
    """The lines `name: value` that the backend writes of what it saw."""
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
