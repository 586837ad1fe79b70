#!/usr/bin/env python3
"""lbd against nginx, HAProxy and itself: CPU time for each request, or memory, on the same work. See benches/README.md."""

import argparse
import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ in the source tree

import load  # noqa: E402
import memory  # noqa: E402
import process  # noqa: E402
import report  # noqa: E402
from process import Failure  # noqa: E402
from proxies import Stage  # noqa: E402
from rows import PEERS, PROGRAMS, ROWS  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
OWN_CORE = 1  # that of the load
OWN_PROGRAMS = ("relay", "echo")  # benches of cargo's; each has an option for its path
SPARE_DESCRIPTORS = 4096  # for any one process, beside those of idle clients


def arguments():
    """The command line; `plan` is what it asks for: rows, each with its contestants."""
    described = "\n".join(f"  {row.name:<16} {row.about}" for row in ROWS)
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"rows:\n{described}", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds for each row (3)")
    parser.add_argument("--seconds", type=int, default=5, help="length of one measurement (5)")
    parser.add_argument("--rows", help="comma-separated, of those below")
    parser.add_argument("--only", help=f"comma-separated programs, of: {','.join(PROGRAMS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there as well")
    parser.add_argument("--lbd", default=str(ROOT / "target/release/lbd"), metavar="PATH", help="the binary, or `none` for the peers only")
    parser.add_argument("--relay", metavar="PATH", help="the binary of the row `floor`, which cargo builds otherwise")
    parser.add_argument("--echo", metavar="PATH", help="the binary of the rows `ws-echo` and `udp-echo`, which cargo builds otherwise")
    options = parser.parse_args()
    rows = choose(parser, "--rows", options.rows, {row.name: row for row in ROWS})
    programs = set(choose(parser, "--only", options.only, {name: name for name in PROGRAMS}))
    if options.lbd == "none":
        programs.discard("lbd")
    plan = [(row, [contestant for contestant in row.contestants if contestant.program in programs]) for row in rows]
    options.plan = [(row, contestants) for row, contestants in plan if contestants]
    if not options.plan:
        parser.error("none of these programs has a part in these rows")
    return options


def choose(parser, option: str, wanted: str | None, known: dict) -> list:
    """The entries of `known` that a comma-separated list names; all of them without a list."""
    names = wanted.split(",") if wanted else list(known)
    if strange := [name for name in names if name not in known]:
        parser.error(f"{option}: unknown {', '.join(strange)}; there are {', '.join(known)}")
    return [known[name] for name in names]


def main() -> int:
    """Runs the rows that were asked for. Exit code 0, also where a goal is missed, or 1 after any fault."""
    options = arguments()
    try:
        lines = measure_all(options)
    except (Failure, OSError, http.client.HTTPException) as failure:
        print(f"versus: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("versus: interrupted", file=sys.stderr)
        return 130
    print(report.goals(lines))
    if options.json:
        options.json.write_text(json.dumps(report.as_json(lines, machine(options)), indent=1) + "\n")
    faults = [f"{line.row.name}: {line.contestant.name}: {fault}" for line in lines for fault in line.faults]
    for fault in faults:
        print(f"versus: FAULT: {fault}", file=sys.stderr)
    return 1 if faults else 0


def measure_all(options) -> list:
    """Measures row after row and prints each when it is done."""
    binaries = prepare_machine(options)
    lines, shown = [], ""
    with process.Children("lbd-versus") as children:
        for name in OWN_PROGRAMS:
            if binaries.get(name) == "cargo":
                binaries[name] = build(children, name)
        stage = Stage(children, binaries)
        print("CPU microseconds for each request; ratio: to the better other peer or the row's baseline; !: goal missed; medians over the rounds")
        for row, contestants in options.plan:
            measure_row = memory.measure_row if row.memory else load.measure_row
            done = measure_row(stage, row, contestants, options)
            report.compare(done)
            if (head := report.head(done)) != shown:
                print(shown := head)
            print(report.text(done), flush=True)
            if not row.memory:
                warn_of_other_load(done)
            lines += done
    return lines


def prepare_machine(options) -> dict:
    """Fails if anything is absent, raises limits, moves this script out of the way; gives the path of each program in the plan."""
    paths = {"nginx": "nginx", "haproxy": "haproxy", "lbd": options.lbd} | {name: getattr(options, name) or "cargo" for name in OWN_PROGRAMS}
    programs = {contestant.program for _, contestants in options.plan for contestant in contestants}
    loads = {row.client for row, _ in options.plan if not row.memory}
    binaries = {program: path for program, path in paths.items() if program in programs | loads}
    process.need("taskset", "nginx", *binaries.values(), *clients_of(options.plan))
    cores = {int(core) for row, _ in options.plan for core in f"{row.proxy_cores},{row.load_cores}".split(",")}
    if not cores <= os.sched_getaffinity(0):
        raise Failure(f"needs cores {', '.join(map(str, sorted(cores)))}")
    idle = max(row.idle_descriptors(contestant) for row, contestants in options.plan for contestant in contestants)
    process.allow_descriptors(idle + SPARE_DESCRIPTORS)
    os.sched_setaffinity(0, {OWN_CORE})
    return binaries


def clients_of(plan: list) -> list:
    """The programs that make the load, but for our own, and what the rows need beside them."""
    rows = [row for row, _ in plan]
    beside = [name for row in rows for name in (["openssl"] if row.tls else []) + (["nghttp"] if row.streams else [])]
    return [row.client for row in rows if not row.memory and row.client not in OWN_PROGRAMS] + beside


def build(children, name: str) -> str:
    """Has cargo build one of our own programs, and gives the path that cargo names."""
    command = ["cargo", "build", "--manifest-path", ROOT / "Cargo.toml", "--release", "--bench", name, "--message-format=json"]
    for line in children.output("cargo", command, "0,1").splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == name and message["executable"]:
            return message["executable"]
    raise Failure(f"cargo built no {name}")


def warn_of_other_load(lines: list):
    """Says so if somebody else used the proxy's core meanwhile."""
    worst = max(sample.other_load for line in lines for sample in line.samples)
    if worst > 0.05:
        print(f"versus: warning: others used {worst:.0%} of the proxy's core during a round", file=sys.stderr)


def machine(options) -> dict:
    """What the figures depend on."""
    model = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    programs = {contestant.program for _, contestants in options.plan for contestant in contestants}
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": model[0] if model else "unknown",
        "kernel": os.uname().release,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "versions": {name: version(name) for name in PEERS if name in programs},
    }


def version(program: str) -> str:
    """The first line of what a program says of itself."""
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
