"""What is in a stage, as a folder of files that the service reads: it knows hashes, and neither git nor DVC."""

import shutil
import tempfile
from pathlib import Path

from pipeline.errors import RegistryError
from pipeline.files import read_json, replacing, write_json
from pipeline.registry import outcomes
from pipeline.registry.registrar import Registry, check_signature, known_stage
from pipeline.runtime import MANIFEST

SIGNATURE = "model.sig"


def deploy(registry: Registry, stage: str, out: Path) -> dict[str, str]:
    """Write the model and manifest of every artifact in a stage to `out/TASK`, the manifest with its version.

    Every model is held to the SHA-256 in its version's tag, and to its signature where a key is configured, before
    anything is written; then the folder is replaced as a whole.

    Returns:
        The version by artifact.

    Raises:
        RegistryError: the stage is empty, or a file is gone, was changed, or is not signed as it should be.
    """
    known_stage(stage)
    deployed = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, artifact in registry.artifacts.items():
            version = registry.journal.in_stage(name, stage)
            if version is None:
                continue
            event = registry.journal.version(name, version)
            target = folder / artifact.task
            outcomes.fetched_reader(registry.repository, artifact, event, target)
            check_signature(registry, artifact, event, target)
            if (signature := event.document.get("signed")) is not None:
                (target / SIGNATURE).write_text(signature, encoding="utf-8")
            write_json(target / MANIFEST, {**read_json(target / MANIFEST), "version": version})
            deployed[name] = version
        if not deployed:
            raise RegistryError(f"{stage}: no version of any artifact is in it; `registry promote` puts one there")
        with replacing(out) as temporary:
            shutil.copytree(folder, temporary)
    return deployed
