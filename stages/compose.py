"""Divide a source into splits, or compose a suite of strips or scenes from single digits."""

from pathlib import Path

from pipeline.config import params
from pipeline.core.files import replacing
from pipeline.data import suites
from pipeline.project import command


def main(suite: str, source: Path, out: Path) -> None:
    """Write the four splits of one suite, made of the pictures in the folder `source`."""
    settings = params.load(Path("params.yaml"))
    splits = suites.compose(suite, settings.suites[suite], source, settings.compose.seed)
    with replacing(out) as folder:
        folder.mkdir()
        for split, pictures in splits.items():
            pictures.save(folder / f"{split}.npz")


if __name__ == "__main__":
    command.run(main)
