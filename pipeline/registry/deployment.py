"""What is in a stage, as a folder of files that the service reads: it knows hashes, and neither git nor DVC."""

import shutil
import tempfile
from pathlib import Path

from pipeline.core.errors import ConfigurationError, RegistryError
from pipeline.core.files import read_json, replacing, write_json
from pipeline.registry import outcomes
from pipeline.registry.operations import Registry, check_signature, known_stage
from pipeline.runtime.reader import MANIFEST

SIGNATURE = "model.sig"


def deploy(registry: Registry, stage: str, out: Path) -> dict[str, str]:
    """Write the model and manifest of every artifact in a stage to `out/TASK`, the manifest with its version.

    An artifact that is deprecated is left out. Every model is held to the SHA-256 in its version's tag, and to its
    signature where a key is configured, before anything is written; then the folder is replaced as a whole.

    Returns:
        The version by artifact.

    Raises:
        ConfigurationError: `out` holds something that is not written here, and would be lost.
        RegistryError: the stage is empty or points at a version that was withdrawn; or a file is gone, was changed, or
            is not signed as it should be.
    """
    known_stage(stage)
    out = out.resolve()
    _keep_what_is_foreign(registry, out)
    journal, deployed = registry.journal, {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, artifact in registry.artifacts.items():
            version = journal.in_stage(name, stage)
            if version is None or journal.deprecation(name) is not None:
                continue
            if (by := journal.withdrawal(name, version)) is not None:
                raise RegistryError(
                    f"{name}#{stage}: {version} is there and was withdrawn by {by.tag}, which {by.who} made; "
                    f"`registry rollback {name} {stage}` or a promotion puts another there"
                )
            event = journal.version(name, version)
            target = folder / artifact.task
            outcomes.fetched_reader(registry.repository, artifact, event, target)
            check_signature(registry, artifact, event, target)
            if (signature := event.document.get("signed")) is not None:
                (target / SIGNATURE).write_text(signature, encoding="utf-8")
            write_json(target / MANIFEST, {**read_json(target / MANIFEST), "version": version})
            deployed[name] = version
        if not deployed:
            deprecated = [name for name in registry.artifacts if journal.deprecation(name) is not None]
            but = f" but of what is deprecated, {', '.join(deprecated)}" if deprecated else ""
            raise RegistryError(f"{stage}: no version of any artifact is in it{but}; `registry promote` puts one there")
        with replacing(out) as temporary:
            shutil.copytree(folder, temporary)
    return deployed


def _keep_what_is_foreign(registry: Registry, out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigurationError(f"{out}: a file; expected a folder, new, empty or written by `registry deploy`")
    written: dict[Path, set[str]] = {}
    for artifact in registry.artifacts.values():
        written[out / artifact.task] = {Path(artifact.model).name, MANIFEST, SIGNATURE}
    foreign = []
    for folder in sorted(out.iterdir()):
        # A link is foreign whatever it points at: nothing that is written here is one.
        if folder not in written or folder.is_symlink() or not folder.is_dir():
            foreign.append(folder)
        else:
            foreign += [path for path in sorted(folder.iterdir()) if path.name not in written[folder]]
    if foreign:
        raise ConfigurationError(
            f"{out}: {foreign[0].relative_to(out)} would be lost, since the folder is replaced as a whole; "
            "expected a folder that is new, empty or written by `registry deploy`"
        )
