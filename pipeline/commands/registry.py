"""`make registry`: the `registry` command with arguments that come as one text. Not a DVC stage."""

import shlex

from pipeline.core.errors import ConfigurationError
from pipeline.project import command
from pipeline.registry import cli


def main(arguments: str = "") -> None:
    """Run `registry`; quotes group words, and nothing else in the text has a meaning.

    Args:
        arguments: those of `registry`, as one types them.
    """
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise ConfigurationError(f"ARGS: {error} in {arguments!r}; expected a quote at both ends") from None
    cli.main(words)


if __name__ == "__main__":
    command.run(main)
