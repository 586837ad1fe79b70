"""Rows of load: CPU time of a proxy for each request while clients ask as fast as they can."""

import contextlib
import os
import time
from pathlib import Path

import clients
import process
from process import Failure
from report import Line, Load

SETTLE = 0.1  # seconds after the load, so that the last connections are closed before the clock is read
WARM_UP = 1  # seconds: connections to the backend, file cache, allocator


def measure_row(stage, row, contestants: list, options) -> list:
    """Fresh proxies for this row, then rounds in which each has its turn, the first one rotating."""
    running = [(stage.start(row, contestant), Line(row, contestant, [])) for contestant in contestants]
    for proxy, _ in running:
        clients.run(stage, row, proxy, WARM_UP)
    for turn in range(options.rounds):
        first = turn % len(running)
        for proxy, line in running[first:] + running[:first]:
            line.samples.append(measure(stage, row, proxy, options.seconds))
    for proxy, _ in running:
        stage.end(proxy)
    return [line for _, line in running]


def measure(stage, row, proxy, seconds: int) -> Load:
    """One round of one proxy."""
    if proxy.site.access_log:
        os.truncate(proxy.site.access_log, 0)
    own_cores = set(row.proxy_cores.split(",")) - set(row.load_cores.split(","))
    accepted = proxy.server.accepted()
    began = time.monotonic()
    before, cores_before = process.cpu_seconds(proxy.pids), process.core_seconds(own_cores)
    result = clients.run(stage, row, proxy, seconds)
    time.sleep(SETTLE)
    proxy.check_alive()
    after, cores_after = process.cpu_seconds(proxy.pids), process.core_seconds(own_cores)
    took = time.monotonic() - began
    requests = max(result.requests, 1)
    user, system = (after[at] - before[at] for at in (0, 1))
    return Load(
        requests=result.requests,
        seconds=result.seconds,
        user_us=user * 1e6 / requests,
        system_us=system * 1e6 / requests,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        mean_ms=result.mean_ms,
        max_ms=result.max_ms,
        resumed=result.resumed,
        rss_mb=process.memory_kib(proxy.pids, "Rss") / 1024,
        new_connections=None if accepted is None else proxy.server.accepted() - accepted - 1,  # the question itself
        other_load=max(0.0, cores_after - cores_before - user - system) / took,
        faults=result.faults + log_faults(proxy, result.requests),
    )


def log_faults(proxy, requests: int) -> list:
    """A fault if there is to be a log and lines are missing."""
    if proxy.site.access_log and not all_logged(proxy.site.access_log, requests):
        return [f"fewer than {requests} lines in the access log"]
    return []


def all_logged(path: Path, requests: int) -> bool:
    """Waits a little for buffered lines, then says whether there is one for each request."""
    with contextlib.suppress(Failure):
        return process.wait_until("every request is logged", lambda: count_lines(path) >= requests, seconds=3)
    return False


def count_lines(path: Path) -> int:
    """The number of lines of a file, which may be large."""
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
