"""What `export` says of a model's served form."""

from collections.abc import Mapping

from pydantic import Field

from pipeline.records.base import Record
from pipeline.records.calibration import CalibrationRecord
from pipeline.records.training import TrainedModel


class ModelFile(Record):
    """An ONNX file.

    Attributes:
        file: its name, without a folder.
        sha256: of its bytes, 64 lower-case hexadecimal digits: the model's identity.
        bytes: its size.
    """

    file: str = Field(pattern=r"^[^/\\]+$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int


class PictureShape(Record):
    """The uint8 pictures that a model takes, in pixels."""

    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels


class Parity(Record):
    """How far ONNX Runtime's readings are from Keras's over one set of pictures.

    Attributes:
        pictures: how many were compared.
        same_readings: pictures whose classes are equal in every slot.
        differing: pictures with another class, or with a probability or a box beyond its tolerance.
        unsteady: those of them where rounding decides: Keras itself gives that reading, or one at least half as near,
            once one pixel is one grey level lighter or darker.
        largest_difference: of a probability or a confidence, unsteady pictures left out; two significant digits.
        largest_box_difference: in pixels, of the same pictures; None without boxes.
        holds: whether every picture is read the same within the tolerances, a few unsteady ones excepted.
    """

    pictures: int
    same_readings: int
    differing: int
    unsteady: int
    largest_difference: float
    largest_box_difference: float | None
    holds: bool


class ServedModel(TrainedModel):
    """A model in its served form.

    Attributes:
        model: the file.
        inputs: the pictures it takes.
        slots: positions of a reading.
        class_names: the name of each class.
        boxes: whether it says where each digit is.
        parity: how it agrees with Keras, by suite, over the test split.
        opset: of ONNX.
        made_with: versions of the packages that made it.
        calibration: how its confidence was fitted; None in a record from before there was a fitted one.
    """

    model: ModelFile
    inputs: PictureShape
    slots: int
    class_names: tuple[str, ...] = Field(min_length=2)
    boxes: bool
    parity: Mapping[str, Parity]
    opset: int
    made_with: Mapping[str, str]
    calibration: CalibrationRecord | None = None

    @property
    def blank(self) -> int | None:
        """The class of a slot without a digit, None where every class counts."""
        return self.class_names.index("blank") if "blank" in self.class_names else None


class ExportRecord(ServedModel):
    """`export.json`, beside the ONNX file.

    Attributes:
        regions: regions of a picture that the second input takes; None where the model takes pictures alone.
    """

    regions: int | None
