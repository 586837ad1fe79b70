"""An app of HTTP/1.1 on a port that it prints: says what it was asked, and sends back what it was given."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        """The head of the request, a field a line; early hints come before it if the path asks for them."""
        if self.path == "/early":
            self.send_response_only(103)
            self.send_header("Link", "</a.css>; rel=preload")
            self.end_headers()
            self.wfile.flush()
        fields = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
        self.answer(f"{self.requestline}\n{fields}".encode())

    do_HEAD = do_GET

    def do_POST(self):
        self.answer(self.body())

    do_PUT = do_POST

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def answer(self, body):
        self.send_response(200)
        for name, value in [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Length", len(body))]:
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_expect_100(self):
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", 0), App)
print(f"port {server.server_port}", flush=True)
server.serve_forever()
