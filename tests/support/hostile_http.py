"""Requests to the service, well-formed and malformed, as bytes on a connection, and what its answers must be."""

import base64
import gzip
import io
import json
import random
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import onnx_models
from barred_lines import write
from hostile_pages import patterns
from PIL import Image
from servers import CLASSES, encoded

from pipeline.records.answer import Answer, Answers, ErrorCode, PictureAnswer
from pipeline.scheduling.errors import KINDS

STRIP = onnx_models.draw(CLASSES)
PNG = encoded(STRIP)
DIGITS = "9754"
CIFAR = encoded(onnx_models.draw([3], onnx_models.CIFAR_SHAPE))
HOST = b"Host: x\r\n"
_RESPONSE = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")


@dataclass(frozen=True)
class Case:
    """What one client sends on one connection.

    Attributes:
        kind: of the case, for the counts.
        sent: all bytes.
        right: the only status that is right; None where several are.
        requests: how many answers there may be, at most.
        malformed: whether HTTP lets the service close the connection without an answer.
        digits: that the answer must have, where its status is 200.
    """

    kind: str
    sent: bytes
    right: int | None = None
    requests: int = 1
    malformed: bool = False
    digits: str | None = None

    @property
    def head(self) -> bool:
        """Whether the answer may have no body although it declares one."""
        return self.sent[:8].lstrip().startswith(b"HEAD")


