"""The base of every record: strict to read, canonical to write."""

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.core.errors import DataError
from pipeline.core.files import read_file, write_json


class Record(BaseModel):
    """A JSON document of fixed shape. Equal records are written as equal bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="constants")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            DataError: the file is missing, not a regular one or not JSON, or a key is missing, unknown or of another
                type; the message names the file and the key.
        """
        try:
            text = read_file(path).decode("utf-8")
        except FileNotFoundError:
            raise DataError(f"{path}: no such file; run `make repro` to make it") from None
        except UnicodeDecodeError:
            raise DataError(f"{path}: not UTF-8 text, expected JSON; remove it and run `make repro`") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Validate a JSON document.

        Args:
            text: the document.
            source: what messages call it, for instance its path.

        Raises:
            DataError: as `read` does.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            location = ".".join(str(part) for part in first["loc"])
            where = f"{source}: {location}" if location else source
            raise DataError(f"{where}: {first['msg']}; run `make repro` to make it again") from None

    def write(self, path: Path) -> None:
        """Write canonical JSON: sorted keys, two spaces, a newline at the end; whole or not at all."""
        write_json(path, self.as_json())

    def as_json(self) -> dict:
        """The record as plain JSON values, under the names that the file uses."""
        return json.loads(self.model_dump_json(by_alias=True))
