"""Hostile YAML: variants of a sound document, each drawn from one seed."""

import random
from collections.abc import Iterator

SCALARS = (
    *("null", "~", "true", "yes", "2024", "2024-13-45", "2024-01-01", "12:30:00", ".nan", ".inf", "-.inf", "0", "-1"),
    *("4294967295", "4294967296", "1" + "0" * 30, "1" + "0" * 400, "9" * 5000, "0x" + "f" * 5000, "1e999", "0o17"),
    *("!!int abc", "!!float x", "!!bool 3", "!!timestamp x", "!!binary é", "!!str 3", "!!null x", "!!set {a, b}"),
    *("!!python/object:os.system x", "!!python/object/apply:os.system [touch ran]", "!mine x", "!!omap [a: 1]"),
    *("'x; touch ran #'", "'$(touch ran)'", "'`touch ran`'", "'a b'", "a@b", "../..", "/etc/passwd", "'-x'", "'~'"),
    *("''", "'\"'", '"\'"', '"\\e[31m"', '"\\x00"', '"\\u2028"', '"\\U0010FFFF"', "é", "日本", "'" + "x" * 5000 + "'"),
    *("[1]", "[]", "{}", "{a: 1}", "[[1, 2], {a: [b]}]", "*none", "&a 1", "&b [*b]", "<<", "? [a]\n: 1", "| \n  x"),
    *("[" * 90 + "]" * 90, "[" * 3000 + "]" * 3000, "{a: " * 60 + "1" + "}" * 60, "- " * 50 + "x", "@", "%", "\t", ","),
)
KEYS = ("'x; touch ran #'", "2024", "null", "'null'", "'my suite'", "a@b", "../..", "''", "é", "'a.b'", "true", "-x")
CHARACTERS = "\x00\x01\x07\x08\x0b\x0c\x1b\x7f\x80\x85\u2028\u2029\ufeff\ufffe\ud800\t\r:#&*!|>%@`{}[],'\"\\-?\n é"


def documents(text: str, number: int, seed: int) -> Iterator[bytes]:
    """Draw `number` variants of a sound document.

    Args:
        text: the document, block style, with one key to a line.
        number: of variants.
        seed: of the draws.
    """
    draw = random.Random(seed)
    changes = (_value, _value, _value, _key, _key, _line, _character, _duplicate, _indent, _laughs, _encoding, _junk)
    for _ in range(number):
        yield draw.choice(changes)(text, draw)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _lines(text: str, draw: random.Random) -> tuple[list[str], int]:
    lines = text.splitlines()
    return lines, draw.choice([number for number, line in enumerate(lines) if ":" in line.partition("#")[0]])


def _value(text: str, draw: random.Random) -> bytes:
    for _ in range(draw.choice((1, 1, 1, 3))):
        lines, number = _lines(text, draw)
        before, colon, _ = lines[number].partition(":")
        lines[number] = f"{before}{colon} {draw.choice(SCALARS)}"
        text = "\n".join(lines) + "\n"
    return _bytes(text)


def _key(text: str, draw: random.Random) -> bytes:
    lines, number = _lines(text, draw)
    line = lines[number]
    indent = line[: len(line) - len(line.lstrip())]
    lines[number] = f"{indent}{draw.choice(KEYS)}:{line.partition(':')[2]}"
    return _bytes("\n".join(lines) + "\n")


def _line(text: str, draw: random.Random) -> bytes:
    lines, number = _lines(text, draw)
    choice = draw.randrange(3)
    if choice == 0:
        del lines[number : number + draw.randint(1, 8)]
    elif choice == 1:
        lines = lines[:number]
    else:
        lines.insert(number, draw.choice(lines))
    return _bytes("\n".join(lines) + "\n")


def _character(text: str, draw: random.Random) -> bytes:
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(text))
        text = text[:place] + draw.choice(CHARACTERS) + text[place + draw.randrange(2) :]
    return _bytes(text)


def _duplicate(text: str, draw: random.Random) -> bytes:
    lines, number = _lines(text, draw)
    lines.insert(number, lines[number])
    return _bytes("\n".join(lines) + "\n")


def _indent(text: str, draw: random.Random) -> bytes:
    lines, number = _lines(text, draw)
    lines[number] = draw.choice((" ", "   ", "\t", "- ", "---\n", "...\n", "%YAML 1.1\n", "<<: ")) + lines[number]
    return _bytes("\n".join(lines) + "\n")


def _laughs(text: str, draw: random.Random) -> bytes:
    depth, width = draw.randint(2, 30), draw.randint(2, 10)
    rows = ["a0: &a0 [x, x]"]
    rows += [f"a{row}: &a{row} [{', '.join([f'*a{row - 1}'] * width)}]" for row in range(1, depth)]
    lines, number = _lines(text, draw)
    before, colon, _ = lines[number].partition(":")
    lines[number] = f"{before}{colon} *a{depth - 1}"
    return _bytes("\n".join([*rows, *lines]) + "\n")


def _encoding(text: str, draw: random.Random) -> bytes:
    kind = draw.choice(("utf-8-sig", "utf-16", "utf-32", "latin-1", "crlf", "cr", "twice"))
    if kind in ("crlf", "cr"):
        return _bytes(text.replace("\n", "\r\n" if kind == "crlf" else "\r"))
    if kind == "twice":
        return b"\xef\xbb\xbf" + text.encode("utf-8-sig")
    return (text if kind != "latin-1" else text + "# \xe9\n").encode(kind, "replace")


def _junk(text: str, draw: random.Random) -> bytes:
    kind = draw.randrange(4)
    if kind == 0:
        return draw.randbytes(draw.randint(0, 400))
    if kind == 1:
        return _bytes(draw.choice(SCALARS))
    if kind == 2:
        return b"".join(draw.choice((b"- ", b"? ", b": ", b"[", b"{", b"&a ", b"*a ", b"\n", b"x")) for _ in range(300))
    return _bytes(text) * draw.choice((2, 40))
