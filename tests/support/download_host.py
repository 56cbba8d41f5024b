"""A host on this machine that serves files in one of the ways that hosts do, well-behaved or not."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Host(ThreadingHTTPServer):
    """Serves `content` by path.

    Attributes:
        content: bytes by path; other paths get status 404.
        ranges: whether requests for a range are answered with one.
        heeds_if_range: whether a range is sent only of the version that was asked for.
        breaks_after: for each response, the byte at which it ends early.
        status: of responses without a range.
        headers: of every response.
        announces: the Content-Length, if not the true one; `nothing` for none.
        seen: path, Range and If-Range of every request.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = {}
        self.ranges = True
        self.heeds_if_range = True
        self.breaks_after = []
        self.status = 200
        self.headers = {"ETag": '"one"'}
        self.announces = None
        self.seen = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that hangs up is expected."""


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        host = self.server
        host.seen.append((self.path, self.headers["Range"], self.headers["If-Range"]))
        content = host.content.get(self.path)
        if content is None or host.status >= 400:
            return self.send_error(404 if content is None else host.status)
        wanted, condition = self.headers["Range"], self.headers["If-Range"]
        same = not condition or not host.heeds_if_range or condition in host.headers.values()
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and host.ranges and same else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else host.status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for name, value in host.headers.items():
            self.send_header(name, value)
        if host.announces != "nothing":
            self.send_header("Content-Length", str(host.announces or len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : host.breaks_after.pop(0) if host.breaks_after else None])
        return None
