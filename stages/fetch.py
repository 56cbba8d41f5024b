"""Get the pictures of a source: published, from a mirror, from a folder, or the stand-in."""

import os
from pathlib import Path

from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.data import sources
from pipeline.project import command
from pipeline.records.data import SOURCE


def main(source: str, out: Path, cache: Path = Path(".cache/downloads")) -> str:
    """Write the sets of one source, and their description to source.json; return how many pictures, and their origin.

    DATASETS_MIRROR names a mirror; DATASETS_CACHE replaces `cache`, the folder of the downloads.
    """
    settings = params.load(Path("params.yaml"))
    sets = sources.fetch(
        source,
        settings.origin_of(source),
        fallback=settings.fetch.fallback,
        mirror=os.environ.get("DATASETS_MIRROR", ""),
        cache=Path(os.environ.get("DATASETS_CACHE") or cache),
    )
    with replacing(out) as folder:
        folder.mkdir()
        for name, pictures in sets.items():
            pictures.save(folder / f"{name}.npz")
        record = sources.describe(sets)
        record.write(folder / SOURCE)
    return f"{sum(map(len, sets.values())):,} pictures, origin {record.origin}"


if __name__ == "__main__":
    command.run(main)
