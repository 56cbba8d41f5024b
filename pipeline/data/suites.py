"""A suite of params.yaml as pictures: a source's own in splits, or strips, scenes or lines composed of its digits."""

import sys
import zlib
from pathlib import Path

import numpy as np

from pipeline.config.sections import (
    LINE_SIZES,
    AnySuite,
    LabelledSceneSuite,
    LabelledSuite,
    LineSuite,
    SceneSuite,
    SplitSuite,
    StripSuite,
)
from pipeline.core.errors import DataError
from pipeline.core.images import SPLITS, ImageSet
from pipeline.core.lines import PictureSet
from pipeline.data import cheques, corrections, exclusions, lines, recomposition, scenes, splits, strips

CORRECTED = {"mnist": ("mnist", "strips"), "cifar10": ("cifar10",)}
"""By task of single pictures, the tasks whose corrected pictures it takes; those of strips are cut into digits."""


def compose(name: str, suite: AnySuite, source: Path, seed: int) -> dict[str, ImageSet]:
    """Make the four splits of a suite.

    Args:
        name: of the suite.
        suite: its entry in params.yaml.
        source: folder of the pictures that it is made of: for a `SplitSuite` raw sets as `.npz` files, for a
            `LabelledSuite` or `LabelledSceneSuite` sets of labelled pictures, for the others the four splits of single
            digits.
        seed: `compose.seed` of params.yaml; together with `name` it fixes every byte.

    Returns:
        The splits by name. Strips, scenes and lines of a split are composed of the digits of this split only. The
        training split goes through its digits `suite.rounds` times, the valid split, by which thresholds are chosen,
        `suite.valid_rounds` times, the others once. The numbers of lines are those of the public sources: a split has
        at most as many composed lines as digits, and recomposed lines follow labelled ones in the proportion of the
        public source, in the training split alone.

    Raises:
        DataError: a file is missing or damaged, or its pictures cannot be divided or composed.
    """
    if isinstance(suite, SplitSuite):
        sets = {file.stem: ImageSet.load(file) for file in sorted(source.glob("*.npz"))}
        singles = splits.divide(sets, {split: getattr(suite, split) for split in SPLITS}, seed=seed)
        if suite.leave_out:
            singles = exclusions.left_out(Path(suite.leave_out), singles)
        if suite.corrections:
            folders = [corrections.FOLDER / each for each in CORRECTED[suite.task]]
            made_of = stream_seed(seed, name, "corrections")
            singles = corrections.with_singles(singles, folders, copies=suite.corrections, seed=made_of)
        return singles
    if isinstance(suite, LabelledSceneSuite):
        pictures = _pictures(source)
        divided = splits.by_name([picture.name for picture in pictures], LINE_SIZES)
        made = scenes.labelled(pictures)
        return {split: made.take(np.array(rows)) for split, rows in divided.items()}
    if isinstance(suite, LabelledSuite):
        return _labelled(name, suite, source, stream_seed(seed, name, "train"))
    return {
        split: _compose_split(
            suite, ImageSet.load(source / f"{split}.npz"), split=split, seed=stream_seed(seed, name, split)
        )
        for split in SPLITS
    }


def stream_seed(seed: int, suite: str, split: str) -> int:
    """The seed of one split of one suite, 0 to 2**32 - 1. Another suite or split never changes its pictures."""
    return zlib.crc32(f"{seed}/{suite}/{split}".encode())


def _pictures(source: Path) -> PictureSet:
    files = sorted(source.glob("*.npz"))
    if not files:
        raise DataError(f"{source}: no .npz file; expected the labelled pictures that `fetch` writes")
    sets = [PictureSet.load(file) for file in files]
    return PictureSet(tuple(picture for each in sets for picture in each), sets[0].origin)


def _labelled(name: str, suite: LabelledSuite, source: Path, seed: int) -> dict[str, ImageSet]:
    pictures = _pictures(source)
    divided = splits.by_name([picture.name for picture in pictures], LINE_SIZES)
    if suite.leave_out:
        pixels = [picture.pixels for picture in pictures]
        texts = ["".join(map(str, picture.digits.tolist())) for picture in pictures]
        divided = exclusions.kept(Path(suite.leave_out), divided, pixels, texts, pictures.origin)
    if suite.labels == "reviewed":
        pictures = cheques.reviewed(pictures)
    published = len(pictures)
    if suite.corrections:
        pictures, divided = _corrected(pictures, divided)
    ids = {
        split: [row if row < published else splits.CORRECTED + row for row in rows] for split, rows in divided.items()
    }
    made, empty = {}, {}
    for split, rows in divided.items():
        made[split], empty[split] = lines.ingested(pictures.take(rows), ids[split], keep_empty=split != "train")
    if any(empty.values()):
        kept = ", ".join(f"{empty[split]} of {split}" for split in SPLITS[1:])
        print(
            f"{name}: no line was found in {empty['train']} pictures of train, which are left out, and in {kept}, "
            "which count as read wrong",
            file=sys.stderr,
        )
    if suite.recomposed:
        rows = divided["train"]
        count = max(1, round(suite.recomposed * sum(row < published for row in rows) / LINE_SIZES["train"]))
        anew = recomposition.compose(
            pictures.take(rows).pictures, ids["train"], lines=count, origin=pictures.origin, seed=seed
        )
        made["train"] = lines.joined([made["train"], anew])
    return made


def _corrected(pictures: PictureSet, divided: dict[str, list[int]]) -> tuple[PictureSet, dict[str, list[int]]]:
    """Labelled pictures with corrected ones at the end, and their rows by split."""
    boxed = any(picture.boxes is not None for picture in pictures)
    more = corrections.with_lines(pictures.pictures, corrections.FOLDER / "lines", boxed=boxed)
    every, divided = list(pictures), dict(divided)
    for split, added in more.items():
        divided[split] = [*divided[split], *range(len(every), len(every) + len(added))]
        every += added
    return PictureSet(tuple(every), pictures.origin), divided


def _compose_split(suite: StripSuite | SceneSuite | LineSuite, digits: ImageSet, *, split: str, seed: int) -> ImageSet:
    if isinstance(suite, LineSuite):
        return lines.compose(digits, lines=min(getattr(suite, split), len(digits)), seed=seed)
    rounds = {"train": suite.rounds, "valid": suite.valid_rounds}.get(split, 1)
    fewest, most = suite.digits
    if isinstance(suite, SceneSuite):
        return scenes.compose(digits, rounds=rounds, fewest=fewest, most=most, clutter=suite.clutter, seed=seed)
    return strips.compose(
        digits,
        rounds=rounds,
        fewest=fewest,
        most=most,
        jitter=suite.jitter,
        clutter=suite.clutter,
        vary=suite.vary,
        seed=seed,
    )
