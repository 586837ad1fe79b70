#!/usr/bin/env python3
"""Instructions of lbd for each request, user space only, counted by callgrind. See benches/README.md.

Times on a shared machine differ by more than most changes do; this count does not. One client asks one request after the other, so what
a busy worker does once for many of them (looking for events) is done for each here. The counters are zeroed after a warm-up.
"""

import argparse
import contextlib
import re
import socket
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ in the source tree

import configs  # noqa: E402
import process  # noqa: E402
from process import Failure  # noqa: E402
from proxies import Backend, fetch  # noqa: E402
from rows import ROWS, Contestant  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
WARM_UP, COUNTED = 1_000, 5_000  # requests
NAMES = ("small", "20k", "post-10k", "new-connection", "log")
STARTED = 60.0  # seconds: valgrind is slow


def main() -> int:
    """Counts the rows that were asked for. Exit code 0, or 1 after any fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(NAMES), help=f"comma-separated, of: {','.join(NAMES)}")
    parser.add_argument("--lbd", default=str(ROOT / "target/release/lbd"), metavar="PATH", help="the binary")
    parser.add_argument("--profile", type=int, metavar="N", default=0, help="show the N dearest functions of each row, too")
    options = parser.parse_args()
    rows = {row.name: row for row in ROWS if row.name in NAMES}
    if strange := set(options.rows.split(",")) - set(rows):
        parser.error(f"--rows: unknown {', '.join(sorted(strange))}")
    try:
        process.need("valgrind", "callgrind_control", "callgrind_annotate", "nginx", options.lbd)
        with process.Children("lbd-instructions") as children:
            backend = Backend(children, "0,1")
            for name in options.rows.split(","):
                profile = count(children, rows[name], backend, options.lbd)
                print(f"{name:<16} {total(profile) / COUNTED:9.0f} instructions for each request", flush=True)
                for line in dearest(profile, options.profile):
                    print(f"    {line}")
    except (Failure, OSError) as failure:
        print(f"instructions: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def count(children, row, backend, lbd: str) -> Path:
    """Runs one row's requests and gives callgrind's profile of the counted ones."""
    site = configs.Site(children.directory(row.name), children.ports.take(), backend.port, Contestant("lbd", access_log=row.name == "log"))
    out = site.work / "callgrind.out"
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--vgdb-prefix={site.work}/vgdb"]
    child = children.start(f"{row.name}-lbd", [*tool, *configs.command(lbd, site)])
    process.wait_until("it answered", lambda: fetch(site.port, row.path, row.post)[0] == 200, child, STARTED)
    client = Client(site.port, row)
    client.ask(WARM_UP)
    control(site, child, "--zero")
    client.ask(COUNTED)
    control(site, child, "--dump")
    client.close()
    children.end(child)
    return next(site.work.glob("callgrind.out.1*"))


def control(site: configs.Site, child, verb: str):
    """Tells the running callgrind to do something."""
    command = ["callgrind_control", f"--vgdb-prefix={site.work}/vgdb", verb, str(child.pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or "OK." not in done.stdout:
        raise Failure(f"callgrind_control {verb}: {done.stdout}{done.stderr}")


class Client:
    """One client of a row, on one connection or on one for each request."""

    def __init__(self, port: int, row):
        self.port, self.row, self.connection = port, row, None
        head = f"{'POST' if row.post else 'GET'} {row.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        head += f"Content-Length: {row.post}\r\n" if row.post else ""
        head += "Connection: close\r\n" if row.close else ""
        self.request = f"{head}\r\n".encode() + b"b" * row.post

    def ask(self, count: int):
        """Makes so many requests, each after the answer to the one before."""
        for _ in range(count):
            if not self.connection:
                self.connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
            self.connection.sendall(self.request)
            answer = b""
            while len(answer.partition(b"\r\n\r\n")[2]) < self.row.size:
                if not (received := self.connection.recv(65_536)):
                    raise Failure(f"{self.row.name}: the answer was cut off: {answer[:200]!r}")
                answer += received
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise Failure(f"{self.row.name}: answered {answer[:200]!r}")
            if self.row.close:
                self.close()

    def close(self):
        """Closes the connection, if there is one."""
        if self.connection:
            self.connection.close()
            self.connection = None


def total(profile: Path) -> int:
    """All instructions of a profile."""
    found = re.search(r"^(?:totals|summary): (\d+)", profile.read_text(), re.MULTILINE)
    if not found:
        raise Failure(f"no totals in {profile}")
    return int(found[1])


def dearest(profile: Path, count: int) -> list:
    """The functions that the instructions were spent in, the dearest first."""
    if not count:
        return []
    command = ["callgrind_annotate", "--auto=no", "--show-percs=no", "--threshold=100", str(profile)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = {}
    for line in text.splitlines():
        if found := re.match(r"\s*([\d,]+)\s+\S*?:(\S.*?)(?: \[[^\]]*\])?$", line):
            name = re.sub(r"'\d+$", "", found[2])
            spent[name] = spent.get(name, 0) + int(found[1].replace(",", ""))
    # What was entered before the counters were zeroed seems to have spent everything.
    real = {name: cost for name, cost in spent.items() if cost < 0.9 * total(profile)}
    order = sorted(real.items(), key=lambda item: -item[1])[:count]
    return [f"{cost / COUNTED:8.0f}  {name[:120]}" for name, cost in order]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
