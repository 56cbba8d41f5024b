"""Build the bento: service, models and lock in one file."""

from pathlib import Path

from pipeline.config import params
from pipeline.packaging import bento
from pipeline.project import command


def main(artifacts: Path, out: Path) -> str:
    """Write the bento that `bentofile.yaml` describes; its labels name the hash and the origin of every model."""
    # A task that params.yaml does not package any more may have left a folder.
    tasks = params.load(Path("params.yaml")).package
    tag = bento.build_selected(Path("bentofile.yaml"), artifacts, out, tasks)
    # BentoML 1.4 takes a relative path here for one that begins at the root.
    return f"{out}: {tag}; serve it with `bentoml import {out.resolve()}` and `bentoml serve {tag}`"


if __name__ == "__main__":
    command.run(main)
