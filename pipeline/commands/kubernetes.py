"""`make kubernetes`: a Dockerfile and Kubernetes manifests for the bento. Not a DVC stage."""

from pathlib import Path

from pipeline.packaging import kubernetes
from pipeline.project import command
from pipeline.scheduling.limits import Limits


def main(bento: Path = Path("artifacts/reader.bento"), image: str = "", out: Path = Path("deploy/kubernetes")) -> str:
    """Write a Dockerfile, manifests, a kustomization and the rule for the autoscaler's metric.

    Args:
        bento: the bento that the image has.
        image: the image's name with its tag or digest; "" for the bento's own tag.
        out: the folder to write to.
    """
    limits = Limits()
    stop_seconds = limits.stop_seconds + limits.close_seconds
    named = kubernetes.write(kubernetes.Bento.read(bento), out, stop_seconds=stop_seconds, image=image)
    return f"{out}: manifests for the image {named}; docs/deploying.md says how to build it and what to check first"


if __name__ == "__main__":
    command.run(main)