def request(
    method: str, path: str, body: bytes = b"", *headers: tuple[str, str], length: str | None = "", close: bool = True
) -> bytes:
    """A request; `length` replaces its Content-Length, None leaves it out."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers)]
    if length is not None and (body or length):
        lines.append(f"Content-Length: {length or len(body)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body


def chunked(rng: random.Random, body: bytes) -> bytes:
    """A body in chunks of any size, some with an extension."""
    out, start = b"", 0
    while start < len(body):
        size = rng.randint(1, 300)
        part = body[start : start + size]
        extension = rng.choice([b"", b"", b";a=b", b';q="x"'])
        out += (b"%x" % len(part)) + extension + b"\r\n" + part + b"\r\n"
        start += size
    return out + b"0\r\n\r\n"


# Well-formed HTTP; what it says is right, odd or wrong.


def right_picture(rng: random.Random) -> Case:
    """A picture that is read, in one of the many ways that HTTP has for it."""
    content = rng.choice([PNG, encoded(STRIP, "JPEG", quality=95)])
    headers = rng.sample(
        [
            ("Accept", "*/*;q=0.1"), ("Range", "bytes=0-5,7-9"), ("If-None-Match", '"x"'), ("Cookie", "a=b; c"),
            ("X-Forwarded-For", "1.2.3.4, ::1, \xff"), ("X-Forwarded-Proto", "\xff://"), ("Forwarded", "for=x"),
            ("traceparent", "00-zz"), ("User-Agent", "\xe9" * 200), ("Authorization", "Basic !!"), ("TE", "trailers"),
            ("Accept-Encoding", "br;q=x"), ("Origin", "null"), ("X-BentoML-Name", "\\"), ("Via", "1.1 a"),
            ("Expect", "100-continue"), ("Expect", "something"), ("Upgrade-Insecure-Requests", "1"),
        ],
        rng.randint(0, 4),
    )  # fmt: skip
    form = rng.randrange(6)
    if form == 0:
        sent = request(
            "POST", "/read", content, ("Content-Type", rng.choice(["image/png", "image/jpg; x=y"])), *headers
        )
    elif form == 1:
        coding = rng.choice(["gzip", "deflate", "GZIP", "x-gzip"])
        packed = zlib.compress(content) if coding == "deflate" else gzip.compress(content)
        sent = request("POST", "/read", packed, ("Content-Encoding", coding), *headers)
    elif form == 2:
        sent = request("POST", "/read", b"", ("Transfer-Encoding", "chunked"), *headers) + chunked(rng, content)
    elif form == 3:
        kind, body = multipart([(f'name="{rng.choice(["p", "picture", ""])}"; filename="a"', content)])
        sent = request("POST", "/read", body, ("Content-Type", kind), *headers)
    elif form == 4:
        shape = ("X-Shape", "28,140")
        sent = request("POST", "/read", STRIP.tobytes(), ("Content-Type", "application/octet-stream"), shape, *headers)
    else:
        target = rng.choice(["http://x/read", "/read?a=b&&=%zz", "/read#f", "/%72ead", "HTTP://y:80/read?"])
        sent = request("POST", target, content, *headers)
    return Case("a right picture", sent, 200, digits=DIGITS)


def any_size(rng: random.Random) -> Case:
    """A picture of any size in one of the ways that HTTP has for it: writing, or a pattern that keeps a search busy."""
    if rng.random() < 0.4:
        content = encoded(write("907", "35"), rng.choice(["PNG", "JPEG", "WEBP"]))
        digits = "907\n35"
    else:
        shape = rng.choice([(2, 2), (3, 700), (200, 40), (90, 301), (260, 260)])
        pixels = rng.choice(list(patterns(np.random.default_rng(rng.randrange(99)), *shape).values()))
        content, digits = encoded(pixels, rng.choice(["PNG", "JPEG"])), None
    target = rng.choice(["/read", "/read?task=lines", "/read?task=lines&a=b", "/read?task=%6cines"])
    form = rng.randrange(4)
    if form == 0:
        kind, body = multipart([('name="p"; filename="a"', content)])
        return Case("any size", request("POST", target, body, ("Content-Type", kind)), digits=digits)
    if form == 1:
        target = rng.choice(
            ["/read?task=", "/read?task=x&task=lines", "/read?task=strips", "/read?task=%00", "/read?task=mnist"]
        )
        return Case("any size", request("POST", target, content))
    if form == 2:
        shape = rng.choice(["90,301", "1,27090", "27090", "90,301,1", "0,5", "301,90"])
        headers = ("Content-Type", "application/octet-stream"), ("X-Shape", shape)
        return Case("any size", request("POST", target, rng.randbytes(27090), *headers))
    return Case("any size", request("POST", target, content), digits=digits)


def multipart(parts: Sequence[tuple[str, bytes]], boundary: str = "b") -> tuple[str, bytes]:
    """The Content-Type and the body of a form; each part has its disposition and its content."""
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode("latin-1") + content + b"\r\n"
        for disposition, content in parts
    )
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def paths_and_methods(rng: random.Random) -> Case:
    """Any method on any path."""
    method = rng.choice(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "POST", "QUERY"])
    path = rng.choice(
        [
            "/", "/info", "/livez", "/healthz", "/readyz", "/metrics", "/openapi.json", "/schema.json", "/docs",
            "/docs/start.js", "/read", "/read_many", "/classify", "/nothing", "/docs.json", "/docs/", "//read",
            "/./read",
            "/read/../read", "/read;x", "/read%00", "/%0a", "/%0d%0aX:%20y", "/%2e%2e/%2e%2e/etc/passwd", "/%ff%fe",
            "/%e2%80%ae", "/%", "/%zz", "/static_content/x", "/static_content/../../x",
            "/" + "a" * rng.randint(1, 60_000),
            "/read?" + "a=b&" * rng.randint(1, 9000), "/info?probabilities=true", "/read_many?probabilities=maybe",
            "/docs/..%2f..%2fetc%2fpasswd", "/%f0%9f%98%80", "/\\", "/~", "/*", "/read?%00=%ff", "/predict", "/call",
        ]
    )  # fmt: skip
    return Case("paths and methods", request(method, path, rng.choice([b"", b"", b"x", PNG])))


def pictures(rng: random.Random) -> Case:
    """A picture with some bytes changed, cut off, of another size or form."""
    content = bytearray(rng.choice([PNG, encoded(STRIP, "JPEG"), CIFAR]))
    way = rng.randrange(5)
    if way == 0:
        for _ in range(rng.randint(1, 20)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif way == 1:
        del content[rng.randrange(len(content)) :]
    elif way == 2:
        width, height = rng.choice([(1, 1), (28, 28), (140, 28), (28, 140), (2000, 3), (32, 32), (0x7FFF, 2)])
        mode = rng.choice(["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
        file = io.BytesIO()
        Image.new(mode, (width, height)).save(file, "PNG")
        content = bytearray(file.getvalue())
    elif way == 3:
        exif = b"Exif\0\0" + rng.randbytes(rng.randint(0, 200))
        if rng.random() < 0.5:
            exif = b"Exif\0\0MM\0*\0\0\0\x08" + (b"\0\x05" + b"".join(rng.randbytes(12) for _ in range(5)))
        content = bytearray(encoded(STRIP, "JPEG", exif=exif))
    else:
        content[rng.randrange(len(content)) : 0] = rng.randbytes(rng.randint(1, 2000))
    kind = rng.choice(
        ["image/png", "image/x", "application/octet-stream", "text/html", "", "application/x-www-form-urlencoded"]
    )
    path = rng.choice(["/read", "/classify"])
    return Case("pictures", request("POST", path, bytes(content), ("Content-Type", kind)))


def raw_arrays(rng: random.Random) -> Case:
    """Raw pixels with shapes that may lie."""
    pixels = STRIP.tobytes() * rng.randint(0, 3)
    shape = rng.choice(
        [
            "1,28,140", "2,28,140", "28,140", "3920", "0,28,140", "1,28,140,1", "1,1,28,140,1", "-1,28,140", "1,28,",
            ",",
            "1, 28,140", "999999999,999999999,999999999,999999999", "1,140,28", "\xb2,28,140", "1e3,28,140", "",
            "0x1,28,140",
            "1,28,140\t", "+1,28,140", "1_0,28,140", "2147483648,2", "0,0,0,0", "000000001,28,140", "NaN",
        ]
    )  # fmt: skip
    path = rng.choice(["/read_many", "/read", "/classify_many", "/read_many?probabilities=true"])
    headers = [("Content-Type", "application/octet-stream"), ("X-Shape", shape)]
    if rng.random() < 0.2:
        headers.append(("X-Shape", "1,28,140"))
    return Case("raw arrays", request("POST", path, pixels, *headers))


def npy_arrays(rng: random.Random) -> Case:
    """A .npy whose header may lie, or whose array is of another type."""
    if rng.random() < 0.3:
        dtype = rng.choice(["u1", "i1", "f2", "f8", "c16", "?", "S3", "U2", "M8[s]", "u2", ">u4", "V5", "u1,f4"])
        array = np.zeros(rng.choice([(1, 28, 140), (), (0,), (28, 140), (1, 1, 1, 1, 1)]), dtype)
        file = io.BytesIO()
        np.save(file, np.asfortranarray(array) if rng.random() < 0.3 else array, allow_pickle=False)
        body = file.getvalue()
    else:
        descr = rng.choice(
            ["'|u1'", "'|O'", "'<f8'", "[('a', '|u1')]", "None", "'|u1' * 9", "()", "'\\0'", "1", "'|u1"]
        )
        shape = rng.choice(
            [
                "(1, 28, 140)", "(2, 28, 140)", "(-1, 28, 140)", "(True, 28, 140)", "(1.0, 28, 140)", "(10**30,)",
                "()", "3920",
                "(9" + "9" * 500 + ",)", "(1, 28, 140" * 20, "['a']", "(" * 300, "(1, 28, 140),", "(0, 28, 140)",
                "(None,)",
            ]
        )  # fmt: skip
        fields = [
            f"'descr': {descr}",
            f"'fortran_order': {rng.choice(['False', 'True', '0', 'None'])}",
            f"'shape': {shape}",
        ]
        if rng.random() < 0.2:
            fields.append(rng.choice(["'x': 1", "'shape': ()", "**{}", "__import__('os').system('touch /tmp/x')"]))
        header = ("{" + ", ".join(fields) + ", }").encode() + b" " * rng.randint(0, 30) + b"\n"
        version = rng.choice([b"\x01\0", b"\x02\0", b"\x03\0", b"\xff\xff"])
        size = len(header) + rng.choice([0, 0, 0, -5, 7, 60_000])
        prefix = size.to_bytes(2 if version[0] == 1 else 4, "little")
        body = b"\x93NUMPY" + version + prefix + header + STRIP.tobytes() * rng.randint(0, 2)
    kind = rng.choice(["application/x-npy", "application/npy", "APPLICATION/X-NPY; charset=x"])
    return Case(
        "npy arrays", request("POST", rng.choice(["/read_many", "/classify_many"]), body, ("Content-Type", kind))
    )


def json_arrays(rng: random.Random) -> Case:
    """JSON of other shapes, values and depths, or not JSON."""
    rows = STRIP.squeeze().tolist()
    odd: Sequence[Callable[[], str]] = (
        lambda: json.dumps([rows]),
        lambda: json.dumps([[*rows[:-1], rows[-1][:-1]]]),
        lambda: json.dumps([rows]).replace(
            "0,", rng.choice(["-1,", "256,", "1e2,", "0.5,", "NaN,", "Infinity,", "null,"]), 1
        ),
        lambda: json.dumps([rows]).replace(
            "0,", rng.choice(["true,", '"7",', "{},", "[],", "1e999,", "7.0,", "-0,"]), 1
        ),
        lambda: json.dumps([rows]).replace("0,", "9" * rng.choice([20, 400, 5000]) + ",", 1),
        lambda: "[" * rng.choice([4, 6, 100, 100_000]) + "]" * rng.choice([0, 4, 6, 100]),
        lambda: "[" + "[0]," * rng.choice([3, 20_000]) + "[0]]",
        lambda: rng.choice(
            ["{}", "null", "1", '"x"', "[]", "[[]]", "[[[]]]", "", " ", "[1,]", "[1 2]", "'", "[0] [0]"]
        ),
        lambda: rng.choice(
            ["\ufeff[0]", '["\\ud800"]', '{"a":' * 200 + "1" + "}" * 200, "[0" + " " * 9000 + "]", "[01]"]
        ),
        lambda: json.dumps([rows] * rng.choice([2, 65])),
    )
    text = rng.choice(odd)()
    body = text.encode(rng.choice(["utf-8", "utf-8", "utf-8", "utf-16", "utf-32", "utf-8-sig"]), "surrogatepass")
    if rng.random() < 0.1:
        body += rng.randbytes(3)
    kind = rng.choice(
        ["application/json", "application/json; charset=utf-16", "application/json;charset=klingon", "Application/JSON"]
    )
    return Case(
        "JSON arrays", request("POST", rng.choice(["/read_many", "/classify_many"]), body, ("Content-Type", kind))
    )


def forms(rng: random.Random) -> Case:
    """Forms with odd names, boundaries and lengths."""
    names = [
        'name="p"; filename="a"', 'name="p"', "filename=a", 'name="\0"; filename="../../etc/passwd"', "",
        'name="p"; filename="',
        "name=p; filename*=utf-8''%ff%00", 'name="p"; filename="a\tb"', 'name="' + "n" * 5000 + '"; filename=x',
        "name*0=a; name*1=b",
        'name="p"; filename="a"\r\nContent-Type: multipart/mixed; boundary=c',
        'name="p"; filename="a"\r\nContent-Length: 99999',
        'name="p"; filename="a"\r\nContent-Transfer-Encoding: base64', 'name="p"; filename="\xff\xfe"',
        'form-data; name="_charset_"',
    ]  # fmt: skip
    content = [PNG, b"", b"x" * 2000, base64.b64encode(PNG), b"--b--", b"\r\n--b\r\n", CIFAR]
    count = rng.choice([0, 1, 1, 1, 2, 20, 1100])
    kind, body = multipart([(rng.choice(names), rng.choice(content) if count < 30 else b"") for _ in range(count)])
    way = rng.randrange(6)
    if way == 0:
        kind = rng.choice(
            [
                "multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="b"',
                "multipart/form-data; boundary=c",
                "multipart/form-data; boundary=" + "b" * 300, "multipart/form-data; boundary=b; boundary=c",
                "multipart/mixed; boundary=b",
                "multipart/form-data; boundary=\xe9", "MULTIPART/FORM-DATA; BOUNDARY=b",
                "multipart/form-data; charset=klingon; boundary=b",
                "multipart/form-data; boundary*=utf-8''b", 'multipart/form-data; boundary="b',
                "multipart/form-data;;;boundary=b",
            ]
        )  # fmt: skip
    elif way == 1:
        body = body[: rng.randrange(len(body) + 1)]
    elif way == 2:
        broken = bytearray(body)
        for _ in range(rng.randint(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        body = bytes(broken)
    elif way == 3:
        body = body.replace(b"\r\n", rng.choice([b"\n", b"\r"]), rng.randint(1, 5))
    path = rng.choice(["/read", "/read_many", "/classify", "/classify_many"])
    return Case("forms", request("POST", path, body, ("Content-Type", kind)))


def codings(rng: random.Random) -> Case:
    """Compressed bodies that are damaged, too large, or of another coding."""
    packed = gzip.compress(rng.choice([PNG, b"", bytes(rng.choice([1000, 5_000_000]))]))
    way = rng.randrange(6)
    if way == 0:
        packed = packed[: rng.randrange(len(packed) + 1)]
    elif way == 1:
        packed += rng.choice([packed, b"x", b"\0" * 100])
    elif way == 2:
        broken = bytearray(packed)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        packed = bytes(broken)
    coding = rng.choice(
        ["gzip", "gzip", "gzip", "deflate", "br", "zstd", "gzip, gzip", "identity", "", "gzip,", "\xff", "x" * 900]
    )
    kind = rng.choice(["image/png", "application/json", "application/x-npy", "multipart/form-data; boundary=b"])
    path = rng.choice(["/read", "/read_many"])
    return Case("codings", request("POST", path, packed, ("Content-Type", kind), ("Content-Encoding", coding)))


def several(rng: random.Random) -> Case:
    """Requests sent ahead of their answers, the last of which closes."""
    count = rng.randint(2, 12)
    one = [
        request("POST", "/read", PNG, close=False),
        request("GET", "/livez", close=False),
        request("GET", "/x", close=False),
    ]
    sent = b"".join(rng.choice(one) for _ in range(count - 1)) + request("GET", "/livez")
    return Case("several", sent, requests=count)


WELL_FORMED = (
    right_picture,
    any_size,
    paths_and_methods,
    pictures,
    raw_arrays,
    npy_arrays,
    json_arrays,
    forms,
    codings,
    several,
)

# Malformed HTTP.


def request_lines(rng: random.Random) -> Case:
    """A request line that is wrong in one place."""
    method = rng.choice(
        ["GET", "get", "G\0T", "", "GE T", "FOO", "PRI", "CONNECT", "POST" * 100, "\xff", "SOURCE", "M-SEARCH"]
    )
    target = rng.choice(
        ["/livez", "*", "", "livez", "http://", "http://[", "/\xff", "/a b", "/\0", "//", "ftp://x/y", "x:80"]
    )
    version = rng.choice(
        ["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "HTTP/11", "http/1.1", "", "HTTP/1.1 x", "ICY"]
    )
    ending = rng.choice(["\r\n", "\n", "\r", "\r\r\n", "\0\r\n"])
    space = rng.choice([" ", "  ", "\t"])
    line = f"{method}{space}{target}{space}{version}{ending}".encode("latin-1")
    return Case("request lines", line + HOST + b"Connection: close\r\n\r\n", malformed=True)


def header_lines(rng: random.Random) -> Case:
    """Headers that are wrong, too long or too many."""
    line = rng.choice(
        [
            b"A : b\r\n", b" A: b\r\n", b"A: b\r\n c\r\n", b"A\r\n", b": b\r\n", b"A: b\0\r\n", b"A: b\rc\r\n",
            b"A: b\nC: d\r\n",
            b"\xff: b\r\n", b"A: \x01\r\n", b"(a): b\r\n", b"A" * 70_000 + b": b\r\n", b"A: " + b"b" * 70_000 + b"\r\n",
            b"A: b\r\n" * 200, b"A: " + b" " * 200_000 + b"b\r\n", b"A:b\r\n" * 30_000, b"\r", b"\0",
            b"A: b\r\n\t\r\n", b"=\r\n",
        ]
    )  # fmt: skip
    first = rng.choice([b"", HOST])
    sent = b"GET /livez HTTP/1.1\r\n" + first + line + (b"" if first else HOST) + b"Connection: close\r\n\r\n"
    return Case("header lines", sent, malformed=True)


def hosts(rng: random.Random) -> Case:
    """No Host, several, or a malformed one."""
    lines = rng.choice(
        [
            b"", HOST * 2, b"Host: a\r\nHost: b\r\n", b"Host: a b\r\n", b"Host: a/b\r\n", b"Host: a@b\r\n",
            b"Host: [::1\r\n", b"Host: a:b\r\n",
            b"Host: \xff\r\n", b"Host: a,b\r\n", b"Host: http://a\r\n", b"host: a\r\nHOST: a\r\n", b"Host: a?b\r\n",
            b"Host: a#\r\n",
        ]
    )  # fmt: skip
    right = 200 if lines == b"Host: a,b\r\n" else 400
    return Case("hosts", b"GET /livez HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n", right, malformed=True)


def lengths(rng: random.Random) -> Case:
    """Declared lengths that are malformed, contradict each other, or lie; a second request hides in the body."""
    hidden = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    value = rng.choice(
        [
            b"-1", b"+5", b"0x5", b"5, 5", b"5 5", b"", b"five", b"99999999999999999999", b"18446744073709551616",
            b"5\0", b"\xb2",
            b"1e3", b"5;", b"05 ", b"4294967296", b"9223372036854775807", b"1_0", b"%d" % (len(hidden) + 9), b"NaN",
        ]
    )  # fmt: skip
    line = b"Content-Length: " + value + b"\r\n"
    more = rng.choice(
        [
            b"", b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding:\tchunked\r\n",
            b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding: chunked, chunked\r\n",
            b"Transfer-Encoding: chunked\r\n" * 2,
            b"Transfer-Encoding:\r\n chunked\r\n", b"Transfer_Encoding: chunked\r\n",
        ]
    )  # fmt: skip
    lines = rng.choice([line + more, more + line])
    sent = b"POST /read HTTP/1.1\r\n" + HOST + lines + b"\r\n" + rng.choice([b"", b"0\r\n\r\n", b"5\r\n"]) + hidden
    # A length that is too short is a request of its own; none of these is.
    return Case("lengths", sent, requests=2 if value == b"05 " else 1, malformed=True)


def chunks(rng: random.Random) -> Case:
    """Chunks that are malformed, endless, or too many, and trailers."""
    body = rng.choice(
        [
            b"zz\r\nabc\r\n0\r\n\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"fffffffffffffffff\r\nabc\r\n",
            b"-3\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n",
            b"3 \r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"3;" + b"x" * 200_000 + b"\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\r\n", b"\r\n\r\n",
            b"3\r\nabc\r\n0\r\nX-Shape: 1\r\nContent-Length: 9\r\n\r\n",
            b"3\r\nabc\r\n0\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"1\r\na\r\n" * 9000,
            b"3\r\nabc\r\n0\r\nA: " + b"b" * 200_000 + b"\r\n\r\n", b"3\r\nabc\r\n0\r\n: b\r\n\r\n",
            b"3\r\nabc\r\n0\r\nA: b\0\r\n\r\n", b"3\r\nabc",
            b"3;a\0b\r\nabc\r\n0\r\n\r\n", b"3;a=\"\r\nabc\r\n0\r\n\r\n", b"\xb3\r\nabc\r\n0\r\n\r\n",
            b"3\r\n\r\nabc0\r\n\r\n",
        ]
    )  # fmt: skip
    path = rng.choice([b"/read", b"/livez", b"/read_many", b"/nothing"])
    head = b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    return Case("chunks", head + body, malformed=True)


def cut_off(rng: random.Random) -> Case:
    """The beginning of a request."""
    whole = rng.choice(WELL_FORMED)(rng).sent[:20_000]
    return Case("cut off", whole[: rng.randrange(len(whole))], requests=12, malformed=True)


def changed(rng: random.Random) -> Case:
    """A request with some bytes of its head changed, removed or added."""
    whole = bytearray(rng.choice(WELL_FORMED)(rng).sent)
    end = whole.find(b"\r\n\r\n") + 4
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(end)
        way = rng.randrange(3)
        if way == 0:
            whole[at] = rng.randrange(256)
        elif way == 1:
            del whole[at : at + rng.randint(1, 4)]
        else:
            whole[at:at] = rng.choice([b"\r\n", b"\n", b"\r", b"\0", b" ", b":", rng.randbytes(3)])
    # A body whose length is gone is parsed as further requests.
    return Case("changed", bytes(whole), requests=100_000, malformed=True)


def noise(rng: random.Random) -> Case:
    """Something else than HTTP."""
    sent = rng.choice(
        [
            rng.randbytes(rng.randint(1, 3000)), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(300),
            b"\r\n" * 50_000, b"\0" * 9000,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(60), b"GET /livez\r\n\r\n", b"SSH-2.0-x\r\n",
            b"EHLO x\r\n", b"*1\r\n$4\r\nPING\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b"\r\n\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
            b"\xef\xbb\xbfGET /livez HTTP/1.1\r\n\r\n", b"A" * 300_000,
        ]
    )  # fmt: skip
    return Case("noise", sent, malformed=True)


def upgrades(rng: random.Random) -> Case:
    """Requests for another protocol, some with bytes of it behind them."""
    protocol = rng.choice(["websocket", "h2c", "TLS/1.0", "", "WebSocket", "x" * 500])
    headers = [
        ("Upgrade", protocol),
        ("Connection", rng.choice(["Upgrade", "Upgrade, close", "HTTP2-Settings, Upgrade"])),
    ]
    if rng.random() < 0.5:
        headers += [
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", rng.choice(["13", "x"])),
        ]
    method, path = rng.choice([("GET", "/read"), ("GET", "/livez"), ("POST", "/read"), ("CONNECT", "x:80")])
    sent = request(method, path, rng.choice([b"", b"abc", PNG]) if method == "POST" else b"", *headers, close=False)
    return Case(
        "upgrades", sent + rng.choice([b"", b"\x81\x05hello", b"PRI * HTTP/2.0\r\n\r\n"]), requests=2, malformed=True
    )


def sent_ahead(rng: random.Random) -> Case:
    """A right picture, and something wrong behind it on the same connection: the picture is answered."""
    behind = rng.choice((request_lines, header_lines, hosts, lengths, chunks, noise, upgrades))(rng)
    sent = request("POST", "/read", PNG, close=False) + behind.sent
    return Case("sent ahead", sent, requests=1 + behind.requests, malformed=True, digits=DIGITS, right=None)


MALFORMED = (request_lines, header_lines, hosts, lengths, chunks, cut_off, changed, noise, upgrades, sent_ahead)


def cases(seed: int, count: int) -> list[Case]:
    """So many cases, every second of them malformed; the same for the same seed."""
    rng = random.Random(seed)
    return [rng.choice(MALFORMED if index % 2 else WELL_FORMED)(rng) for index in range(count)]


def judge(case: Case, received: bytes, reset: bool) -> str:
    """What became of a case, for the counts; raises AssertionError where it is not one of the outcomes allowed.

    Args:
        case: what was sent.
        received: all bytes that came back until the connection ended.
        reset: whether it ended with a reset.
    """
    answers, rest = [], received
    while rest:
        found = _RESPONSE.match(rest)
        if found is None and reset and case.malformed:
            break
        assert found, f"not an HTTP response: {rest[:200]!r}"
        status = int(found[1])
        fields = dict(line.lower().split(b": ", 1) for line in found[2].splitlines())
        rest = rest[found.end() :]
        if status == 100:
            continue
        length = int(fields.get(b"content-length", b"0"))
        empty = case.head and not rest
        body, rest = (b"", rest) if empty else (rest[:length], rest[length:])
        assert empty or len(body) == length or (reset and case.malformed), "an answer that ends early"
        answers.append(status)
        _judge_answer(status, body, fields, cut=empty or len(body) < length)
        if status == 200 and case.digits and len(answers) == 1:
            assert json.loads(body)["digits"] == case.digits
    assert len(answers) <= case.requests, f"{len(answers)} answers to {case.requests} requests"
    if not answers:
        assert case.malformed, f"no answer, {'a reset' if reset else 'an end'}"
        return "closed"
    if case.right is not None:
        # A busy service may put off what needs a model.
        busy = answers == [503] and case.digits is not None
        assert answers == [case.right] or busy, f"{answers}, expected {case.right}"
    if case.kind == "sent ahead":
        assert answers[0] in (200, 503), answers
    if case.kind == "several":
        assert len(answers) == case.requests, answers
    return str(answers[-1])


def _judge_answer(status: int, body: bytes, fields: dict[bytes, bytes], *, cut: bool) -> None:
    assert status in {200, 307} | {kind.status for kind in KINDS.values() if kind.status != 500}, status
    assert (status == 503) == (b"retry-after" in fields)
    if cut:
        return
    if status >= 400:
        answer = json.loads(body)
        assert list(answer) == ["error"], answer
        assert answer["error"]["code"] in get_args(ErrorCode)
        assert KINDS[answer["error"]["code"]].status == status
        assert "\n" not in answer["error"]["message"]
        if answer["error"]["code"] in ("bad_http", "bad_host", "head_too_large", "too_slow", "body_too_large"):
            assert fields[b"connection"] == b"close"
    elif body.startswith(b'{"task"'):
        PictureAnswer.parse(body.decode(), "answer")
    elif body.startswith((b'{"digits"', b'{"class"')):
        Answer.parse(body.decode(), "answer")
    elif body.startswith(b'{"answers"'):
        Answers.parse(body.decode(), "answers")
