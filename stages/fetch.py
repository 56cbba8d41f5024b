"""Get the pictures of a source: public, from a mirror, from a folder, or the stand-in."""

import os
from pathlib import Path

from pipeline import command, params, sources
from pipeline.files import replacing, write_json

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
