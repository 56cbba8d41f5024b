"""The errors a user can cause, and the exit code each kind leads to."""


class PipelineError(Exception):
    """An error that one line explains: what was found, what was expected, what to do."""

    exit_code = 1
    kind = "error"


class ConfigurationError(PipelineError):
    """params.yaml, a command's arguments or the environment say something that is not possible."""

    exit_code = 2
    kind = "configuration"


class DataError(PipelineError):
    """A data set is missing, damaged, or not what the pipeline can work with."""

    exit_code = 3
    kind = "data"


class DriftError(PipelineError):
    """What a model reads has changed: no failure, but what a scheduler asks for."""

    exit_code = 5
    kind = "drift"


class RegistryError(PipelineError):
    """The registry does not hold what was asked of it, or refuses to: a gate, a lock, a file that is gone."""

    exit_code = 4
    kind = "registry"
