"""The programs that make the load, and what each says of a run: wrk, h2load (HTTP/2), `openssl s_time` (TLS handshakes) and our own
`benches/echo.rs` (tunnels, UDP).
"""

import functools
import json
import re
import subprocess
import time
from dataclasses import dataclass, field

import configs
import tls
from process import Failure

RESUMED = 0.95  # share of the connections that have to resume where all are asked to
COUNTS = ("total", "started", "done", "succeeded", "failed", "errored", "timeout")  # of h2load
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}  # in milliseconds


@dataclass
class Result:
    """One run of a client; None is what it does not say."""

    requests: int
    seconds: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    max_ms: float | None = None
    resumed: float | None = None  # share of the TLS connections that took up an older session
    faults: list = field(default_factory=list)


def run(stage, row, proxy, seconds: int) -> Result:
    """One run of the row's client on the cores of the load."""
    result = {"wrk": wrk, "h2load": h2load, "openssl": handshakes, "echo": echoes}[row.client](stage, row, proxy, seconds)
    if not result.requests:
        result.faults.append("no request was answered")
    return result


def wrk(stage, row, proxy, seconds: int) -> Result:
    """wrk: HTTP/1.1, on connections that stay or with `Connection: close`."""
    script = stage.children.dir / f"{row.name}.lua"
    script.write_text(configs.wrk_script(row.post))
    header = ["-H", "Connection: close"] if row.close else []
    command = ["wrk", f"-t{row.threads}", f"-c{row.clients}", f"-d{seconds}s", "--latency", "-s", script, *header, proxy.url]
    said = json.loads(find(r"^RESULT (.+)$", stage.children.output("wrk", command, row.load_cores), "wrk", proxy)[1])
    latencies = {f"{name}_ms": said[f"{name}_us"] / 1e3 for name in ("p50", "p99", "mean", "max")}
    return Result(said["requests"], said["duration_us"] / 1e6, **latencies, faults=wrk_faults(row, said))


def wrk_faults(row, said: dict) -> list:
    """What was not right in a run of wrk: socket errors, statuses, bodies that were too short."""
    faults = [f"{said[kind]} {kind} errors" for kind in ("connect", "read", "write", "timeout") if said[kind]]
    if said["status"]:
        faults.append(f"{said['status']} answers of status 400 or more")
    return faults + short(said["requests"], said["bytes"], row.size)  # a redirect, which wrk does not count as an error, is short too


def h2load(stage, row, proxy, seconds: int) -> Result:
    """h2load: HTTP/2 over TLS, some requests at a time on each connection. It offers nothing else, and this one suite."""
    command = ["h2load", f"-t{row.threads}", f"-c{row.clients}", f"-m{row.streams}", "-D", seconds]
    command += [f"{alpn_option()}=h2", f"--tls13-ciphers={tls.SUITE}", proxy.url]
    out = stage.children.output("h2load", command, row.load_cores)
    length = find(r"^finished in ([\d.]+)s,", out, "h2load", proxy)
    _, worst, mean = find(r"^time for request: +(\S+) +(\S+) +(\S+)", out, "h2load", proxy).groups()
    counts = h2load_counts(out, proxy)
    faults = h2load_faults(row, out, counts)
    return Result(counts["done"], float(length[1]), mean_ms=milliseconds(mean), max_ms=milliseconds(worst), faults=faults)


def h2load_counts(out: str, proxy) -> dict:
    """What h2load counted: its own figures for requests, answers of other statuses than 2xx, bytes of all bodies."""
    requests = find("^requests: " + ", ".join(rf"(\d+) {name}" for name in COUNTS), out, "h2load", proxy)
    counts = dict(zip(COUNTS, map(int, requests.groups()), strict=True))
    counts["refused"] = sum(map(int, find(r"^status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx$", out, "h2load", proxy).groups()))
    counts["bytes"] = int(find(r"^traffic: .*\((\d+)\) data$", out, "h2load", proxy)[1])
    return counts


def h2load_faults(row, out: str, counts: dict) -> list:
    """What was not right in a run of h2load: another protocol, requests that failed, statuses, bodies that were too short."""
    expected = {"Application protocol": "h2", "TLS Protocol": "TLSv1.3", "Cipher": tls.SUITE}
    faults = [f"no `{name}: {value}`" for name, value in expected.items() if f"{name}: {value}" not in out.splitlines()]
    faults += [f"{counts[kind]} requests {kind}" for kind in ("failed", "errored", "timeout", "refused") if counts[kind]]
    done = counts["done"]
    faults += [f"{done} requests done, but {counts[kind]} {kind}" for kind in ("total", "succeeded") if counts[kind] != done]
    return faults + short(done, counts["bytes"], row.size)


