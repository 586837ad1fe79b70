"""What a run gives: medians of its rounds, a table to read and the same as JSON."""

import statistics
from dataclasses import asdict, dataclass, field

HEAD = f"{'row':<15} {'proxy':<8} {'user':>7} {'sys':>7} {'total':>7} {'ratio':>6} {'p50 ms':>8} {'p99 ms':>8} {'req/s':>8} {'errors':>6} {'RSS MB':>7}"


@dataclass
class Sample:
    """One round of one proxy."""

    requests: int
    seconds: float
    user_us: float  # CPU microseconds for each request
    system_us: float
    p50_ms: float
    p99_ms: float
    rss_mb: float
    new_connections: int  # that the backend saw
    other_load: float  # share of the proxy's core that others used
    faults: list = field(default_factory=list)

    @property
    def total_us(self) -> float:
        """User and system."""
        return self.user_us + self.system_us


@dataclass
class Line:
    """One row of work by one proxy, over all rounds."""

    row: str
    proxy: str
    samples: list

    def median(self, name: str) -> float:
        """The median of one figure over the rounds."""
        return statistics.median(getattr(sample, name) for sample in self.samples)

    def faults(self) -> list:
        """Everything that went wrong, in the order of the rounds."""
        return [fault for sample in self.samples for fault in sample.faults]

    def rate(self) -> float:
        """Requests a second."""
        return statistics.median(sample.requests / sample.seconds for sample in self.samples)


def ratios(lines: list) -> dict:
    """For one row: each proxy's CPU time over that of the better peer (of both peers for lbd, of the other one for a peer)."""
    cost = {line.proxy: line.median("total_us") for line in lines}
    found = {}
    for proxy, own in cost.items():
        others = [cost[peer] for peer in ("nginx", "haproxy") if peer in cost and peer != proxy]
        found[proxy] = own / min(others) if others and min(others) > 0 else None
    return found


def text(lines: list) -> str:
    """The lines of one row as a table without its head."""
    rows, ratio = [], ratios(lines)
    for line in lines:
        user, system, total = (line.median(name) for name in ("user_us", "system_us", "total_us"))
        shown = f"{ratio[line.proxy]:.3f}" if ratio[line.proxy] else "-"
        rows.append(
            f"{line.row:<15} {line.proxy:<8} {user:7.2f} {system:7.2f} {total:7.2f} {shown:>6} {line.median('p50_ms'):8.2f} "
            f"{line.median('p99_ms'):8.2f} {line.rate():8.0f} {len(line.faults()):6} {line.median('rss_mb'):7.1f}"
        )
    return "\n".join(rows)


def spread(lines: list) -> float:
    """The widest distance between a proxy's rounds in CPU time, as a share of its median: how far to trust the row."""
    return max((max(own) - min(own)) / statistics.median(own) for own in ([s.total_us for s in line.samples] for line in lines))


def as_json(lines: list, machine: dict) -> dict:
    """Everything measured, for a program to read."""
    out = {"machine": machine, "rows": {}}
    for name in dict.fromkeys(line.row for line in lines):
        row = [line for line in lines if line.row == name]
        ratio = ratios(row)
        figures = ("user_us", "system_us", "total_us", "p50_ms", "p99_ms", "rss_mb", "new_connections", "other_load")
        out["rows"][name] = {
            line.proxy: {key: round(line.median(key), 3) for key in figures}
            | {"requests_per_second": round(line.rate(), 1), "ratio": ratio[line.proxy] and round(ratio[line.proxy], 4)}
            | {"faults": line.faults(), "rounds": [asdict(sample) for sample in line.samples]}
            for line in row
        }
    return out
