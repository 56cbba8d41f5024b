"""What params.yaml requires of a suite's pictures."""

from dataclasses import dataclass

from pipeline.config.sections import (
    AnySuite,
    LabelledSceneSuite,
    LabelledSuite,
    LineSuite,
    SceneSuite,
    StripSuite,
    Task,
    Validation,
)
from pipeline.core.images import DIGIT_NAMES, SCENE_SLOTS, SLOTS, STRIP_NAMES
from pipeline.core.lines import LINE_SLOTS

SLOTS_OF = {"strips": SLOTS, "scenes": SCENE_SLOTS, "lines": LINE_SLOTS}
"""Slots of a picture, of the tasks whose pictures hold several digits. Pictures of other tasks have one label."""


@dataclass(frozen=True)
class SuiteSpec:
    """The specification that a suite is validated against.

    Attributes:
        suite: its name.
        task: `strips`, `scenes`, `lines`, `mnist` or `cifar10`.
        class_share: lowest and highest share of a class in a split, as a multiple of its even share.
        constant_share: largest share of a split's pictures that may be constant (of one pixel value), 0 to 1.
        digits: fewest and most digits of a strip, scene or line; None for single pictures.
        jitter: whether the digits of a strip may leave their cells.
        clutter: whether there may be ink that belongs to no digit.
        labelled: whether the pictures are labelled ones and not composed: their classes are as frequent as they are,
            what ingestion does not find in lines is counted, not refused, and so are sizes and overlaps in scenes.
    """

    suite: str
    task: Task
    class_share: tuple[float, float]
    constant_share: float
    digits: tuple[int, int] | None = None
    jitter: bool = False
    clutter: bool = False
    labelled: bool = False

    @classmethod
    def from_params(cls, name: str, suite: AnySuite, bounds: Validation) -> "SuiteSpec":
        """The specification of a suite of params.yaml.

        Args:
            name: of the suite.
            suite: its entry under `suites`.
            bounds: the section `validate`.
        """
        lowest, highest = bounds.class_share
        digits = None
        if isinstance(suite, StripSuite | SceneSuite):
            fewest, most = suite.digits
            digits = fewest, most
        elif isinstance(suite, LineSuite | LabelledSuite):
            digits = 1, LINE_SLOTS
        elif isinstance(suite, LabelledSceneSuite):
            digits = 1, SCENE_SLOTS
        return cls(
            suite=name,
            task=suite.task,
            class_share=(lowest, highest),
            constant_share=bounds.constant_share,
            digits=digits,
            jitter=isinstance(suite, StripSuite) and suite.jitter,
            clutter=isinstance(suite, StripSuite | SceneSuite) and suite.clutter,
            labelled=isinstance(suite, LabelledSuite | LabelledSceneSuite),
        )

    @property
    def slots(self) -> int:
        """Labels of a picture."""
        return SLOTS_OF.get(self.task, 1)

    @property
    def label_columns(self) -> list[str]:
        """The columns of a picture's classes in the table of pictures."""
        return [f"slot_{slot + 1}" for slot in range(self.slots)] if self.digits else ["label"]

    def classes_of(self, slot: int, class_names: tuple[str, ...]) -> tuple[str, ...]:
        """The classes that a slot may have.

        Args:
            slot: from 0.
            class_names: of the data set.
        """
        if not self.digits:
            return class_names
        fewest, _ = self.digits
        # The unused slots of a scene or line are its last; those of a strip can be anywhere.
        filled = fewest == self.slots if self.task == "strips" else slot < fewest
        return DIGIT_NAMES if filled else STRIP_NAMES

    def all_classes(self, class_names: tuple[str, ...]) -> tuple[str, ...]:
        """The classes that some slot may have; the last slot may have all of them."""
        return self.classes_of(self.slots - 1, class_names)
