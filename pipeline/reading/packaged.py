"""The packaged models as `make read` uses them: from the bytes of a picture's file to the answer of the service."""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import JsonValue

from pipeline.core.decoding import Picture, PictureError
from pipeline.core.errors import ConfigurationError
from pipeline.reading.plain import decode_plain, judge_plain
from pipeline.records.answer import ModelIdentity
from pipeline.records.manifest import Manifest
from pipeline.runtime import text
from pipeline.runtime.answers import readings_as_json, reads_digits
from pipeline.runtime.pages import BLANK, LINES, Page, answer_page, answer_picture, known_shapes, open_picture
from pipeline.runtime.reader import Reader, load_manifests
from pipeline.runtime.session import ModelError

BATCH = 32
"""Most lines of a picture, or pictures of a model's size, in one run of the model."""


@dataclass(frozen=True)
class Answered:
    """A picture's answer.

    Attributes:
        answer: what the service answers, in the form of `PictureAnswer`.
        opened: the task and the picture that its model read, or the lines that were found.
    """

    answer: dict[str, JsonValue]
    opened: tuple[str, Picture] | Page


class PackagedModels:
    """The packaged models, each loaded when it first reads. Several threads may use them at once.

    Attributes:
        manifests: of the models that may read, by task.
        shapes: of the pictures that models read as they are, by task.
        lines: whether a picture of another size is searched for lines of writing.
    """

    def __init__(self, artifacts: Path, manifests: Mapping[str, Manifest]) -> None:
        self.manifests = manifests
        self.shapes = known_shapes(manifests)
        self.lines = LINES in manifests
        self._artifacts = artifacts
        self._readers: dict[str, Reader] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, artifacts: Path, task: str = "") -> Self:
        """The models below a folder.

        Args:
            artifacts: holds a folder for each task.
            task: whose model reads every picture; "" where the size of a picture decides.

        Raises:
            ConfigurationError: no model of that task is packaged.
            DataError: nothing is packaged, or a manifest is damaged.
        """
        manifests = load_manifests(artifacts)
        if task and task not in manifests:
            raise ConfigurationError(f"TASK: {task} found, expected one of the packaged {', '.join(manifests)}")
        return cls(artifacts, {task: manifests[task]} if task else manifests)

    def setup(self, *, invert: bool) -> str:
        """A hash of the models and of what else decides a reading, 16 hexadecimal digits."""
        hashes = {task: manifest.model.sha256 for task, manifest in self.manifests.items()}
        thresholds = {task: manifest.threshold for task, manifest in self.manifests.items()}
        content = json.dumps({"models": hashes, "thresholds": thresholds, "invert": invert}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def reader(self, task: str) -> Reader:
        """The model of a task.

        Raises:
            DataError: the model is missing, damaged, or not what its manifest says.
        """
        with self._lock:
            if task not in self._readers:
                self._readers[task] = Reader.load(self._artifacts / task)
            return self._readers[task]

    def open(self, data: bytes) -> tuple[str, Picture] | Page:
        """Decode a picture for the model that reads it: the task and the picture, or the lines that were found.

        Raises:
            PictureError: the bytes are not a picture, or no model takes its size.
        """
        return open_picture(data, self.shapes, lines=self.lines)

    def answer(self, data: bytes, *, invert: bool = False) -> Answered:
        """Read one picture as the service does.

        The lines of a picture are read in runs of their own: a reading does not depend on other pictures.

        Args:
            data: of the picture's file.
            invert: invert a picture of digits that has the size of a model. Of any other picture of digits the
                polarity is found out.

        Raises:
            PictureError: the bytes are not a picture, or no model takes its size.
            ModelError: the model failed on this picture.
        """
        opened = self.open(data)
        if isinstance(opened, Page):
            return Answered(self._answer_page(opened), opened)
        task, picture = opened
        manifest = self.manifests[task]
        if reads_digits(manifest):
            picture = text.with_polarity(picture, invert)
        readings = self.reader(task).read(picture.pixels[None])
        answer = answer_picture(manifest, picture, readings, ModelIdentity.of(manifest).as_json())
        return Answered(answer, (task, picture))

    def answer_many(
        self, pictures: Sequence[bytes], *, invert: bool = False
    ) -> list[dict[str, JsonValue] | PictureError | ModelError]:
        """Read pictures as `answer` does, those of a model's size together in runs of `BATCH`.

        The answers are those of `answer`, without the probabilities of the classes that were not read. Of a picture
        that has none, its error is in the place of its answer.

        Args:
            pictures: the bytes of their files.
            invert: as `answer` takes it.
        """
        answers: dict[int, dict[str, JsonValue] | PictureError | ModelError] = {}
        by_task: dict[str, list[tuple[int, Picture]]] = {}
        plain: dict[str, list[tuple[int, np.ndarray]]] = {}
        for index, data in enumerate(pictures):
            if not invert and (found := decode_plain(data, self.shapes)) is not None:
                plain.setdefault(found[0], []).append((index, found[1]))
                continue
            try:
                opened = self.open(data)
                if isinstance(opened, Page):
                    answers[index] = self._answer_page(opened)
                    continue
            except (PictureError, ModelError) as error:
                answers[index] = error
                continue
            task, picture = opened
            if invert and reads_digits(self.manifests[task]):
                picture = text.with_polarity(picture, invert)
            by_task.setdefault(task, []).append((index, picture))
        for task, decoded in plain.items():
            notes = judge_plain(np.stack([pixels for _, pixels in decoded]))
            read = [(index, Picture(pixels, of)) for (index, pixels), of in zip(decoded, notes, strict=True)]
            by_task.setdefault(task, []).extend(read)
        for task, together in by_task.items():
            for start in range(0, len(together), BATCH):
                indices, opened_pictures = zip(*together[start : start + BATCH], strict=True)
                answers |= zip(indices, self._answer_together(task, opened_pictures), strict=True)
        return [answers[index] for index in range(len(pictures))]

    def _answer_page(self, page: Page) -> dict[str, JsonValue]:
        manifest = self.manifests[LINES]
        readings = self.reader(LINES).read(page.images(), batch=BATCH) if page.lines else None
        return answer_page(manifest, page, readings, ModelIdentity.of(manifest).as_json())

    def _answer_together(self, task: str, pictures: Sequence[Picture]) -> list[dict[str, JsonValue] | ModelError]:
        manifest = self.manifests[task]
        try:
            readings = self.reader(task).read(np.stack([picture.pixels for picture in pictures]))
        except ModelError as error:
            if len(pictures) == 1:
                return [error]
            # One picture of the run is at fault: the others are read without it.
            return [answer for picture in pictures for answer in self._answer_together(task, [picture])]
        notes = [picture.notes for picture in pictures]
        height, width = manifest.shape[:2]
        identity = ModelIdentity.of(manifest).as_json()
        answers: list[dict[str, JsonValue] | ModelError] = []
        of_pictures: list[Any] = list(readings_as_json(manifest, readings, notes, every_class=False))
        for reading in of_pictures:
            slots = [slot for slot in reading["slots"] if slot["class"] != BLANK]
            line = {**reading, "box": [0.0, 0.0, float(width), float(height)], "slots": slots, "notes": []}
            answers.append({"task": task, **reading, "lines": [line], "model": identity})
        return answers
