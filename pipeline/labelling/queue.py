"""What is to be labelled: pictures that people corrected, pictures that were declined, and labels that look wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.config.params import Params
from pipeline.labelling import suspects
from pipeline.labelling.folder import Corrections
from pipeline.labelling.labels import LABELLED
from pipeline.labelling.suspects import Suspect
from pipeline.monitoring import feedback, quarantine, reading
from pipeline.monitoring.log import QUARANTINE
from pipeline.monitoring.monitor import PREDICTIONS

MOST = 300
"""Suspects of a source in one sitting, as many as the page of the stage shows; the next sitting asks for the next."""
Reason = Literal["corrected", "declined", "suspect"]


@dataclass(frozen=True)
class Item:
    """A picture to be labelled.

    Attributes:
        reason: why.
        task: whose pictures it is one of.
        digest: SHA-256 of the picture, as in the prediction log; of the pixels, of a suspect.
        reading: what a model read.
        proposal: the label that is shown: a person's correction, else the reading; of a suspect, its published label.
        confidence: of the reading; None where it is unknown.
        path: of the picture's file; None of a suspect.
        by: the name of the token that sent a correction.
        time: of the answer or the correction, in seconds since 1970.
        suspect: the label that looks wrong.
    """

    reason: Reason
    task: str
    digest: str
    reading: str
    proposal: str
    confidence: float | None = None
    path: Path | None = None
    by: str | None = None
    time: float = 0.0
    suspect: Suspect | None = None


@dataclass(frozen=True)
class Queue:
    """What is to be labelled, and what is not.

    Attributes:
        items: in the order in which they are asked.
        left_out: sentences on pictures that are not asked.
    """

    items: Sequence[Item]
    left_out: Sequence[str] = field(default=())

    def count(self, reason: Reason) -> int:
        """Items of a reason."""
        return sum(item.reason == reason for item in self.items)


def collect(log: Path, params: Params, known: Corrections, task: str = "") -> Queue:
    """Everything that was not labelled yet.

    First corrections, the oldest first; then declined pictures, the newest first; then suspects, the worst first.

    Args:
        log: the folder of the log; it need not exist.
        params: of params.yaml.
        known: what was labelled before.
        task: the one that is asked for; "" for all.

    Raises:
        DataError: the log, the feedback, a table of suspects or one of answers is damaged.
    """
    wanted = [each for each in LABELLED if task in ("", each)]
    corrected, without = _corrected(log, wanted)
    declined, unknown = _declined(log, wanted)
    of_corrections = {(item.task, item.digest) for item in corrected}
    pictures = [*corrected, *(item for item in declined if (item.task, item.digest) not in of_corrections)]
    looked_at = known.pictures()
    suspected, left_out = _suspects(params, known, task)
    if without:
        left_out.append(f"{without} corrections came without their picture")
    if unknown:
        left_out.append(f"{unknown} pictures in quarantine have no line in the log any more")
    return Queue(
        [*(item for item in pictures if (item.task, item.digest) not in looked_at), *suspected],
        left_out,
    )


def _corrected(log: Path, tasks: Sequence[str]) -> tuple[list[Item], int]:
    """What people corrected, and how many corrections have no picture."""
    found = [each for each in feedback.corrections(log) if each.wrong and each.task in tasks]
    lines = reading.of_pictures(log / PREDICTIONS, {each.digest for each in found})
    items, without = [], 0
    for each in found:
        if (path := feedback.picture_of(log, each)) is None:
            # It may have been declined since.
            path = next(quarantine.pictures_of(log / QUARANTINE, each.digest), None)
        if path is None:
            without += 1
            continue
        line = lines.get((each.digest, each.task), {})
        items.append(
            Item(
                "corrected",
                each.task,
                each.digest,
                each.reading,
                each.label,
                confidence=line.get("confidence") if line.get("reading") == each.reading else None,
                path=path,
                by=each.token,
                time=each.time,
            )
        )
    return items, without


def _declined(log: Path, tasks: Sequence[str]) -> tuple[list[Item], int]:
    """The pictures in quarantine that are still declined, and how many of them the log does not know."""
    paths = {path.stem: path for path in quarantine.pictures(log / QUARANTINE)}
    lines = reading.of_pictures(log / PREDICTIONS, paths)
    items = [
        Item(
            "declined",
            task,
            digest,
            line["reading"],
            line["reading"],
            confidence=line["confidence"],
            path=paths[digest],
            time=line["time"],
        )
        for (digest, task), line in lines.items()
        if task in tasks and line["accepted"] is not True
    ]
    items.sort(key=lambda item: (-item.time, item.digest))
    return items, len(paths) - len({digest for digest, _ in lines})


def _suspects(params: Params, known: Corrections, wanted: str) -> tuple[list[Item], list[str]]:
    """The worst suspects of each source, those of all sources in turn; and sentences on how many are left for later."""
    found, later = [], []
    for source, task, folder in suspects.sources(params, wanted):
        judged, excluded = known.judged(source), known.excluded(source)
        waiting = [
            Item("suspect", task, each.sha256, each.predicted, each.given, confidence=each.probability, suspect=each)
            for each in suspects.read(source, folder)
            if (each.sha256, str(each.place)) not in judged and each.sha256 not in excluded
        ]
        found += [(rank, item) for rank, item in enumerate(waiting[:MOST])]
        if len(waiting) > MOST:
            later.append(f"{source}: the {MOST} worst of {len(waiting):,} suspected labels; the others next time")
    return [item for _, item in sorted(found, key=lambda each: each[0])], later
