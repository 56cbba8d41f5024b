"""Get the pictures of a source: public, from a mirror, from a folder, or the stand-in."""

import os
from pathlib import Path

from pipeline.config import params
from pipeline.core.files import replacing, write_json
from pipeline.data import sources
from pipeline.project import command

CACHE = Path(".cache/downloads")


def main(source: str, out: Path) -> None:
    """Write the sets of one source, and what they are to source.json."""
    settings = params.load(Path("params.yaml"))
    sets = sources.fetch(
        source,
        settings.origin_of(source),
        fallback=settings.fetch.fallback,
        mirror=os.environ.get("DATASETS_MIRROR", ""),
        cache=Path(os.environ.get("DATASETS_CACHE") or CACHE),
    )
    with replacing(out) as folder:
        folder.mkdir()
        for name, pictures in sets.items():
            pictures.save(folder / f"{name}.npz")
        write_json(folder / "source.json", sources.summary(sets))


if __name__ == "__main__":
    command.run(main)
