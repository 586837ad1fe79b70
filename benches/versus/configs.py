"""The generated files: backend, the three proxies, and wrk's scripts.

The proxies are set to do the same work: HTTP/1.1 with keep-alive to the backend, the client's Host passed on, the same six request
headers set (what the client sent in them is replaced, but for its request id, which is kept), one worker, no access log but where the
row asks for one, and no limit on requests for each connection. All else is at its default.
"""

import os
from pathlib import Path

IDLE_CONNECTIONS = 1024  # to the backend; more than any row has clients
FOREVER = 100_000_000  # requests for each connection

SEEN = (
    "x_forwarded_for", "x_forwarded_proto", "x_forwarded_host", "x_forwarded_port", "x_real_ip", "x_request_id", "host", "connection",
)  # fmt: skip

# The fields of lbd's own access line, so that both write the same.
NGINX_LOG = (
    """'$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" host="$http_host" """
    """id=$request_id time=$request_time pool=$proxy_host servers="$upstream_addr" results="$upstream_status" """
    """times="$upstream_response_time"'"""
)


def nginx_frame(work: Path, http: str) -> str:
    """What every nginx of ours has around its `server`."""
    user = "user root;" if os.geteuid() == 0 else ""
    temp = "\n".join(f"    {kind}_temp_path {work}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""{user}
daemon off;
worker_processes 1;
pid {work}/pid;
error_log {work}/error.log warn;
events {{ worker_connections 8192; }}
http {{
{temp}
    keepalive_requests {FOREVER};
{http}
}}
"""


def backend(work: Path, port: int) -> str:
    """The nginx that answers. `mirror` makes it read the whole body of a POST, which a static file then refuses with 405."""
    for name, size in (("20k", 20_480), ("1m", 1_048_576), ("post", 0)):
        (work / name).write_bytes(b"x" * size)
    seen = "".join(rf"{name}: $http_{name}\n" for name in SEEN)
    return nginx_frame(
        work,
        f"""
    access_log off;
    default_type text/plain;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16 inactive=1h;
    open_file_cache_valid 1h;
    client_body_buffer_size 64k;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {work};
        location = /small {{ return 200 "{'s' * 100}"; }}
        location = /20k {{ }}
        location = /1m {{ }}
        location = /post {{ mirror /ignore; error_page 405 =200 @posted; }}
        location @posted {{ return 200 "{'p' * 100}"; }}
        location = /ignore {{ internal; return 204; }}
        location = /seen {{ return 200 "protocol: $server_protocol\\nrequests: $connection_requests\\n{seen}"; }}
        location = /accepted {{ stub_status; }}
    }}""",
    )


def nginx(work: Path, port: int, backend_port: int, access_log: Path | None) -> str:
    """nginx as the proxy. With a log it buffers as lbd does, which is its cheaper way."""
    log = f"access_log {access_log} full buffer=64k flush=1s;" if access_log else "access_log off;"
    return nginx_frame(
        work,
        f"""
    log_format full {NGINX_LOG};
    {log}
    map $http_x_request_id $id {{ default $http_x_request_id; "" $request_id; }}
    upstream backend {{
        server 127.0.0.1:{backend_port};
        keepalive {IDLE_CONNECTIONS};
        keepalive_requests {FOREVER};
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Request-Id $id;
            proxy_max_temp_file_size 0;
        }}
    }}""",
    )


def haproxy(port: int, backend_port: int) -> str:
    """HAProxy as the proxy, one thread."""
    return f"""global
    nbthread 1
    maxconn 4096

defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 75s
    http-reuse always

frontend public
    bind 127.0.0.1:{port} backlog 4096
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Real-IP %[src]
    http-request set-header X-Request-Id %[uuid] unless {{ req.hdr(x-request-id) -m found }}
    default_backend backend

backend backend
    server one 127.0.0.1:{backend_port}
"""


def lbd(port: int, backend_port: int, access_log: Path | None) -> str:
    """lbd with one worker; the headers are its default."""
    return f"""workers = 1
control = "off"
shutdown_timeout = "2s"

[log]
level = "warn"
access = "{access_log or 'off'}"

[[listeners]]
bind = "127.0.0.1:{port}"

[[routes]]
path = "/"
pool = "backend"

[pools.backend]
servers = ["127.0.0.1:{backend_port}"]
keepalive = {{ idle = {IDLE_CONNECTIONS}, timeout = "60s", requests = {FOREVER} }}
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
    field("max_us", latency.max)}, ","), "}\\n")
end
"""
    )
