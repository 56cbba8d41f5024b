"""Mutated pictures against a running service: no 5xx, no hang, no growth of memory.

`python -m benchmarks.fuzz` posts 5,000 to http://127.0.0.1:3000, PNG and JPEG in turn.
"""

import io
from collections import Counter

import httpx
import numpy as np
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.project import command

SECONDS = 5.0
"""An answer that takes longer counts as a hang."""
_BATCH = 16


def main(url: str = "http://127.0.0.1:3000", count: int = 5000, seed: int = 0) -> None:
    """Print how many mutants got which status; exit 3 if one got a 5xx.

    Args:
        url: of the service.
        count: of mutants.
        seed: of the mutations.
    """
    statuses = statuses_of(url, count, seed)
    for status, number in sorted(statuses.items()):
        print(f"{status} {number:>6}")
    if any(status >= 500 for status in statuses):
        raise DataError(f"{url}: a mutated picture got a 5xx; the service's log has its traceback")


def statuses_of(url: str, count: int, seed: int) -> Counter[int]:
    """Post `count` mutants, every fourth to `/read_many`, sixteen at a time, the others to `/read`.

    Returns:
        How many mutants got which status.

    Raises:
        httpx.TimeoutException: no answer within `SECONDS`.
    """
    random = np.random.default_rng(seed)
    statuses: Counter[int] = Counter()
    with httpx.Client(base_url=url, timeout=SECONDS) as client:
        waiting: list[bytes] = []
        for index in range(count):
            mutant = mutated(_picture(random, ("PNG", "JPEG")[index % 2]), random)
            if index % 4:
                statuses[client.post("/read", content=mutant).status_code] += 1
                continue
            waiting.append(mutant)
            if len(waiting) == _BATCH or index >= count - 4:
                files = [("pictures", ("picture", file)) for file in waiting]
                statuses[client.post("/read_many", files=files).status_code] += len(waiting)
                waiting = []
    return statuses


def mutated(file: bytes, random: np.random.Generator) -> bytes:
    """The file with one to four changes: bytes replaced, a bit flipped, a part cut, repeated, copied or set to 0xff."""
    content = bytearray(file)
    for _ in range(int(random.integers(1, 5))):
        at = int(random.integers(len(content)))
        length = int(random.integers(1, 1 + min(64, len(content) - at)))
        kind = int(random.integers(6))
        if kind == 0:
            content[at : at + length] = random.bytes(length)
        elif kind == 1:
            content[at] ^= 1 << int(random.integers(8))
        elif kind == 2 and len(content) > length:
            del content[at : at + length]
        elif kind == 3:
            content[at:at] = content[at : at + length]
        elif kind == 4:
            part = content[at : at + length]
            to = int(random.integers(len(content)))
            content[to : to + length] = part
        else:
            # The largest value, if this is a length or a size.
            content[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(content)


def _picture(random: np.random.Generator, form: str) -> bytes:
    modes = {"PNG": ("L", "1", "P", "LA", "RGB", "RGBA"), "JPEG": ("L", "RGB", "CMYK")}[form]
    mode = modes[int(random.integers(len(modes)))]
    image = Image.fromarray(random.integers(0, 256, (28, 140), np.uint8)).convert(mode)
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


if __name__ == "__main__":
    command.run(main)
