#!/usr/bin/env python3
"""lbd against nginx and HAProxy: CPU time for each request on the same work, one worker each. See benches/README.md."""

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ in the source tree

import configs  # noqa: E402
import process  # noqa: E402
import report  # noqa: E402
from process import Failure  # noqa: E402
from rows import PROXIES, ROWS  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PROXY_CORE, LOAD_CORE = 0, 1
SETTLE = 0.1  # seconds after wrk, so that the last connections are closed before the clock is read


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds for each row (3)")
    parser.add_argument("--seconds", type=int, default=5, help="length of one measurement (5)")
    parser.add_argument("--rows", help=f"comma-separated, of: {','.join(row.name for row in ROWS)}")
    parser.add_argument("--only", help=f"comma-separated proxies, of: {','.join(PROXIES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there as well")
    parser.add_argument("--lbd", default=str(ROOT / "target/release/lbd"), metavar="PATH", help="the binary, or `none` for the peers only")
    options = parser.parse_args()
    options.rows = choose(parser, "--rows", options.rows, {row.name: row for row in ROWS})
    options.only = choose(parser, "--only", options.only, {name: name for name in PROXIES})
    if options.lbd == "none":
        options.only = [name for name in options.only if name != "lbd"]
    return options


def choose(parser, option: str, wanted: str | None, known: dict) -> list:
    """The entries of `known` that a comma-separated list names; all of them without a list."""
    names = wanted.split(",") if wanted else list(known)
    if strange := [name for name in names if name not in known]:
        parser.error(f"{option}: unknown {', '.join(strange)}; there are {', '.join(known)}")
    return [known[name] for name in names]


