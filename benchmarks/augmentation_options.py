"""The options under which augmentation is compared with the generator that Keras retired."""

from typing import Any

GEOMETRY = {
    "rotation_range": 15,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "shear_range": 10,
    "zoom_range": 0.1,
    "horizontal_flip": True,
}
COLOUR = {"brightness_range": [0.7, 1.3], "channel_shift_range": 30}
OPTIONS: dict[str, dict[str, Any]] = {
    "flip, whole shifts": {"width_shift_range": 4, "height_shift_range": 4, "horizontal_flip": True},
    "geometry": GEOMETRY,
    "geometry, no interpolation": {**GEOMETRY, "interpolation_order": 0},
    "colour": COLOUR,
    "everything": {**GEOMETRY, **COLOUR, "vertical_flip": True},
}
"""Options of both, `fill_mode` and `channel_shift_mode` at their defaults."""
