"""Processes under test: free ports, start, wait until ready, CPU time, memory, and a sure end.

Everything a bench starts is a `Child` in one `Children` block. Leaving the block, in whatever way, ends every child by its pid
and removes the temporary directory. Nothing is ever found or killed by name.
"""

import contextlib
import ctypes
import http.client
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIBC = ctypes.CDLL(None)


class Failure(Exception):
    """What the operator must see: a program that is absent, a process that died, an answer that is wrong."""


class Ports:
    """Ports chosen by the system, held for the whole run.

    The socket that reserved a port stays bound, without listening, so that the kernel never gives the port to an outgoing
    connection while a server on it is down. Servers bind beside it, since they all set SO_REUSEADDR or SO_REUSEPORT.
    """

    def __init__(self):
        self.held = []

    def take(self) -> int:
        """Reserves one more port on 127.0.0.1."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        self.held.append(sock)
        return sock.getsockname()[1]

    @staticmethod
    def take_udp() -> int:
        """A free UDP port, which cannot be held: a second socket on it would be given a part of the server's datagrams."""
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            return sock.getsockname()[1]

    def close(self):
        """Gives all of them back."""
        for sock in self.held:
            sock.close()


class Child:
    """One process that we started, and those that it started."""

    def __init__(self, name: str, command: list, log: Path, cores: str | None = None, stdout=None):
        self.name = name
        self.log = log
        pinned = ["taskset", "-c", cores] if cores else []
        with open(log, "ab") as err:
            self.popen = subprocess.Popen(
                [str(part) for part in [*pinned, *command]],
                stdin=subprocess.DEVNULL,
                stdout=stdout or err,
                stderr=err,
                start_new_session=True,  # Ctrl-C reaches us alone; we end the children in order
                preexec_fn=die_with_parent,
            )
        self.pid = self.popen.pid
        self.family = {}

    def alive(self) -> bool:
        """Whether the process itself still runs."""
        return self.popen.poll() is None

    def workers(self) -> list:
        """The processes that do the work: the children of a master, or the process itself."""
        for pid in children_of(self.pid):
            self.family[pid] = start_time(pid)
        return children_of(self.pid) or [self.pid]

    def end(self):
        """Asks the process to end, insists after a while, and takes its own children along."""
        if self.alive():
            self.workers()
            for signum in (signal.SIGCONT, signal.SIGTERM):
                self.popen.send_signal(signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout=5)
            if self.alive():
                self.popen.kill()
        self.popen.wait()
        for pid, started in self.family.items():
            if start_time(pid) == started:  # the same process, not a later one with its number
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


class Children:
    """A block that owns a temporary directory, the ports and all processes of a run."""

    def __init__(self, label: str):
        self.label = label

    def __enter__(self):
        self.handlers = {signum: signal.signal(signum, interrupted) for signum in ENDING_SIGNALS}
        self.dir = Path(tempfile.mkdtemp(prefix=f"{self.label}."))
        self.ports = Ports()
        self.list = []
        return self

    def __exit__(self, *_):
        for signum in ENDING_SIGNALS:
            signal.signal(signum, signal.SIG_IGN)  # a second Ctrl-C must not leave anything behind
        try:
            for child in reversed(self.list):
                child.end()
        finally:
            self.ports.close()
            shutil.rmtree(self.dir, ignore_errors=True)
            for signum, handler in self.handlers.items():
                signal.signal(signum, handler)

    def directory(self, name: str) -> Path:
        """A new directory for the files of one process."""
        return Path(tempfile.mkdtemp(prefix=f"{name}.", dir=self.dir))

    def start(self, name: str, command: list, cores: str | None = None, stdout=None) -> Child:
        """Starts one process; its stderr goes to a file of its name."""
        child = Child(name, command, self.dir / f"{name}.stderr", cores, stdout)
        self.list.append(child)
        return child

    def output(self, name: str, command: list, cores: str | None = None) -> str:
        """Runs one process to its end and gives what it wrote to stdout."""
        return self.outputs(name, [command], cores)[0]

    def outputs(self, name: str, commands: list, cores: str | None = None) -> list:
        """Runs processes beside each other to their ends and gives what each wrote to stdout, which must fit into a pipe if they are many."""
        children = [self.start(name, command, cores, stdout=subprocess.PIPE) for command in commands]
        outs = []
        for child in children:
            outs.append(child.popen.communicate()[0].decode())
            self.list.remove(child)
            if child.popen.returncode:
                raise Failure(f"{name} ended with code {child.popen.returncode}:\n{outs[-1]}{child.last_words()}")
        return outs

    def end(self, child: Child):
        """Ends one process before the block does."""
        child.end()
        self.list.remove(child)


def interrupted(_signum, _frame):
    """Makes TERM and HUP leave the block as Ctrl-C does, also where the script was started with SIGINT ignored."""
    raise KeyboardInterrupt


def die_with_parent():
    """Runs in the child before exec: the kernel ends it should this script be killed outright."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def need(*programs: str):
    """Fails unless every program is there."""
    absent = [name for name in dict.fromkeys(programs) if shutil.which(name) is None]
    if absent:
        raise Failure(f"not installed: {', '.join(absent)}")


def allow_descriptors(wanted: int):
    """Raises the limit on open descriptors, which every child inherits; fails if the system does not allow as many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    enough = hard if hard == resource.RLIM_INFINITY else max(hard, wanted)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, enough))
    except ValueError:
        raise Failure(f"these rows need {wanted} open descriptors, and `ulimit -Hn` is {hard}") from None


def wait_until(what: str, ready, child: Child | None = None, seconds: float = 10.0):
    """Polls `ready` until it returns something true and returns that; fails if the child dies or time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child is not None and not child.alive():
            raise Failure(f"{child.name} ended with code {child.popen.returncode} before {what}:\n{child.last_words()}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            if result := ready():
                return result
        time.sleep(0.02)
    words = f":\n{child.last_words()}" if child else ""
    raise Failure(f"not within {seconds:g} s: {what}{words}")


def children_of(pid: int) -> list:
    """The pids of a process's living children."""
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(kid) for task in tasks for kid in (task / "children").read_text().split()]
    return []


def stat_fields(pid: int) -> list:
    """The fields of /proc/PID/stat from the third on; the second may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def start_time(pid: int) -> int | None:
    """When the process started, in ticks since boot; None if there is none. With the pid it names one process."""
    with contextlib.suppress(OSError):
        return int(stat_fields(pid)[19])
    return None


def cpu_seconds(pids: list) -> tuple:
    """User and system CPU time of these processes with all their threads."""
    fields = [stat_fields(pid) for pid in pids]
    user, system = (sum(int(field[at]) for field in fields) for at in (11, 12))
    return user / TICKS_PER_SECOND, system / TICKS_PER_SECOND


def core_seconds(cores: set) -> float:
    """Busy time of these cores, whoever used them."""
    busy = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *values = line.split()
        if name.removeprefix("cpu") in cores:
            user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, values)
            busy += user + nice + system + irq + softirq
    return busy / TICKS_PER_SECOND


def memory_kib(pids: list, kind: str) -> int:
    """Memory of these processes in KiB: `Rss`, or `Pss`, in which a shared page counts for its share."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{kind}:"):
                total += int(line.split()[1])
    return total
