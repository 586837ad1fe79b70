"""A gRPC client that prints what it gets: client.py ADDRESS CA CALL [TEXT...].

CA is "-" for clear text, or the file of the authority that vouches for shop.test. Each message, each field and each
ending is a line.
"""

import queue
import sys

import grpc

ADDRESS, CA, CALL, *TEXTS = sys.argv[1:]
# Far beyond what a call needs, so that only a hang meets it.
PATIENCE = 12

MESSAGES = [text.encode() for text in TEXTS]
OPTIONS = [("grpc.enable_http_proxy", 0)]

if CA == "-":
    channel = grpc.insecure_channel(ADDRESS, OPTIONS)
else:
    trusted = grpc.ssl_channel_credentials(open(CA, "rb").read())
    named = [*OPTIONS, ("grpc.ssl_target_name_override", "shop.test")]
    channel = grpc.secure_channel(ADDRESS, trusted, named)


def line(*words):
    print(*words, flush=True)


def method(kind, name):
    return getattr(channel, kind)(f"/test.Echo/{name}")


def message(data):
    line("message", data.decode())


def ending(call):
    line("status", call.code().name)
    line("details", repr(call.details()))


def fields(call):
    for place, pairs in [("before", call.initial_metadata()), ("after", call.trailing_metadata())]:
        for name, value in pairs:
            if name.startswith("x-"):
                line(place, name, value)


def one(name, text, timeout=PATIENCE, **more):
    """A call with one answer: begun."""
    return method("unary_unary", name).future(text, timeout=timeout, **more)


def finish(call):
    """Its answer, if there is one, and its end."""
    if call.exception() is None:
        message(call.result())
    ending(call)


def stream(call):
    try:
        for answer in call:
            message(answer)
    except grpc.RpcError:
        pass
    ending(call)


def unary():
    """For each text, one after the other."""
    for text in MESSAGES:
        finish(one("Unary", text))


def at_once():
    for call in [one("Unary", text) for text in MESSAGES]:
        finish(call)


def large():
    text = bytes(range(256)) * 4096
    line("same", one("Unary", text).result().endswith(b": " + text))


def client_stream():
    finish(method("stream_unary", "ClientStream").future(iter(MESSAGES), timeout=PATIENCE))


def server_stream():
    stream(method("unary_stream", "ServerStream")(MESSAGES[0], timeout=PATIENCE))


def fail_late():
    stream(method("unary_stream", "FailLate")(MESSAGES[0], timeout=PATIENCE))


def bidi():
    """Each text is sent when the one before it has been answered."""
    waiting = queue.SimpleQueue()
    call = method("stream_stream", "Bidi")(iter(waiting.get, None), timeout=PATIENCE)
    for text in MESSAGES:
        waiting.put(text)
        message(next(call))
    waiting.put(None)
    stream(call)


def bidi_until_it_breaks():
    """The first text is sent, and nothing more; the others are calls of their own once the stream has ended."""
    waiting = queue.SimpleQueue()
    waiting.put(MESSAGES[0])
    stream(method("stream_stream", "Bidi")(iter(waiting.get, None), timeout=PATIENCE))
    waiting.put(None)
    for text in MESSAGES[1:]:
        finish(one("Unary", text))


def metadata():
    own = [("x-own", "1"), ("x-own", "2"), ("x-own-bin", b"\x00\xfe\n")]
    call = one("Metadata", MESSAGES[0], metadata=own)
    finish(call)
    fields(call)


def fail():
    call = one("Fail", MESSAGES[0])
    finish(call)
    fields(call)


def slow():
    finish(one("Slow", MESSAGES[0], timeout=0.3))


{
    call.__name__: call
    for call in [unary, at_once, large, client_stream, server_stream, fail_late]
    + [bidi, bidi_until_it_breaks, metadata, fail, slow]
}[CALL]()
channel.close()
