"""The generated files of the proxies at layer 4: one stream of TCP or UDP to one pool, and nothing that looks into it.

Idle streams stay while a row lasts, and so do the sessions of UDP; all else is at its default.
"""

import functools
import re
import subprocess
from pathlib import Path

from configs import KEPT, MOST_CLIENTS, Site, each, nginx_frame, with_file
from process import Failure

SESSION = "60s"  # how long a session of UDP stays when its client is silent


def command(binary: str, site: Site) -> list:
    """Writes the proxy's file and gives the command that runs it."""
    match site.contestant.program:
        case "nginx":
            return with_file(binary, site, nginx(site, load_module(binary)))
        case "haproxy":
            return with_file(binary, site, haproxy(site))
        case "lbd":
            return with_file(binary, site, lbd(site))


def kept(site: Site) -> str:
    """How long what is idle stays."""
    return SESSION if site.relayed == "udp" else KEPT


@functools.cache
def load_module(binary: str) -> str:
    """The line that has nginx load its stream module, where that is a file of its own."""
    said = subprocess.run([binary, "-V"], capture_output=True, text=True, check=True).stderr
    if "--with-stream=dynamic" not in said:
        return ""
    module = Path(re.search(r"--modules-path=(\S+)", said)[1]) / "ngx_stream_module.so"
    if not module.exists():
        raise Failure(f"not installed: {module} (Debian: libnginx-mod-stream)")
    return f"load_module {module};"


def nginx(site: Site, module: str) -> str:
    """nginx with its stream module."""
    flags = "udp reuseport" if site.relayed == "udp" else "backlog=4096"
    return nginx_frame(
        site.work,
        site.contestant.workers,
        f"""stream {{
    upstream backend {{
{each(site.servers, "        server @;")}
    }}
    server {{
        listen 127.0.0.1:{site.port} {flags};
        proxy_pass backend;
        proxy_timeout {kept(site)};
    }}
}}""",
        module,
    )


def haproxy(site: Site) -> str:
    """HAProxy, which does not splice unless it is told to."""
    splice = f"\n    option splice-{site.contestant.splice}" if site.contestant.splice else ""
    return f"""global
    nbthread {site.contestant.workers}
    maxconn {MOST_CLIENTS}
    no strict-limits

defaults
    mode tcp
    timeout connect 5s
    timeout client {KEPT}
    timeout server {KEPT}{splice}

frontend public
    bind 127.0.0.1:{site.port} backlog 4096
    default_backend backend

backend backend
{each(site.servers, "    server @ @")}
"""


def lbd(site: Site) -> str:
    """lbd without a listener."""
    return f"""workers = {site.contestant.workers}
control = "off"
shutdown_timeout = "2s"

[log]
level = "warn"
access = "off"

[[streams]]
bind = "127.0.0.1:{site.port}"
protocol = "{site.relayed}"
pool = "backend"
timeouts = {{ idle = "{kept(site)}" }}

[pools.backend]
servers = [
{each(site.servers, '    "@",')}
]
"""
