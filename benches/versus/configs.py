"""The generated files: backend, the three proxies, and wrk's scripts.

With TLS the proxies have the same certificate, speak 1.2 and 1.3, offer HTTP/2 and HTTP/1.1, and give out session tickets.
The proxies are set to do the same work: HTTP/1.1 with keep-alive to the backend, the client's Host passed on, the same six request
headers set (what the client sent in them is replaced, but for its request id, which is kept), no limit on requests for each connection,
no end of idle connections while a row lasts; workers, routes, servers and access log as the contestant says. All else is at its default.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from rows import ROWS, Contestant
from tls import Certificate

MOST_CLIENTS = 12_000  # at a time; no row has as many
IDLE_CONNECTIONS = 4096  # to the backend; no row needs as many
FOREVER = 100_000_000  # requests for each connection
KEPT = "600s"  # how long idle connections stay, on both sides
MOST_SERVERS = max(contestant.servers for row in ROWS for contestant in row.contestants)

SEEN = (
    "x_forwarded_for", "x_forwarded_proto", "x_forwarded_host", "x_forwarded_port", "x_real_ip", "x_request_id", "host", "connection",
)  # fmt: skip

# The fields of lbd's own access line, so that both write the same.
NGINX_LOG = (
    """'$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" host="$http_host" """
    """id=$request_id time=$request_time pool=$proxy_host servers="$upstream_addr" results="$upstream_status" """
    """times="$upstream_response_time"'"""
)

NGINX_KEPT = """
        proxy_set_header Connection "";"""

NGINX_TUNNEL = f"""
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
        proxy_read_timeout {KEPT};
        proxy_send_timeout {KEPT};"""

LBD_TLS = """
tls = {{ certificates = [{{ cert = "{cert}", key = "{key}" }}] }}"""

LBD_ROUTE = """
[[routes]]
path = "@"
pool = "backend"
"""


@dataclass(frozen=True)
class Site:
    """What a proxy's file is made of."""

    work: Path  # a directory of its own
    port: int
    backend_port: int
    contestant: Contestant
    certificate: Certificate | None = None  # None: no TLS
    relayed: str = "http"  # as in the row

    @property
    def scheme(self) -> str:
        """What clients write before the address."""
        return "https" if self.certificate else "http"

    @property
    def access_log(self) -> Path | None:
        """The file that the access log goes to, if there is to be one."""
        return self.work / "access.log" if self.contestant.access_log else None

    @property
    def servers(self) -> list:
        """The servers of the pool: addresses of the one backend."""
        return addresses(self.contestant.servers, self.backend_port)

    @property
    def paths(self) -> list:
        """The paths that are routed."""
        return ["/", *(f"/app_{number}/part/" for number in range(self.contestant.routes))]


def addresses(count: int, port: int) -> list:
    """So many addresses of the loopback interface, 127.0.0.1 first."""
    return [f"127.0.{number // 250}.{number % 250 + 1}:{port}" for number in range(count)]


def each(items: list, template: str) -> str:
    """The template once for each item, which stands for its `@`, on lines of their own."""
    return "\n".join(template.replace("@", item) for item in items)


def command(binary: str, site: Site) -> list:
    """Writes the proxy's file and gives the command that runs it."""
    match site.contestant.program:
        case "nginx":
            return with_file(binary, site, nginx(site))
        case "haproxy":
            return with_file(binary, site, haproxy(site))
        case "lbd":
            return with_file(binary, site, lbd(site))
        case "relay":
            return [binary, f"127.0.0.1:{site.port}", *site.servers, *(["tokio"] if site.contestant.tokio else [])]


def with_file(binary: str, site: Site, text: str) -> list:
    """The command that runs the proxy with this text as its file."""
    file = site.work / "conf"
    file.write_text(text)
    options = {"nginx": ["-e", site.work / "error.log", "-c"], "haproxy": ["-db", "-f"], "lbd": ["-c"]}
    return [binary, *options[site.contestant.program], file]


def nginx_frame(work: Path, workers: int, block: str, module: str = "") -> str:
    """What every nginx of ours has around its `http` or `stream`."""
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""{module}
{user}
daemon off;
worker_processes {workers};
pid {work}/pid;
error_log {work}/error.log warn;
events {{ worker_connections {MOST_CLIENTS}; }}
{block}
"""


def nginx_http(work: Path, workers: int, http: str) -> str:
    """What every nginx of ours that speaks HTTP has around its `server`."""
    temp = each(["client_body", "proxy", "fastcgi", "uwsgi", "scgi"], f"    @_temp_path {work}/@;")
    return nginx_frame(
        work,
        workers,
        f"""http {{
{temp}
    keepalive_requests {FOREVER};
    keepalive_timeout {KEPT};
{http}
}}""",
    )


def backend(work: Path, port: int, workers: int) -> str:
    """The nginx that answers. `mirror` makes it read the whole body of a POST, which a static file then refuses with 405."""
    for name, size in (("20k", 20_480), ("1m", 1_048_576), ("post", 0)):
        (work / name).write_bytes(b"x" * size)
    seen = "".join(rf"{name}: $http_{name}\n" for name in SEEN)
    return nginx_http(
        work,
        workers,
        f"""
    access_log off;
    default_type text/plain;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16 inactive=1h;
    open_file_cache_valid 1h;
    client_body_buffer_size 64k;
    server {{
{each(addresses(MOST_SERVERS, port), "        listen @ backlog=4096;")}
        root {work};
        location = /small {{ return 200 "{'s' * 100}"; }}
        location = /20k {{ }}
        location = /1m {{ }}
        location = /post {{ mirror /ignore; error_page 405 =200 @posted; }}
        location @posted {{ return 200 "{'p' * 100}"; }}
        location = /ignore {{ internal; return 204; }}
        location ^~ /app_ {{ return 200 "{'a' * 100}"; }}
        location = /seen {{ return 200 "protocol: $server_protocol\\nserial: $connection\\n{seen}"; }}
        location = /accepted {{ stub_status; }}
    }}""",
    )


def nginx_tls(certificate: Certificate) -> str:
    """The lines of nginx's `server` that TLS needs beside its `listen`."""
    return f"""
        ssl_certificate {certificate.cert};
        ssl_certificate_key {certificate.key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_tickets on;"""


