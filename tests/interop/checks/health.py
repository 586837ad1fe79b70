"""A gRPC server that says how it is, on a port that it prints: health.py NAME FILE.

The file has a line for each service that is known: its name, "-" for the server as a whole, and its status. It is read at
each check. Messages of test.Echo are bytes as they are; those of grpc.health.v1 are a few bytes, too, so that nothing
needs to be generated.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

NAME, FILE = sys.argv[1:]
STATUSES = {"UNKNOWN": b"", "SERVING": b"\x08\x01", "NOT_SERVING": b"\x08\x02", "SERVICE_UNKNOWN": b"\x08\x03"}


def check(request, context):
    service = request[2:].decode() or "-"
    known = dict(line.split() for line in open(FILE))
    if service not in known:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return STATUSES[known[service]]


def unary(request, context):
    return NAME.encode() + b": " + request


HANDLERS = {
    "grpc.health.v1.Health": {"Check": grpc.unary_unary_rpc_method_handler(check)},
    "test.Echo": {"Unary": grpc.unary_unary_rpc_method_handler(unary)},
}

server = grpc.server(ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers(
    [grpc.method_handlers_generic_handler(service, methods) for service, methods in HANDLERS.items()]
)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"port {port}", flush=True)
server.wait_for_termination()
