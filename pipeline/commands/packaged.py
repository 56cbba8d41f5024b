"""The packaged models as `make read` uses them: from the bytes of a picture's file to the answer of the service."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import JsonValue

from pipeline.core.decoding import Picture
from pipeline.core.errors import ConfigurationError
from pipeline.records.answer import ModelIdentity
from pipeline.records.manifest import Manifest
from pipeline.runtime import text
from pipeline.runtime.answers import reads_digits
from pipeline.runtime.pages import LINES, Page, answer_page, answer_picture, known_shapes, open_picture
from pipeline.runtime.reader import Reader, load_manifests

BATCH = 32
"""Most lines of a picture in one run of the model."""


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
            manifest = self.manifests[LINES]
            readings = self.reader(LINES).read(opened.images(), batch=BATCH) if opened.lines else None
            return Answered(answer_page(manifest, opened, readings, ModelIdentity.of(manifest).as_json()), opened)
        task, picture = opened
        manifest = self.manifests[task]
        if reads_digits(manifest):
            picture = text.with_polarity(picture, invert)
        readings = self.reader(task).read(picture.pixels[None])
        answer = answer_picture(manifest, picture, readings, ModelIdentity.of(manifest).as_json())
        return Answered(answer, (task, picture))
