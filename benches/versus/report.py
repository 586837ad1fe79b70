"""What a run gives: medians of the rounds, ratios, goals, a table to read and the same as JSON."""

import statistics
from dataclasses import asdict, dataclass, field
from typing import ClassVar

from rows import JUDGED, PEERS, Contestant, Row


@dataclass
class Load:
    """One round of one proxy under load."""

    COST: ClassVar = "total_us"
    COLUMNS: ClassVar = {  # figure: its head and decimals in the table
        "user_us": ("user", 2),
        "system_us": ("sys", 2),
        "total_us": ("total", 2),
        "p50_ms": ("p50 ms", 2),
        "p99_ms": ("p99 ms", 2),
        "requests_per_second": ("req/s", 0),
        "rss_mb": ("RSS MB", 1),
    }
    JSON_ONLY: ClassVar = ("mean_ms", "max_ms", "resumed", "new_connections", "other_load")

    requests: int
    seconds: float
    user_us: float  # CPU microseconds for each request
    system_us: float
    p50_ms: float | None  # of these, None is what the client does not say
    p99_ms: float | None
    mean_ms: float | None
    max_ms: float | None
    resumed: float | None  # share of the TLS connections that took up an older session
    rss_mb: float
    new_connections: int | None  # that the backend saw; None where it does not count them
    other_load: float  # share of the proxy's own core that others used
    faults: list = field(default_factory=list)

    @property
    def total_us(self) -> float:
        """User and system."""
        return self.user_us + self.system_us

    @property
    def requests_per_second(self) -> float:
        """The rate at which they were answered."""
        return self.requests / self.seconds


@dataclass
class Memory:
    """One round of one proxy with idle clients."""

    COST: ClassVar = "bytes_per_client"
    COLUMNS: ClassVar = {"before_mb": ("PSS MB", 1), "after_mb": ("with all", 1), "bytes_per_client": ("B/client", 0)}
    JSON_ONLY: ClassVar = ()

    before_mb: float
    after_mb: float
    bytes_per_client: float
    faults: list = field(default_factory=list)


@dataclass
class Line:
    """One row of work by one contestant, over all rounds."""

    row: Row
    contestant: Contestant
    samples: list
    ratio: float | None = None  # of its cost to that of its baseline

    def median(self, figure: str) -> float | None:
        """The median of one figure over the rounds; None if it is not known."""
        values = [getattr(sample, figure) for sample in self.samples]
        return None if None in values else statistics.median(values)

    @property
    def costs(self) -> list:
        """What is compared, in each round: CPU time for each request, or bytes for each client."""
        return [getattr(sample, sample.COST) for sample in self.samples]

    @property
    def cost(self) -> float:
        """The median of the costs."""
        return statistics.median(self.costs)

    @property
    def judged(self) -> float | None:
        """The figure that must not exceed the goal; None if the line has no goal or nothing to be compared with."""
        if self.contestant.program != JUDGED:
            return None
        return self.ratio if self.row.judged_by_ratio else self.cost

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if there is none."""
        return None if self.judged is None else self.judged <= self.row.goal

    @property
    def faults(self) -> list:
        """Everything that went wrong, in the order of the rounds."""
        return [fault for sample in self.samples for fault in sample.faults]


def compare(lines: list):
    """Sets the ratios of one row's lines."""
    for line in lines:
        base = baseline(line, lines)
        line.ratio = line.cost / base.cost if base and base.cost > 0 else None


def baseline(line: Line, lines: list) -> Line | None:
    """The line that a line's ratio is to: the one that the row names, or the better of the other peers."""
    program = line.contestant.program
    if line.row.baseline:
        name = line.row.baseline.format(program=program)
        return next((other for other in lines if other.contestant.name == name and other is not line), None)
    peers = [other for other in lines if other.contestant.program in PEERS and other.contestant.program != program]
    return min((peer for peer in peers if not peer.contestant.aside), key=lambda peer: peer.cost, default=None)


def head(lines: list) -> str:
    """The head of the table for rows of this kind."""
    figures = "".join(f"{title:>9}" for title, _ in lines[0].samples[0].COLUMNS.values())
    return f"{'row':<16} {'contestant':<16} {'ratio':>6} {'goal':>7}{figures} {'errors':>7}"


def text(lines: list) -> str:
    """The lines of one row as a table without its head, and how far to trust it."""
    return "\n".join([*map(text_of, lines), f"{'':16} spread of the rounds {spread(lines):.1%}"])


def text_of(line: Line) -> str:
    """One line of the table."""
    ratio = "-" if line.ratio is None else f"{line.ratio:.3f}"
    goal = "" if line.met is None else f"{line.row.goal:g}" + (" " if line.met else "!")
    figures = "".join(cell(line.median(figure), decimals) for figure, (_, decimals) in line.samples[0].COLUMNS.items())
    return f"{line.row.name:<16} {line.contestant.name:<16} {ratio:>6} {goal:>7}{figures} {len(line.faults):7}"


def cell(figure: float | None, decimals: int) -> str:
    """One figure of the table; a dash if it is not known."""
    return f"{'-':>9}" if figure is None else f"{figure:9.{decimals}f}"


def spread(lines: list) -> float:
    """The widest distance between a contestant's rounds, as a share of its median cost."""
    return max((max(line.costs) - min(line.costs)) / line.cost if line.cost else 0.0 for line in lines)


def goals(lines: list) -> str:
    """All goals, the missed ones last."""
    judged = sorted((line for line in lines if line.met is not None), key=lambda line: not line.met)
    return "\n".join([*map(goal_of, judged), f"{sum(line.met for line in judged)} of {len(judged)} goals met"])


def goal_of(line: Line) -> str:
    """What became of one goal."""
    figure = f"{line.judged:.3f}" if line.row.judged_by_ratio else f"{line.judged:.0f} B"
    return f"{'met   ' if line.met else 'MISSED'}  {line.row.name:<16} {line.contestant.name:<16} {figure:>7} of {line.row.goal:g}"


def as_json(lines: list, machine: dict) -> dict:
    """Everything measured, for a program to read."""
    out = {"machine": machine, "rows": {}}
    for line in lines:
        sample = line.samples[0]
        medians = {figure: line.median(figure) for figure in (*sample.COLUMNS, *sample.JSON_ONLY)}
        figures = {figure: None if median is None else round(median, 3) for figure, median in medians.items()}
        verdict = {"ratio": line.ratio and round(line.ratio, 4), "goal": None if line.met is None else line.row.goal, "met": line.met}
        rounds = [asdict(sample) for sample in line.samples]
        out["rows"].setdefault(line.row.name, {})[line.contestant.name] = figures | verdict | {"faults": line.faults, "rounds": rounds}
    return out
