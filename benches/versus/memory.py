"""Rows of memory: what an idle client costs a proxy, on a keep-alive connection, in a stream or a tunnel."""

import time

import process
from report import Line, Memory

WARM_UP = 64  # clients that came and went before the memory is read for the first time
SETTLE = 0.5  # seconds for the proxy to close and to free what it will


def measure_row(stage, row, contestants: list, options) -> list:
    """Rounds in which each has its turn with a fresh proxy."""
    lines = [Line(row, contestant, []) for contestant in contestants]
    for _ in range(options.rounds):
        for line in lines:
            line.samples.append(measure(stage, row, line.contestant))
    return lines


def measure(stage, row, contestant) -> Memory:
    """One round of one proxy: its memory without clients and with all of them."""
    proxy = stage.start(row, contestant)
    stage.hold(row, proxy, WARM_UP)
    stage.release(proxy)
    before = settled_pss(proxy)
    stage.hold(row, proxy, row.clients)
    after = settled_pss(proxy)
    stage.end(proxy)
    return Memory(before_mb=before / 1024, after_mb=after / 1024, bytes_per_client=(after - before) * 1024 / row.clients)


def settled_pss(proxy) -> int:
    """The proxy's memory in KiB after a while, with all of its clients still there."""
    time.sleep(SETTLE)
    proxy.check_alive()
    return process.memory_kib(proxy.pids, "Pss")
