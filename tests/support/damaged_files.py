"""Damaged npz, .keras and JSON files, made from sound ones: cut off, with bits flipped, of other types or shapes."""

import io
import json
import random
import zipfile

import numpy as np

KINDS = ("truncated", "bits", "bytes", "empty", "text", "other", "shape", "member")
"""What can happen to a file."""
VALUES = (
    None, True, -1, 1 << 70, 1.5, float("nan"), "", "\x00", "../../etc/passwd", "\ud800", "é" * 300,
    [], [[[]]], {}, {"a": {"b": 1}}, ["x"] * 50,
)  # fmt: skip
"""What stands in a document in place of what should."""
ARRAYS = (
    np.zeros(()), np.zeros((0, 28, 28, 1), np.uint8), np.zeros((3, 3)), np.full((5, 5), np.nan, np.float32),
    np.array("text"), np.array(["a", "b"]), np.zeros((2, 2), np.complex128), np.zeros(4, bool),
    np.zeros(3, [("a", "i4"), ("b", "f8")]), np.array([1, "x", None], object), np.arange(10, dtype=np.int64),
    np.full((40, 5), 255, np.uint8), np.zeros((40, 28, 140, 3), np.uint8), np.array("2020-01-01", "M8[D]"),
)  # fmt: skip


def damage(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """One damage of a file, and its kind."""
    kind = rng.choice(KINDS)
    if kind == "truncated":
        return kind, content[: rng.randrange(len(content))]
    if kind in ("bits", "bytes"):
        changed = bytearray(content)
        for _ in range(rng.choice((1, 1, 3, 20))):
            # The ends of an archive have its lists.
            place = rng.choice(
                (rng.randrange(len(changed)), rng.randrange(min(300, len(changed))), -rng.randint(1, 200))
            )
            place = max(place, -len(changed))
            changed[place] = changed[place] ^ (1 << rng.randrange(8)) if kind == "bits" else rng.randrange(256)
        return kind, bytes(changed)
    if kind == "empty":
        return kind, b""
    if kind == "text":
        return kind, rng.choice(
            (b"<html>404</html>", b"\x00" * 100, b"null", b"[" * 100_000, b"\xff\xfe{}", b"version https://git-lfs")
        )
    if content[:1] == b"{":
        return kind, _document(content, rng)
    if content[:2] != b"PK":
        return kind, _table(content, rng)
    return kind, _archive(content, kind, rng)


def _table(content: bytes, rng: random.Random) -> bytes:
    """A CSV file with a value replaced, removed or added, or a line less."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    row = rng.choice(rows)
    how = rng.choice(("replaced", "removed", "added", "line"))
    if how == "replaced":
        row[rng.randrange(len(row))] = rng.choice(("", "x", "nan", "-1", "1e999", "0x10", '"'))
    elif how == "removed":
        row.pop(rng.randrange(len(row)))
    elif how == "added":
        row.append("1")
    else:
        rows.remove(row)
    return "".join(f"{','.join(each)}\n" for each in rows).encode()


def _document(content: bytes, rng: random.Random) -> bytes:
    """A JSON document with some of its values replaced, removed or added."""
    document = json.loads(content)
    for _ in range(rng.choice((1, 1, 4))):
        place = document
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            if not keys:
                break
            key = rng.choice(list(keys))
            if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
                place = place[key]
                continue
            if rng.random() < 0.2:
                del place[key]
            else:
                place[key] = rng.choice(VALUES)
            break
        if isinstance(place, dict) and rng.random() < 0.2:
            place["unknown"] = rng.choice(VALUES)
    return json.dumps(document).encode()


def _archive(content: bytes, kind: str, rng: random.Random) -> bytes:
    """An archive whose members are of other shapes, or missing, double, encrypted, or of another kind."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    how = rng.choice(("missing", "swapped", "inner", "header")) if kind == "member" else "array"
    if how == "missing":
        del members[name]
    elif how == "swapped":
        other = rng.choice(list(members))
        members[name], members[other] = members[other], members[name]
    elif how == "inner":
        members[name] = (
            damage(members[name], random.Random(rng.random()))[1] if members[name][:1] == b"{" else members[name][:20]
        )
    elif how == "header":
        members[name] = members[name].replace(
            b"'shape': (", rng.choice((b"'shape': (9", b"'shape':(-", b"'shape': x(")), 1
        )
    elif name.endswith(".npy"):
        buffer = io.BytesIO()
        np.save(buffer, rng.choice(ARRAYS))
        members[name] = buffer.getvalue()
    elif name.endswith(".json"):
        members[name] = _document(members[name], rng)
    else:
        members[name] = rng.randbytes(500)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    made = buffer.getvalue()
    if rng.random() < 0.1:
        # Of a method that nobody knows, or encrypted.
        changed = bytearray(made)
        place = made.rfind(b"PK\x01\x02")
        changed[place + rng.choice((8, 10))] = rng.choice((1, 99))
        made = bytes(changed)
    return made
