"""A version compared with its evidence: every hash, the signature, and the metrics computed again."""

from collections.abc import Iterator

from pipeline.core.errors import PipelineError, RegistryError
from pipeline.core.files import digest
from pipeline.evaluation.scores import by_suite, pooled_coverage
from pipeline.events import signing, trust
from pipeline.events.history import Event
from pipeline.records.registry import STAGES, Measures, VerificationResult
from pipeline.registry import evidence
from pipeline.registry.operations import Registry
from pipeline.registry.version import RegisteredVersion


def verify(registry: Registry, event: Event) -> list[VerificationResult]:
    """Compare everything that can be compared, and go on where something does not hold.

    Args:
        registry: that the version is in.
        event: its registration.
    """
    about = [*_stages(registry, event), *_history(registry, event)]
    try:
        _ = event.evidence
        with registry.opened(event) as version:
            compared = [*_documents(version), *_files(version), *_model(version), *_metrics(version)]
            return [*compared, *_shift(version), *about]
    except RegistryError as error:
        return [VerificationResult(subject=event.tag, holds=False, detail=str(error)), *about]


def _history(registry: Registry, event: Event) -> Iterator[VerificationResult]:
    """Whether every event of the artifact follows the one before."""
    problems = registry.history.problems(event.artifact)
    for problem in problems:
        yield VerificationResult(subject="history", holds=False, detail=problem)
    if not problems:
        end = registry.history.last(event.artifact)
        detail = "no event is in it" if end is None else f"every event follows the one before, up to {end.tag}"
        yield VerificationResult(subject="history", holds=True, detail=detail)


def _documents(version: RegisteredVersion) -> Iterator[VerificationResult]:
    recorded = version.evidence
    yield _compared("revision", version.event.revision, recorded.revision)
    for path, expected in (("dvc.lock", recorded.dvc_lock_sha256), ("params.yaml", recorded.params_sha256)):
        try:
            content = version.repository.text(version.event.revision, path)
        except RegistryError as error:
            yield VerificationResult(subject=path, holds=False, detail=str(error))
        else:
            yield _compared(path, evidence.text_sha256(content), expected)


def _files(version: RegisteredVersion) -> Iterator[VerificationResult]:
    """Every file that the version depends on. The paths follow from its names and are not taken from its tag."""
    recorded = version.evidence
    paths = evidence.file_paths(version.artifact, recorded.strategy, recorded.metrics, recorded.trained_on)
    for path in paths:
        try:
            version.fetch(path)
            # `fetch` has compared the file with the revision; what is left is whether the tag has the same MD5.
            yield _compared(path, version.storage.md5(path), recorded.files.get(path, "none"))
        except RegistryError as error:
            yield VerificationResult(subject=path, holds=False, detail=str(error).removeprefix(f"{path}: "))
    for path in sorted(set(recorded.files) - set(paths)):
        yield VerificationResult(subject=path, holds=False, detail="in the tag, but not a file of this version")


def _model(version: RegisteredVersion) -> Iterator[VerificationResult]:
    recorded, artifact = version.evidence, version.artifact
    model = version.folder / artifact.model
    if not model.exists():
        return
    yield _compared(f"{artifact.model}, SHA-256", digest(model), recorded.sha256)
    try:
        manifest = version.read_manifest()
        yield _compared(artifact.manifest, manifest.model.sha256, recorded.sha256)
        version.load_reader()
        yield VerificationResult(subject="inputs and outputs", holds=True, detail="as in the manifest, in ONNX Runtime")
    except RegistryError as error:
        yield VerificationResult(subject=artifact.manifest, holds=False, detail=str(error))
    key = signing.Keys.of(version.repository).public
    if key is not None:
        try:
            version.check_signature()
            yield VerificationResult(subject="signature", holds=True, detail=f"valid for {key.name}")
        except RegistryError as error:
            yield VerificationResult(subject="signature", holds=False, detail=str(error))
    elif recorded.signature:
        detail = f"there is one; not checked, since {signing.VERIFYING_KEY} is not set"
        yield VerificationResult(subject="signature", holds=True, detail=detail)


def _stages(registry: Registry, event: Event) -> Iterator[VerificationResult]:
    """For each stage that points at a version, whether a decision allowed that, and a signature where a key is set."""
    history = registry.history
    for stage in history.stages_of(event.artifact, event.version):
        placed, reason = trust.placed(history, event.artifact, stage, registry.verifying_key)
        if placed is None:
            continue
        allowed = "its files were there" if stage == STAGES[0] else "its decision passed"
        detail = f"{placed.tag}: {reason or allowed}"
        yield VerificationResult(subject=f"in {stage}", holds=reason is None, detail=detail)


def _metrics(version: RegisteredVersion) -> Iterator[VerificationResult]:
    """The scores of the stored readings, computed again, against those in the tag."""
    recorded = version.evidence
    try:
        manifest = version.read_manifest()
        results = {
            suite: {split: version.evaluated(suite, split, manifest.positional) for split in evidence.SPLITS}
            for suite in recorded.metrics
        }
        coverage = pooled_coverage(results, manifest.calibration)
        scores = by_suite(results, coverage.threshold)
    except PipelineError as error:
        yield VerificationResult(subject="metrics", holds=False, detail=f"cannot be computed again: {error}")
        return
    for suite, measures in recorded.metrics.items():
        for split, expected in (("gate", measures.gate), ("test", measures.test)):
            yield _measured(f"metrics, {suite} {split}", Measures.of(scores[suite][split]), expected)
    same = coverage == recorded.coverage
    detail = "as recorded" if same else f"{coverage.as_json()} found, {recorded.coverage.as_json()} expected"
    yield VerificationResult(subject="metrics, coverage", holds=same, detail=detail)


def _shift(version: RegisteredVersion) -> Iterator[VerificationResult]:
    """The figures on corrupted pictures against those of the revision; the pictures are not read again."""
    recorded, subject = version.evidence, "metrics, corrupted pictures"
    if recorded.shift is None:
        yield VerificationResult(subject=subject, holds=True, detail="not recorded: an earlier schema")
        return
    try:
        found = evidence.shift(
            version.repository, version.artifact, version.event.revision, recorded.strategy, recorded.sha256
        )
    except RegistryError as error:
        yield VerificationResult(subject=subject, holds=False, detail=str(error))
        return
    same = found == recorded.shift
    detail = "as at the revision" if same else f"{found.as_json()} found, {recorded.shift.as_json()} expected"
    yield VerificationResult(subject=subject, holds=same, detail=detail)


def _measured(subject: str, found: Measures, expected: Measures) -> VerificationResult:
    differing = [name for name in Measures.model_fields if getattr(found, name) != getattr(expected, name)]
    if differing:
        detail = ", ".join(
            f"{name} {getattr(found, name)} found, {getattr(expected, name)} expected" for name in differing
        )
    else:
        detail = f"sequence_accuracy {expected.sequence_accuracy:.4f} of {expected.n:,}, as recorded"
    return VerificationResult(subject=subject, holds=not differing, detail=detail)


def _compared(subject: str, found: str, expected: str) -> VerificationResult:
    if found == expected:
        return VerificationResult(subject=subject, holds=True, detail=f"{found[:12]}, as recorded")
    return VerificationResult(subject=subject, holds=False, detail=f"{found} found, expected {expected}")