def nginx(site: Site) -> str:
    """nginx as the proxy. With a log it buffers as lbd does, which is its cheaper way."""
    log = f"access_log {site.access_log} full buffer=64k flush=1s;" if site.access_log else "access_log off;"
    flags = (" ssl http2" if site.certificate else "") + (" deferred" if site.contestant.deferred else "")
    return nginx_http(
        site.work,
        site.contestant.workers,
        f"""
    log_format full {NGINX_LOG};
    {log}
    map $http_x_request_id $id {{ default $http_x_request_id; "" $request_id; }}
    upstream backend {{
{each(site.servers, "        server @;")}
        keepalive {IDLE_CONNECTIONS};
        keepalive_requests {FOREVER};
        keepalive_timeout {KEPT};
    }}
    server {{
        listen 127.0.0.1:{site.port} backlog=4096{flags};{nginx_tls(site.certificate) if site.certificate else ""}
        proxy_http_version 1.1;{NGINX_TUNNEL if site.relayed == "ws" else NGINX_KEPT}
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Forwarded-Port $server_port;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Request-Id $id;
        proxy_max_temp_file_size 0;
{each(site.paths, "        location @ { proxy_pass http://backend; }")}
    }}""",
    )


def haproxy(site: Site) -> str:
    """HAProxy as the proxy, one thread for each worker. It wants two descriptors for each client, which idle ones never need: not strictly."""
    flags = f" ssl crt {site.certificate.both} ssl-min-ver TLSv1.2 alpn h2,http/1.1" if site.certificate else ""
    flags += " defer-accept" if site.contestant.deferred else ""
    tunnel = f"\n    timeout tunnel {KEPT}" if site.relayed == "ws" else ""
    return f"""global
    nbthread {site.contestant.workers}
    maxconn {MOST_CLIENTS}
    no strict-limits

defaults
    mode http
    timeout connect 5s
    timeout client {KEPT}
    timeout server 60s
    timeout http-keep-alive {KEPT}{tunnel}
    http-reuse always

frontend public
    bind 127.0.0.1:{site.port} backlog 4096{flags}
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto {site.scheme}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Real-IP %[src]
    http-request set-header X-Request-Id %[uuid] unless {{ req.hdr(x-request-id) -m found }}
    default_backend backend

backend backend
    default-server pool-purge-delay {KEPT}
{each(site.servers, "    server @ @")}
"""


def lbd(site: Site) -> str:
    """lbd; the headers are its default."""
    servers, routes = each(site.servers, '    "@",'), each(site.paths, LBD_ROUTE)
    tls = LBD_TLS.format(cert=site.certificate.cert, key=site.certificate.key) if site.certificate else ""
    tunnel = f'\ntimeouts = {{ tunnel = "{KEPT}" }}' if site.relayed == "ws" else ""
    return f"""workers = {site.contestant.workers}
control = "off"
shutdown_timeout = "2s"

[log]
level = "warn"
access = "{site.access_log or 'off'}"

[[listeners]]
bind = "127.0.0.1:{site.port}"
timeouts = {{ idle = "{KEPT}" }}{tls}

{routes}
[pools.backend]
servers = [
{servers}
]
keepalive = {{ idle = {IDLE_CONNECTIONS}, timeout = "{KEPT}", requests = {FOREVER} }}{tunnel}
"""


def wrk_script(post: int) -> str:
    """wrk's script: the request, if it is not a plain GET, and one line of JSON at the end."""
    request = f'wrk.method = "POST"\nwrk.body = string.rep("b", {post})\n' if post else ""
    return (
        request
        + """
function done(summary, latency)
  local e = summary.errors
  local function field(name, value) return string.format('"%s":%.0f', name, value) end
  io.write("RESULT {", table.concat({
    field("requests", summary.requests), field("duration_us", summary.duration), field("bytes", summary.bytes),
    field("connect", e.connect), field("read", e.read), field("write", e.write), field("timeout", e.timeout),
    field("status", e.status), field("p50_us", latency:percentile(50)), field("p99_us", latency:percentile(99)),
    field("mean_us", latency.mean), field("max_us", latency.max)}, ","), "}\\n")
end
"""
    )
