"""Rows of load: CPU time of a proxy for each request while wrk asks as fast as it can."""

import contextlib
import json
import os
import time
from pathlib import Path

import configs
import process
from process import Failure
from report import Line, Load

SETTLE = 0.1  # seconds after wrk, so that the last connections are closed before the clock is read
WARM_UP = 1  # seconds: connections to the backend, file cache, allocator


def measure_row(stage, row, contestants: list, options) -> list:
    """Fresh proxies for this row, then rounds in which each has its turn, the first one rotating."""
    running = [(stage.start(row, contestant), Line(row, contestant, [])) for contestant in contestants]
    for proxy, _ in running:
        run_wrk(stage, row, proxy, WARM_UP)
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
    accepted = stage.backend(row).accepted()
    before, cores_before = process.cpu_seconds(proxy.pids), process.core_seconds(own_cores)
    result = run_wrk(stage, row, proxy, seconds)
    time.sleep(SETTLE)
    proxy.check_alive()
    after, cores_after = process.cpu_seconds(proxy.pids), process.core_seconds(own_cores)
    requests = max(result["requests"], 1)
    user, system = (after[at] - before[at] for at in (0, 1))
    return Load(
        requests=result["requests"],
        seconds=result["duration_us"] / 1e6,
        user_us=user * 1e6 / requests,
        system_us=system * 1e6 / requests,
        p50_ms=result["p50_us"] / 1e3,
        p99_ms=result["p99_us"] / 1e3,
        rss_mb=process.memory_kib(proxy.pids, "Rss") / 1024,
        new_connections=stage.backend(row).accepted() - accepted - 1,  # the question itself
        other_load=max(0.0, cores_after - cores_before - user - system) / seconds,
        faults=faults_of(row, proxy, result),
    )


def run_wrk(stage, row, proxy, seconds: int) -> dict:
    """One run of wrk on the cores of the load; gives the line of JSON of its script."""
    script = stage.children.dir / f"{row.name}.lua"
    script.write_text(configs.wrk_script(row.post))
    header = ["-H", "Connection: close"] if row.close else []
    url = f"http://127.0.0.1:{proxy.site.port}{proxy.path}"
    command = ["wrk", f"-t{row.threads}", f"-c{row.clients}", f"-d{seconds}s", "--latency", "-s", script, *header, url]
    out = stage.children.output("wrk", command, row.load_cores)
    for line in out.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise Failure(f"wrk on {proxy.name} gave no result:\n{out}")


def faults_of(row, proxy, result: dict) -> list:
    """What was not right in a run: socket errors, statuses, bodies that were too short, log lines that are missing."""
    faults = [f"{result[kind]} {kind} errors" for kind in ("connect", "read", "write", "timeout") if result[kind]]
    if result["status"]:
        faults.append(f"{result['status']} answers of status 400 or more")
    if not result["requests"]:
        faults.append("no request was answered")
    elif result["bytes"] < result["requests"] * row.size:  # a redirect, which wrk does not count as an error, is short too
        faults.append(f"{result['bytes'] / result['requests']:.0f} bytes for each answer, {row.size} expected")
    if proxy.site.access_log and not all_logged(proxy.site.access_log, result["requests"]):
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
