"""What is in a stage, as a folder of files for the service, which knows hashes and neither git nor DVC."""

import shutil
import tempfile
from pathlib import Path

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.core.files import replacing
from pipeline.records.manifest import MANIFEST
from pipeline.registry.operations import Registry, known_stage
from pipeline.registry.version import RegisteredVersion

SIGNATURE = "model.sig"


def deploy(registry: Registry, stage: str, out: Path) -> dict[str, str]:
    """Write the model and manifest of every artifact in a stage to `out/TASK`, the manifest with its version.

    A deprecated artifact is left out. Every model is compared with the SHA-256 in its version's tag, and with its
    signature where a key is configured, before anything is written. Then the folder is replaced as a whole.

    Returns:
        The version by artifact.

    Raises:
        ConfigurationError: `out` holds a file that `deploy` did not write and would delete.
        RegistryError: the stage is empty or points at a withdrawn version; or a file is gone, was changed, or is not
            signed as it should be.
    """
    known_stage(stage)
    out = out.resolve()
    _expect_own(registry, out)
    history, deployed = registry.history, {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, artifact in registry.artifacts.items():
            version = history.in_stage(name, stage)
            if version is None or history.deprecation(name) is not None:
                continue
            if (by := history.withdrawal(name, version)) is not None:
                raise RegistryError(
                    f"{name}#{stage}: {version} is there and was withdrawn by {by.tag}, which {by.who} made; "
                    f"`registry rollback {name} {stage}` or a promotion puts another version there"
                )
            with registry.opened(history.version(name, version)) as opened:
                _write(opened, folder / artifact.task)
            deployed[name] = version
        if not deployed:
            deprecated = history.deprecated()
            except_for = f" except for deprecated ones, {', '.join(deprecated)}" if deprecated else ""
            raise RegistryError(
                f"{stage}: no version of any artifact is in it{except_for}; `registry promote` puts one there"
            )
        with replacing(out) as temporary:
            shutil.copytree(folder, temporary)
    return deployed


def _write(version: RegisteredVersion, target: Path) -> None:
    manifest = version.load_reader().manifest
    version.check_signature()
    target.mkdir(parents=True)
    shutil.copyfile(version.fetch_model(), target / Path(version.artifact.model).name)
    manifest.model_copy(update={"version": version.event.version}).write(target / MANIFEST)
    if (signature := version.evidence.signature) is not None:
        (target / SIGNATURE).write_text(signature, encoding="utf-8")


def _expect_own(registry: Registry, out: Path) -> None:
    """Raise a ConfigurationError where a folder holds anything but what `deploy` writes."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigurationError(f"{out}: a file; expected a folder, new, empty or written by `registry deploy`")
    written: dict[Path, set[str]] = {}
    for artifact in registry.artifacts.values():
        written[out / artifact.task] = {Path(artifact.model).name, MANIFEST, SIGNATURE}
    foreign = []
    for folder in sorted(out.iterdir()):
        # A link is foreign whatever it points at: `deploy` writes none.
        if folder not in written or folder.is_symlink() or not folder.is_dir():
            foreign.append(folder)
        else:
            foreign += [path for path in sorted(folder.iterdir()) if path.name not in written[folder]]
    if foreign:
        raise ConfigurationError(
            f"{out}: {foreign[0].relative_to(out)} would be lost, since the folder is replaced as a whole; "
            "expected a folder that is new, empty or written by `registry deploy`"
        )