def main() -> int:
    """Runs the rows that were asked for. Exit code 0, or 1 after any fault."""
    options = arguments()
    try:
        process.need("taskset", "wrk", "nginx", *(options.lbd if name == "lbd" else name for name in options.only))
        if not {PROXY_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
            raise Failure(f"needs cores {PROXY_CORE} and {LOAD_CORE}")
        os.sched_setaffinity(0, {LOAD_CORE})
        lines = measure_all(options)
    except (Failure, OSError, http.client.HTTPException) as failure:
        print(f"versus: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("versus: interrupted", file=sys.stderr)
        return 130
    if options.json:
        options.json.write_text(json.dumps(report.as_json(lines, machine(options)), indent=1) + "\n")
    faults = [f"{line.row}: {line.proxy}: {fault}" for line in lines for fault in line.faults()]
    for fault in faults:
        print(f"versus: FAULT: {fault}", file=sys.stderr)
    return 1 if faults else 0


def measure_all(options) -> list:
    """Starts the backend, then measures row after row and prints each when it is done."""
    lines = []
    with process.Children("lbd-versus") as children:
        origin = start_backend(children)
        print("CPU microseconds of the proxy for each request; ratio: to the better other peer; medians over the rounds")
        print(report.HEAD, flush=True)
        for row in options.rows:
            proxies = [name for name in row.proxies if name in options.only]
            if not proxies:
                continue
            done = measure_row(children, row, proxies, origin, options)
            print(report.text(done) + f"\n{'':15} spread of the rounds {report.spread(done):.1%}", flush=True)
            warn_of_other_load(done)
            lines += done
    return lines


def measure_row(children, row, proxies: list, origin: int, options) -> list:
    """Fresh proxies for this row, then rounds in which each has its turn, the first one rotating."""
    running = [start_proxy(children, name, row, origin, options) for name in proxies]
    lines = [report.Line(row.name, proxy.name, []) for proxy in running]
    for proxy in running:
        run_wrk(children, row, proxy, 1)  # warm-up: connections to the backend, file cache, allocator
    for turn in range(options.rounds):
        for at in range(len(running)):
            at = (at + turn) % len(running)
            lines[at].samples.append(measure(children, row, running[at], origin, options.seconds))
    for proxy in running:
        children.end(proxy.child)
    return lines


def measure(children, row, proxy, origin: int, seconds: int) -> report.Sample:
    """One round of one proxy."""
    if proxy.access_log:
        os.truncate(proxy.access_log, 0)
    accepted = accepted_by_backend(origin)
    before, core_before = process.cpu_seconds(proxy.pids), process.core_seconds(PROXY_CORE)
    result = run_wrk(children, row, proxy, seconds)
    time.sleep(SETTLE)
    if not proxy.child.alive():
        raise Failure(f"{proxy.name} died under load:\n{proxy.child.last_words()}")
    after, core_after = process.cpu_seconds(proxy.pids), process.core_seconds(PROXY_CORE)
    requests = max(result["requests"], 1)
    user, system = (after[at] - before[at] for at in (0, 1))
    return report.Sample(
        requests=result["requests"],
        seconds=result["duration_us"] / 1e6,
        user_us=user * 1e6 / requests,
        system_us=system * 1e6 / requests,
        p50_ms=result["p50_us"] / 1e3,
        p99_ms=result["p99_us"] / 1e3,
        rss_mb=process.memory_kib(proxy.pids) / 1024,
        new_connections=accepted_by_backend(origin) - accepted,
        other_load=max(0.0, core_after - core_before - user - system) / seconds,
        faults=faults_of(row, proxy, result),
    )


def run_wrk(children, row, proxy, seconds: int) -> dict:
    """One run of wrk on the other core; gives the line of JSON of its script."""
    script = children.dir / f"{row.name}.lua"
    script.write_text(configs.wrk_script(row.post))
    header = ["-H", "Connection: close"] if row.close else []
    url = f"http://127.0.0.1:{proxy.port}{row.path}"
    command = ["wrk", "-t1", f"-c{row.clients}", f"-d{seconds}s", "--latency", "-s", script, *header, url]
    wrk = children.start("wrk", command, LOAD_CORE, stdout=subprocess.PIPE)
    out = wrk.popen.communicate()[0].decode()
    children.list.remove(wrk)
    for line in out.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise Failure(f"wrk on {proxy.name} gave no result:\n{out}{wrk.last_words()}")


def faults_of(row, proxy, result: dict) -> list:
    """What was not right in a run: socket errors, statuses, bodies that were too short, log lines that are missing."""
    faults = [f"{result[kind]} {kind} errors" for kind in ("connect", "read", "write", "timeout") if result[kind]]
    if result["status"]:
        faults.append(f"{result['status']} answers of status 400 or more")
    if not result["requests"]:
        faults.append("no request was answered")
    elif result["bytes"] < result["requests"] * row.size:  # a redirect, which wrk does not count as an error, is short too
        faults.append(f"{result['bytes'] / result['requests']:.0f} bytes for each answer, {row.size} expected")
    if proxy.access_log and not all_logged(proxy.access_log, result["requests"]):
        faults.append(f"fewer than {result['requests']} lines in the access log")
    return faults


def all_logged(path: Path, requests: int) -> bool:
    """Waits a little for buffered lines, then says whether there is one for each request."""
    with contextlib.suppress(Failure):
        return process.wait_until("every request is logged", lambda: count_lines(path) >= requests, seconds=3)
    return False


def count_lines(path: Path) -> int:
    """The number of lines of a file, which may be large."""
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


class Proxy:
    """A running proxy: its port, the processes whose CPU time counts, its access log if there is one."""

    def __init__(self, name: str, child, port: int, access_log: Path | None):
        self.name, self.child, self.port, self.access_log = name, child, port, access_log
        self.pids = []


def start_proxy(children, name: str, row, origin: int, options) -> Proxy:
    """Writes a proxy's file, starts it on its core and checks that it does the work that all of them do."""
    port = children.ports.take()
    work = children.dir / f"{row.name}-{name}"
    work.mkdir()
    access_log = work / "access.log" if row.access_log else None
    file, command = configuration(name, work, port, origin, access_log, options.lbd)
    (work / file[0]).write_text(file[1])
    proxy = Proxy(name, children.start(f"{row.name}-{name}", command, PROXY_CORE), port, access_log)
    process.wait_until("it answered", lambda: fetch(port, row)[0] == 200, proxy.child)
    proxy.pids = proxy.child.workers()
    check_same_work(proxy, row)
    return proxy


def configuration(name: str, work: Path, port: int, origin: int, access_log: Path | None, lbd: str) -> tuple:
    """A proxy's file (name and text) and the command that runs it."""
    if name == "nginx":
        text = configs.nginx(work, port, origin, access_log)
        return ("nginx.conf", text), ["nginx", "-e", work / "error.log", "-c", work / "nginx.conf"]
    if name == "haproxy":
        return ("haproxy.cfg", configs.haproxy(port, origin)), ["haproxy", "-db", "-f", work / "haproxy.cfg"]
    return ("lb.toml", configs.lbd(port, origin, access_log)), [lbd, "-c", work / "lb.toml"]


def start_backend(children) -> int:
    """Starts the nginx that answers, on the core of the load, and gives its port."""
    port = children.ports.take()
    work = children.dir / "backend"
    work.mkdir()
    (work / "nginx.conf").write_text(configs.backend(work, port))
    child = children.start("backend", ["nginx", "-e", work / "error.log", "-c", work / "nginx.conf"], LOAD_CORE)
    for row in ROWS:
        process.wait_until(f"it answered {row.path}", lambda row=row: fetch(port, row) == (200, row.size), child)
    return port


def fetch(port: int, row) -> tuple:
    """One request of the row's kind; gives status and length of the answer's body."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("POST" if row.post else "GET", row.path, body=b"b" * row.post or None)
        answer = connection.getresponse()
        return answer.status, len(answer.read())


def check_same_work(proxy: Proxy, row):
    """Fails unless the answer is whole, the six headers arrive, and the connection to the backend outlives a client's `close`."""
    if (got := fetch(proxy.port, row)) != (200, row.size):
        raise Failure(f"{proxy.name}: {row.path} gave status and length {got}, expected {(200, row.size)}")
    seen = [seen_by_backend(proxy) for _ in range(3)][-1]
    host = f"127.0.0.1:{proxy.port}"
    expected = {"x_forwarded_for": "127.0.0.1", "x_forwarded_proto": "http", "x_forwarded_host": host, "host": host,
                "x_forwarded_port": str(proxy.port), "x_real_ip": "127.0.0.1", "protocol": "HTTP/1.1"}  # fmt: skip
    wrong = [f"{name} is {seen.get(name)!r}, expected {value!r}" for name, value in expected.items() if seen.get(name) != value]
    if not seen.get("x_request_id"):
        wrong.append("no x_request_id")
    if seen.get("connection", "").lower() == "close" or int(seen.get("requests", 0)) < 2:
        wrong.append("no keep-alive to the backend")
    if wrong:
        raise Failure(f"{proxy.name} does not do the same work: {'; '.join(wrong)}")


def seen_by_backend(proxy: Proxy) -> dict:
    """Sends a request with `Connection: close` and a forged header, and gives what reached the backend."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)) as connection:
        connection.request("GET", "/seen", headers={"Connection": "close", "X-Forwarded-For": "6.6.6.6"})
        text = connection.getresponse().read().decode()
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def accepted_by_backend(origin: int) -> int:
    """How many connections the backend has accepted so far, this question not counted."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", origin, timeout=5)) as connection:
        connection.request("GET", "/accepted")
        return int(connection.getresponse().read().split()[7]) - 1


def warn_of_other_load(lines: list):
    """Says so if somebody else used the proxy's core meanwhile."""
    worst = max(sample.other_load for line in lines for sample in line.samples)
    if worst > 0.05:
        print(f"versus: warning: others used {worst:.0%} of core {PROXY_CORE} during a round", file=sys.stderr)


def machine(options) -> dict:
    """What the figures depend on."""
    model = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": model[0] if model else "unknown",
        "kernel": os.uname().release,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "versions": {name: version(name) for name in options.only if name != "lbd"},
    }


def version(program: str) -> str:
    """The first line of what a program says of itself."""
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
