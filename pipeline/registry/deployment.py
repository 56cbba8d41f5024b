"""What is in a stage, as a folder of files for the service, which knows hashes and neither git nor DVC."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.events import trust
from pipeline.events.history import Event
from pipeline.events.signing import VERIFYING_KEY
from pipeline.project import folders
from pipeline.records.manifest import MANIFEST
from pipeline.registry.operations import Registry, known_stage
from pipeline.registry.version import RegisteredVersion

SIGNATURE = "model.sig"


@dataclass(frozen=True)
class Deployed:
    """What was deployed.

    Attributes:
        version: the version.
        placed: the event that put it into the stage.
        unchecked: why no decision allows that; None where one does.
    """

    version: str
    placed: Event
    unchecked: str | None


def deploy(registry: Registry, stage: str, out: Path, *, unchecked: bool = False) -> dict[str, Deployed]:
    """Write the model and manifest of every artifact in a stage to `out/TASK`, the manifest with its version.

    A deprecated artifact is left out. Every version needs a promotion whose decision passed, for its SHA-256 and in
    this stage. Its files are compared with the SHA-256 in its tag, and where a key is configured both the version and
    the decision are signed. All of this is checked before anything is written. Then the folder is replaced as a whole
    and in one step, so that whatever kills the process leaves the old one or the new one. Every user can read it.

    Args:
        registry: as it is now.
        stage: what is deployed.
        out: the folder.
        unchecked: whether a version is deployed that was assigned by hand, without a decision.

    Returns:
        By artifact, what was deployed.

    Raises:
        ConfigurationError: `out` holds a file that `deploy` did not write and would delete; or `unchecked` is asked for
            although a key is configured.
        RegistryError: the stage is empty, or points at a version that is withdrawn or that no decision allows; the
            history of an artifact is broken; or a file is gone, was changed, or is not signed as it should be.
    """
    known_stage(stage)
    out = out.resolve()
    _expect_own(registry, out)
    deployed = placed_versions(registry, stage, unchecked=unchecked)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, each in deployed.items():
            with registry.opened(registry.history.version(name, each.version)) as opened:
                write_version(opened, folder / registry.artifacts[name].task)
        with folders.publishing(out) as new:
            shutil.copytree(folder, new, dirs_exist_ok=True)
    return deployed


def placed_versions(registry: Registry, stage: str, *, unchecked: bool = False) -> dict[str, Deployed]:
    """What is in a stage and may leave the registry, by artifact; deprecated artifacts are left out.

    Args:
        registry: as it is now.
        stage: one of the registry's.
        unchecked: whether a version counts that was assigned by hand, without a decision.

    Raises:
        ConfigurationError: `unchecked` is asked for although a key is configured.
        RegistryError: the stage is empty, or points at a version that is withdrawn or that no decision allows; or the
            history of an artifact is broken.
    """
    known_stage(stage)
    history, key, found = registry.history, registry.verifying_key, {}
    if unchecked and key is not None:
        raise ConfigurationError(
            f"--unchecked: {VERIFYING_KEY} is set, and with a key only signed decisions are deployed; "
            f"`registry promote` records one"
        )
    for name in registry.artifacts:
        placed, reason = trust.placed(history, name, stage, key)
        if placed is None or history.deprecation(name) is not None:
            continue
        version = placed.version
        if (by := history.withdrawal(name, version)) is not None:
            raise RegistryError(
                f"{name}#{stage}: {version} is there and was withdrawn by {by.tag}, which {by.who} made; "
                f"`registry rollback {name} {stage}` or a promotion puts another version there"
            )
        registry.expect_sound(name)
        if reason is not None and not unchecked:
            remedy = "" if key is not None else ", or `registry deploy --unchecked` deploys it"
            raise RegistryError(
                f"{name}#{stage}: {version} is there without a decision that holds ({placed.tag}: {reason}); "
                f"`registry promote {name}@{version} {stage}` makes one{remedy}"
            )
        found[name] = Deployed(version, placed, reason)
    if not found:
        deprecated = history.deprecated()
        except_for = f" except for deprecated ones, {', '.join(deprecated)}" if deprecated else ""
        raise RegistryError(
            f"{stage}: no version of any artifact is in it{except_for}; `registry promote` puts one there"
        )
    return found


def write_version(version: RegisteredVersion, target: Path) -> None:
    """Write the model of a version, its manifest with the version's number, and its signature, after every check.

    Args:
        version: opened.
        target: a folder that is made.

    Raises:
        RegistryError: a file is gone or was changed, the model does not load, or it is not signed as it should be.
    """
    manifest = version.load_reader().manifest
    version.check_signature()
    target.mkdir(parents=True)
    shutil.copyfile(version.fetch_model(), target / Path(version.artifact.model).name)
    manifest.model_copy(update={"version": version.event.version}).write(target / MANIFEST)
    if (signature := version.evidence.signature) is not None:
        (target / SIGNATURE).write_text(signature.model_dump_json(by_alias=True) + "\n", encoding="utf-8")


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
