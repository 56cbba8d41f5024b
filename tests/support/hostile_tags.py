"""Hostile tags by the seed: objects, names and documents that no git, GTO or registry writes.

Objects are written as git keeps them, since git's own commands refuse to make most of them.
"""

import copy
import hashlib
import json
import random
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eexe.\r\n\tregistry: all is well"
DEEP = 5_000
EACH, FEW = 100, 25
"""Tags of a group and of a part of it, which are in a repository together."""
STAGES = ("dev", "staging", "prod")
ABSENT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Hostile:
    """A tag: the `kind` of its fault, its `name`, and the `id` of what it names."""

    kind: str
    name: str
    id: str


class Forge:
    """Makes hostile tags in a repository.

    Args:
        git_folder: of the repository.
        seed: of what is made.
        artifact: that the tags claim to be of.
        documents: messages of genuine tags, by kind of event; each is mutated.
        revisions: commits of genuine versions.
        last: tag and id of the last genuine event.
        canary: a folder that documents point at.
    """

    def __init__(
        self,
        git_folder: Path,
        seed: int,
        artifact: str,
        documents: dict[str, str],
        revisions: list[str],
        last: tuple[str, str],
        canary: Path,
    ) -> None:
        self.folder, self.random, self.artifact = git_folder, random.Random(seed), artifact
        self.documents = {kind: json.loads(text) for kind, text in documents.items()}
        self.revisions, self.canary, self.count = revisions, canary, 1000
        self.last, self.end, self.chained, self.stages = last, last, False, STAGES
        self.values = [
            None, True, False, 0, -1, 2**31, 2**63, 10**400, -(10**4400), 0.5, 1e308, [], {}, [[]], "", " ", "x" * 5000,
            "/", "..", "../..", "../" * 12 + str(canary)[1:], str(canary / "model.onnx"), str(canary), "~/.bashrc",
            "C:\\x", "\0", ESCAPES, "\ud800", "v1.2", "v٣.1.0", "v1.0.0\n", "%s%n", "${HOME}", "$(touch x)", "--help",
            "plain/../../x", "strips/../../..", {"../../x": "0"}, {str(canary / "model.onnx"): "0" * 32}, {"": {"": 0}},
        ]  # fmt: skip

    def blob(self, content: bytes, kind: str = "blob") -> str:
        """Write an object of any kind, and return its id."""
        whole = f"{kind} {len(content)}\0".encode() + content
        name = hashlib.sha1(whole).hexdigest()
        path = self.folder / "objects" / name[:2] / name[2:]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(zlib.compress(whole, 1))
        return name

    def tag(self, name: str, message: bytes, **header: Any) -> str:
        """Write the object of a tag; `header` replaces the lines of its header."""
        self.count += 1
        lines = {
            "object": self.random.choice(self.revisions),
            "type": "commit",
            "tag": name,
            "tagger": f"Eve <eve@example.org> {1_800_000_000 + self.count} +0000",
        } | header
        parts = [
            b"%s %s\n" % (key.encode(), value if isinstance(value, bytes) else str(value).encode("utf-8", "replace"))
            for key, value in lines.items()
            if value is not None
        ]
        return self.blob(b"".join(parts) + b"\n" + message, "tag")

    def name(self) -> str:
        """A new name that the registry reads."""
        self.count += 1
        stage = self.random.choice(self.stages)
        return self.random.choice(
            (f"{self.artifact}@v9.{self.count}.0", f"{self.artifact}#{stage}#{self.count}",
             f"refused/{self.artifact}/{stage}/{self.count}")
        )  # fmt: skip

    def hostile(self, n: int) -> Iterator[Hostile]:
        """So many tags, of all kinds in turn. The kinds that mutate a document come five times as often."""
        makers = [self.objects, self.headers, self.messages, self.names, *[self.mutations] * 5]
        for index in range(n):
            if index % FEW == 0:
                # Parts of every second group continue the genuine chain, so that commands go on; the others fork it.
                self.end, self.chained = self.last, index // EACH % 2 == 0
                self.stages = self.random.choice((STAGES, STAGES[:2]))
            yield makers[index % len(makers)]()

    def objects(self) -> Hostile:
        """What a tag names: everything but a tag of a commit."""
        name, commit = self.name(), self.random.choice(self.revisions)
        tree = subprocess.run(
            ["git", "rev-parse", f"{commit}^{{tree}}"], cwd=self.folder, capture_output=True, text=True, check=True
        ).stdout.strip()
        inner = self.tag("inner", b"inner\n")
        made = {
            "lightweight": lambda: commit,
            "lightweight, of a blob": lambda: self.blob(b"x"),
            "lightweight, of a tree": lambda: tree,
            "of a blob": lambda: self.tag(name, b"{}", object=self.blob(b"x"), type="blob"),
            "of a tree": lambda: self.tag(name, b"{}", object=tree, type="tree"),
            "of a tag": lambda: self.tag(name, b"{}", object=inner, type="tag"),
            "of a blob that claims to be a commit": lambda: self.tag(name, b"{}", object=self.blob(b"x")),
            "of what is not there": lambda: self.tag(name, b"{}", object=ABSENT),
            "an object of another tag": lambda: self.tag(self.name(), self.document("promotion")),
        }
        kind = self.random.choice(sorted(made))
        return Hostile(kind, name, made[kind]())

    def headers(self) -> Hostile:
        """A header that git does not write."""
        name, message = self.name(), self.document(self.random.choice(sorted(self.documents)))
        times = (2**62, 2**63, 2**64, -1, -(2**62), 0, 1, 2**32, 10**30, "", "now", "1e9", "0x10", " ")
        made: dict[str, dict[str, Any]] = {
            "time": {"tagger": f"Eve <e@x> {self.random.choice(times)} +0000"},
            "zone": {"tagger": f"Eve <e@x> 1800000000 {self.random.choice(('+9999', '-', '', 'UTC', '+000000'))}"},
            "latin-1 tagger": {"tagger": "J\xfcrgen <j\xfc@x> 1800000000 +0000".encode("latin-1")},
            "escapes in the tagger": {"tagger": f"{ESCAPES.replace(chr(10), '')} <e@x> 1800000000 +0000"},
            "nul in the tagger": {"tagger": b"E\0ve <e@x> 1800000000 +0000"},
            "no tagger": {"tagger": None},
            "empty tagger": {"tagger": ""},
            "long tagger": {"tagger": f"{'E' * 100_000} <e@x> 1800000000 +0000"},
            "brackets": {"tagger": "Eve <<e@x>> 1800000000 +0000"},
            "no object": {"object": None},
            "short object": {"object": "abc"},
            "type": {"type": self.random.choice(("", "Commit", "commit\0", "\xff", "commit x"))},
            "another name": {"tag": self.random.choice(("", "x", ESCAPES.replace("\n", ""), "../../x", "\xff" * 50))},
            "more lines": {"gpgsig": "-----BEGIN\n " + ESCAPES.replace("\n", ""), "encoding": "latin-1"},
        }
        kind = self.random.choice(sorted(made))
        return Hostile(f"header: {kind}", name, self.tag(name, message, **made[kind]))

    def messages(self) -> Hostile:
        """A message that is no document."""
        name, genuine = self.name(), self.document(self.random.choice(sorted(self.documents)))
        made = {
            "none": b"",
            "latin-1": '{"kind": "J\xfcrgen"}'.encode("latin-1"),
            "utf-16": genuine.decode().encode("utf-16"),
            "byte order mark": b"\xef\xbb\xbf" + genuine,
            "escapes": ESCAPES.encode(),
            "nul": genuine.replace(b'"artifact"', b'"arti\0fact"'),
            "deep lists": b"[" * DEEP + b"]" * DEEP,
            "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
            "deep within": genuine.replace(b"{", b'{"x": ' + b"[" * DEEP + b"]" * DEEP + b",", 1),
            "cut": genuine[: len(genuine) // 2],
            "twice": genuine + genuine,
            "huge": b'{"kind": "' + b"x" * 400_000 + b'"}',
            "a list": b"[" + genuine + b"]",
            "a number": b"1" * 5000,
            "not a number": b'{"kind": NaN, "time": Infinity}',
            "too large a number": genuine.replace(b"0.", b'1e999, "y": 0.', 1),
            "random bytes": self.random.randbytes(300),
            "signature": b"release\n-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n",
        }
        kind = self.random.choice(sorted(made))
        return Hostile(f"message: {kind}", name, self.tag(name, made[kind]))

    def names(self) -> Hostile:
        """A name that the registry does not write, or that stands in the way."""
        a, commit = self.artifact, self.random.choice(self.revisions)
        n = self.count = self.count + 1
        name = self.random.choice(
            (
                f"{a}@v9.{n}.0-rc.{n}", f"{a}@v9.{n}.0+linux", f"{a}@v9.{n}", f"{a}@{n}.0.0", f"{a}@v9.{'9' * 150}.{n}",
                f"{a}#prod#{'9' * 150}{n}", f"{a}#canary#{n}", f"{a}#prod#{n}/x", f"{a}#prod#x{n}", f"{a}#{n}",
                f"{a}#dev!#{n}", f"x/{a}@v9.{n}.0", f"a=b@v9.{n}.0", f"zwölf{n}@v1.0.0", f"{a}@v9.{n}.0\x9b31m",
                f"refused/{a}/prod/{n}/x/y", f"refused/{a}/nowhere/{n}", f"refused/x{n}", f"refused/{a}/prod/x{n}",
                f"refused/{a}@v1/prod/{n}", f"{a}@v9.{n}.0{'x' * 180}", f"other-{n}@v1.0.0",
                f"-{n}@v1.0.0", f"{commit[:39]}{n}",
            )
        )  # fmt: skip
        message = self.document(self.random.choice(sorted(self.documents)))
        return Hostile("name", name, self.tag(name, message, object=commit))

    def mutations(self) -> Hostile:
        """A genuine document with up to three values replaced, removed or added, often with its name set right."""
        kind = self.random.choice(sorted(self.documents))
        document = copy.deepcopy(self.documents[kind])
        self.count += 1
        stage = self.random.choice(self.stages)
        version = f"v9.{self.count}.0" if kind == "version" else document.get("version")
        name = {
            "version": f"{self.artifact}@{version}",
            "refusal": f"refused/{self.artifact}/{stage}/{self.count}",
        }.get(kind, f"{self.artifact}#{stage}#{self.count}")
        if self.random.random() < 0.8:
            document |= {"version": version} | ({} if kind == "version" else {"stage": stage})
        if self.chained:
            document["previous"] = dict(zip(("tag", "id"), self.end, strict=True))
        paths = []
        for _ in range(self.random.randint(1, 3)):
            path = self.random.choice(list(_paths(document)))
            paths.append(".".join(map(str, path)))
            self._mutate(document, path)
        # JSON as an attacker writes it: a lone surrogate as an escape, an integer of any length.
        message = _dumps(document).encode("utf-8", "surrogatepass")
        made = Hostile(f"document: {kind}: {', '.join(paths)}", name, self.tag(name, message))
        if self.chained and not any(path.startswith("previous") for path in paths) and _is_json(message):
            self.end = (name, made.id)
        return made

    def document(self, kind: str) -> bytes:
        """The message of a genuine tag."""
        document = self.documents[kind]
        if self.chained:
            document = {key: value for key, value in document.items() if key != "previous"}
        return json.dumps(document).encode()

    def _mutate(self, document: Any, path: tuple[Any, ...]) -> None:
        place = document
        for key in path[:-1]:
            place = place[key]
        act = self.random.random()
        if act < 0.15:
            del place[path[-1]]
        elif act < 0.25 and isinstance(place, dict):
            place[self.random.choice(("../../x", str(self.canary / "x"), ESCAPES, "", "__class__", "kind"))] = place[
                path[-1]
            ]
        elif act < 0.35:
            place[path[-1]] = [place[path[-1]]]
        else:
            place[path[-1]] = copy.deepcopy(self.random.choice(self.values))


def create(git_folder: Path, tags: list[Hostile]) -> list[Hostile]:
    """Create the refs of tags in a repository as a push would. Names that no git accepts are left out.

    Returns:
        Those that were created.
    """
    created = []
    for tag in tags:
        if subprocess.run(["git", "check-ref-format", f"refs/tags/{tag.name}"], check=False).returncode:
            continue
        path = git_folder / "refs/tags" / tag.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{tag.id}\n", encoding="utf-8")
        except OSError:
            # A file and a folder of one name, or too long a name.
            continue
        created.append(tag)
    return created


def remove(git_folder: Path, tags: list[Hostile]) -> None:
    """Remove the refs of tags."""
    for tag in tags:
        path = git_folder / "refs/tags" / tag.name
        if not path.is_file():
            continue
        path.unlink()
        while path.parent.name != "tags" and not any(path.parent.iterdir()):
            path = path.parent
            path.rmdir()


def _is_json(message: bytes) -> bool:
    try:
        return isinstance(from_json(message), dict)
    except ValueError:
        return False


def _dumps(document: Any) -> str:
    """JSON that also has integers of more digits than Python writes by default."""
    large = {}

    def mark(value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**64:
            key = f"large-{len(large)}"
            large[key] = f"{'-' if value < 0 else ''}1{'0' * (4400 if value < 0 else 400)}"
            return key
        if isinstance(value, dict):
            return {key: mark(each) for key, each in value.items()}
        return [mark(each) for each in value] if isinstance(value, list) else value

    text = json.dumps(mark(document))
    for key, digits in large.items():
        text = text.replace(f'"{key}"', digits)
    return text


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*path, key)
        yield from _paths(each, (*path, key))