@functools.cache
def alpn_option() -> str:
    """The option for the protocols that h2load offers, which has had two names."""
    said = subprocess.run(["h2load", "--help"], capture_output=True, text=True, check=False).stdout
    return "--alpn-list" if "--alpn-list" in said else "--npn-list"


def handshakes(stage, row, proxy, seconds: int) -> Result:
    """`openssl s_time`: a connection for each request, one process for each client. It goes on to the end of its last second."""
    rest = f"HTTP/1.1\r\nHost: {proxy.host}\r\nConnection: close\r\n"
    expected = len(answer(proxy, f"GET {proxy.path} {rest}\r\n".encode()))
    path = f"{proxy.path} {rest}X-Unused:"  # it appends ` HTTP/1.0`
    command = ["openssl", "s_time", "-connect", proxy.host, f"-{row.sessions}", "-tls1_3", "-time", seconds, "-www", path]
    began = time.monotonic()
    outs = stage.children.outputs("openssl", [command] * row.clients, row.load_cores)
    took = time.monotonic() - began
    counted = [handshakes_of(out, proxy) for out in outs]
    connections, resumed, received = map(sum, zip(*counted, strict=True))
    primed = row.clients if row.sessions == "reuse" else 0  # each made one more, for a session to begin with
    requests = connections + primed
    share = resumed / max(requests, 1)
    faults = handshake_faults(row, share)
    if received != connections * expected:
        faults.append(f"{received} bytes in {connections} answers of {expected}")
    return Result(requests, took, resumed=share, faults=faults)


def echoes(stage, row, proxy, seconds: int) -> Result:
    """`echo`: messages and their echoes, one at a time for each client."""
    command = [stage.binaries["echo"], f"load-{row.relayed}", proxy.host, "--clients", row.clients, "--seconds", seconds]
    said = json.loads(stage.children.output("echo", command, row.load_cores))
    latencies = {f"{name}_ms": said[f"{name}_us"] / 1e3 for name in ("p50", "p99", "mean", "max")}
    faults = [f"{said['errors']} clients ended early, the first of them with: {said['first']}"] if said["errors"] else []
    return Result(said["round_trips"], said["seconds"], **latencies, faults=faults)


def answer(proxy, request: bytes) -> bytes:
    """One whole answer, with its head, on a connection of its own."""
    with tls.connect(proxy.site.certificate.trusted(), proxy.site.port) as connection:
        return tls.exchange(connection, request)


def handshakes_of(out: str, proxy) -> tuple:
    """Of one process: connections, those that resumed (each an `r` in its second part, the others `*`), and bytes of the answers."""
    marks = find(r"^([r*]+)$", out, "openssl", proxy)[1]
    connections = int(find(r"^(\d+) connections in \d+ real seconds", out, "openssl", proxy)[1])
    received = int(find(r"bytes read (\d+)", out, "openssl", proxy)[1])
    if len(marks) != connections:
        raise Failure(f"openssl on {proxy.name} tells of {connections} connections and marks {len(marks)}")
    return connections, marks.count("r"), received


def handshake_faults(row, share: float) -> list:
    """Fewer sessions resumed than must be, or more."""
    if row.sessions == "reuse" and share < RESUMED:
        return [f"{share:.1%} of the connections resumed a session, expected {RESUMED:.0%}"]
    if row.sessions == "new" and share:
        return [f"{share:.1%} of the connections resumed a session, expected none"]
    return []


def short(requests: int, received: int, size: int) -> list:
    """A fault if the answers have too few bytes for bodies of that size."""
    return [f"{received / requests:.0f} bytes for each answer, {size} expected"] if received < requests * size else []


def milliseconds(text: str) -> float:
    """A duration as h2load writes it: `27us`, `6.81ms`, `1.20s`."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * UNITS[unit]


def find(pattern: str, out: str, client: str, proxy) -> re.Match:
    """Where a client says something; fails if it does not."""
    if found := re.search(pattern, out, re.MULTILINE):
        return found
    raise Failure(f"{client} on {proxy.name} gave no result:\n{out}")
