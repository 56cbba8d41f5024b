"""Build the bento: service, models and lock in one file."""

from pathlib import Path

from pipeline import bento, command


def main(artifacts: Path, out: Path) -> None:
    """Write the bento that `bentofile.yaml` describes; its labels name every model's hash and origin."""
    tag = bento.build(Path("bentofile.yaml"), artifacts, out)
    print(f"{out}: {tag}; serve it with `bentoml import {out}` and `bentoml serve {tag}`")


if __name__ == "__main__":
    command.run(main)
