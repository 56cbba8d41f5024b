"""`make push` and `make pull`: share results through DVC's remote, so that no machine computes what another has."""

from pipeline.core.errors import ConfigurationError
from pipeline.project import command, remote, workspace


def main(push: bool = False, pull: bool = False) -> str:
    """Transfer the outputs that dvc.lock records, and the run cache: what any stage gave for any inputs.

    Args:
        push: to the remote.
        pull: from the remote, into the cache and the workspace.
    """
    if push == pull:
        raise ConfigurationError("expected --push or --pull")
    workspace.expect_clone()
    return remote.push(run_cache=True) if push else remote.pull(run_cache=True)


if __name__ == "__main__":
    command.run(main)
