"""A gRPC server on a port that it prints: server.py NAME [CERT KEY].

Messages are bytes as they are, so that nothing needs to be generated. Each answer begins with the server's name. One
that is named "busy" says to everything that it is unavailable.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

NAME, *PAIR = sys.argv[1:]


def say(text):
    return NAME.encode() + b": " + text


def unary(request, context):
    if NAME == "busy":
        context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
    return say(request)


def client_stream(requests, context):
    return say(b"+".join(requests))


def server_stream(request, context):
    for part in request.split(b"+"):
        yield say(part)


def bidi(requests, context):
    for request in requests:
        yield say(request)


def metadata(request, context):
    """What the client has sent in fields of its own, before the message and after it."""
    own = [pair for pair in context.invocation_metadata() if pair[0].startswith("x-own")]
    context.send_initial_metadata(own)
    context.set_trailing_metadata([("x-after", "42"), ("x-after-bin", b"\x00\xff,\n"), *own])
    return say(request)


def fail(request, context):
    context.set_trailing_metadata([("x-after", "42")])
    context.abort(grpc.StatusCode.NOT_FOUND, "100% missing: \u00e9\u4e2d\n" + request.decode())


def fail_late(request, context):
    yield say(request)
    context.abort(grpc.StatusCode.DATA_LOSS, "half of it")


def slow(request, context):
    """Ends when nobody waits any longer."""
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait()
    return say(request)


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "Metadata": grpc.unary_unary_rpc_method_handler(metadata),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
}

server = grpc.server(ThreadPoolExecutor(max_workers=64))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", METHODS)])
if PAIR:
    cert, key = (open(path, "rb").read() for path in PAIR)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"port {port}", flush=True)
server.wait_for_termination()
