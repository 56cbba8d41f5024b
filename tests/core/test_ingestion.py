"""Lines of writing in pictures of every kind: that they are found, where, and what is said of a picture without any."""

import time

import cv2
import numpy as np
import pytest
from written_pictures import NAMES, draw

from pipeline.core.decoding import decode_grey
from pipeline.core.ingestion import LONGEST, MARGIN, MOST_LINES, SMALLEST, Line, find_lines, ingest, remove_paper
from pipeline.core.lines import LINE_HEIGHT, LINE_SHAPE, LINE_WIDTH

EMPTY = ("empty sheet", "nothing at all")
WRITTEN = tuple(name for name in NAMES if name not in EMPTY)
REASONS = {"no_contrast", "no_writing", "too_small"}


def overlap(first, second):
    """Intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(0, width) * max(0, height)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return common / (sum(areas) - common)


def grown(box, shape):
    """The ink's box with the paper that a line has around it."""
    margin = MARGIN * (box[3] - box[1]) + 1
    x0, y0, x1, y1 = box
    return max(0, x0 - margin), max(0, y0 - margin), min(shape[1], x1 + margin), min(shape[0], y1 + margin)


def noise(shape, spread=None):
    rng = np.random.default_rng(7)
    if spread is None:
        return rng.integers(0, 256, shape).astype(np.uint8)
    return np.clip(rng.normal(200, spread, shape), 0, 255).astype(np.uint8)


def rows_of_numbers(count, pitch=40):
    page = np.full((pitch * count + 40, 300), 230, np.uint8)
    for row in range(count):
        at = (20 + 7 * (row % 5), pitch * (row + 1))
        cv2.putText(page, str(10_000 + row), at, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 30, 2)
    return page


@pytest.mark.parametrize("name", WRITTEN)
def test_every_line_of_a_picture_is_found_where_its_ink_is(name):
    picture = draw(name)
    decoded = decode_grey(picture.data)
    found = ingest(decoded.pixels)
    assert len(found.lines) == len(picture.boxes)
    assert (*decoded.notes, *found.notes) == picture.notes
    for line, ink in zip(found.lines, picture.boxes, strict=True):
        assert overlap(line.box, grown(ink, decoded.pixels.shape)) > 0.8
        x0, y0, x1, y1 = line.box
        assert (np.array([x0, y0, -x1, -y1]) <= np.array([ink[0], ink[1], -ink[2], -ink[3]])).all()
        assert line.pixels.shape == LINE_SHAPE
        assert line.pixels.dtype == np.uint8


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_sheet_has_no_lines_and_says_why(name):
    picture = draw(name)
    decoded = decode_grey(picture.data)
    found = ingest(decoded.pixels)
    assert found.lines == ()
    assert (*decoded.notes, *found.notes) == picture.notes


def test_the_pictures_are_twenty_and_the_same_each_time():
    assert len(NAMES) >= 20
    for name in ("thin pen", "shadow", "twelve bits in sixteen"):
        assert draw.__wrapped__(name) == draw(name)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_inverse_of_a_picture_gives_the_same_lines(name):
    picture = draw(name)
    pixels = decode_grey(picture.data).pixels
    first, second = ingest(pixels), ingest(255 - pixels)
    assert ("light_on_dark" in first.notes) != ("light_on_dark" in second.notes)
    for one, other in zip(first.lines, second.lines, strict=True):
        assert one.box == other.box
        assert np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("zoom", [0.6, 1.5, 2, 3.3])
@pytest.mark.parametrize("name", ["shadow", "grey paper", "thick marker", "white on black", "faint pencil"])
def test_a_scaled_picture_gives_nearly_the_same_line(name, zoom):
    pixels = decode_grey(draw(name).data).pixels
    way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    (line,), (scaled,) = (
        ingest(pixels).lines,
        ingest(cv2.resize(pixels, None, fx=zoom, fy=zoom, interpolation=way)).lines,
    )
    assert overlap(line.box, np.array(scaled.box) / zoom) > 0.85
    # A pixel more or less of paper moves all edges of the strokes; their middles stay.
    blurred = [cv2.GaussianBlur(each.pixels[..., 0].astype(float), (0, 0), 1.5) for each in (line, scaled)]
    assert np.corrcoef(blurred[0].ravel(), blurred[1].ravel())[0, 1] > 0.8


@pytest.mark.parametrize("name", WRITTEN)
def test_boxes_go_from_the_line_to_the_picture_and_back(name):
    picture = draw(name)
    shape = (pixels := decode_grey(picture.data).pixels).shape
    for line in ingest(pixels).lines:
        drawn = line.pixels.shape[0], min(LINE_WIDTH, round((line.box[2] - line.box[0]) * line.scale[0]))
        boxes = np.array([[0, 0, drawn[1], drawn[0]], [3, 5, 9.5, 20]], np.float32)
        there = line.in_picture(boxes)
        assert np.allclose(there[0], line.box, atol=0.51 / line.scale[0])
        assert (there >= -0.01).all()
        assert (there <= np.array([shape[1], shape[0]] * 2) + 0.01).all()
        assert np.allclose(line.from_picture(there), boxes, atol=1e-3)


@pytest.mark.parametrize("name", ["thin pen", "large writing", "turned by EXIF", "thumbnail", "long number"])
def test_the_ink_of_a_line_is_where_its_box_in_the_picture_says(name):
    picture = draw(name)
    (line,) = ingest(decode_grey(picture.data).pixels).lines
    columns = np.flatnonzero(line.pixels[..., 0].max(axis=0) > 100)
    rows = np.flatnonzero(line.pixels[..., 0].max(axis=1) > 100)
    box = line.in_picture(np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]))[0]
    # To a pixel of the line.
    allowed = 1.5 / np.array([*line.scale, *line.scale])
    assert (np.abs(box - picture.boxes[0]) <= allowed).all()


def test_boxes_are_cut_at_the_borders_of_the_line():
    line = Line(np.zeros(LINE_SHAPE, np.uint8), (10, 20, 110, 70), (0.64, 0.64))
    boxes = np.array([[0, 0, 5, 5], [10, 20, 60, 45], [400, 60, 500, 90]], np.float32)
    assert np.allclose(line.from_picture(boxes), [[0, 0, 0, 0], [0, 0, 32, 16], [224, 25.6, 224, 32]])


def test_a_shadow_does_not_weaken_the_ink():
    (line,) = ingest(decode_grey(draw("shadow").data).pixels).lines
    width = round((line.box[2] - line.box[0]) * line.scale[0])
    light, dark = (np.percentile(half, 97) for half in np.split(line.pixels[:, : width // 2 * 2, 0], 2, axis=1))
    assert min(light, dark) > 0.7 * max(light, dark)


def test_lines_are_read_from_top_to_bottom_and_those_side_by_side_from_left_to_right():
    page = np.full((500, 1000), 225, np.uint8)
    places = [(40, 120), (600, 130), (500, 280), (60, 440), (640, 420)]
    for number, at in enumerate(places):
        cv2.putText(page, f"{number}17", at, cv2.FONT_HERSHEY_SIMPLEX, 2.2, 40, 5)
    found = ingest(page)
    assert [(round(line.box[0], -2), round(line.box[3], -2)) for line in found.lines] == [
        (round(x, -2), round(y, -2)) for x, y in places
    ]


def test_lines_beyond_the_most_are_left_out_with_a_note():
    found = ingest(rows_of_numbers(MOST_LINES + 10))
    assert len(found.lines) == MOST_LINES
    assert "more_lines" in found.notes
    tops = [line.box[1] for line in found.lines]
    assert tops == sorted(tops)
    assert tops[0] < 40
    found = ingest(rows_of_numbers(MOST_LINES))
    assert len(found.lines) == MOST_LINES
    assert "more_lines" not in found.notes


def test_everything_found_is_one_line_on_demand():
    page = np.full((120, 900), 225, np.uint8)
    cv2.putText(page, "12", (30, 90), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 40, 6)
    cv2.putText(page, "345", (640, 90), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 40, 6)
    assert len(ingest(page).lines) == 2
    (line,) = ingest(page, one_line=True).lines
    assert line.box[0] < 40
    assert line.box[2] > 780


@pytest.mark.parametrize("small", ["zeros", "pieces"])
def test_small_zeros_and_the_pieces_of_a_broken_digit_belong_to_their_line(small):
    page = np.full((200, 900), 225, np.uint8)
    cv2.putText(page, "127", (30, 150), cv2.FONT_HERSHEY_SIMPLEX, 4, 40, 6)
    (without,) = ingest(page).lines
    if small == "zeros":
        cv2.putText(page, "00", (275, 140), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 40, 4)
    else:
        cv2.putText(page, "3", (275, 150), cv2.FONT_HERSHEY_SIMPLEX, 4, 40, 6)
        for y in range(50, 170, 24):
            page[y : y + 6, 265:400] = 225
    (line,) = ingest(page).lines
    ink = np.flatnonzero((page < 130).any(axis=0))
    assert without.box[2] < 275 < ink[-1] <= line.box[2]
    assert ingest(page, one_line=True).lines[0].box == line.box


def test_specks_between_lines_belong_to_none():
    page = rows_of_numbers(5, pitch=90)
    alone = [line.box for line in ingest(page).lines]
    for x in range(5, 300, 11):
        page[60:62, x : x + 2] = page[150:152, x : x + 2] = 30
    assert [line.box for line in ingest(page).lines] == alone


def test_a_long_line_is_squeezed():
    pixels = decode_grey(draw("long number").data).pixels
    found = ingest(pixels)
    (line,) = found.lines
    assert found.notes[-1] == "squeezed"
    assert line.scale[0] < 0.97 * line.scale[1]
    assert line.scale[1] == pytest.approx(LINE_HEIGHT / (line.box[3] - line.box[1]))
    assert line.scale[0] == pytest.approx(LINE_WIDTH / (line.box[2] - line.box[0]))


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.full((1, 1), 9, np.uint8), "too_small"),
        (np.full((SMALLEST - 1, 300), 9, np.uint8), "too_small"),
        (noise((10, 10 * LONGEST + 1)), "too_small"),
        (noise((10 * LONGEST + 1, 10)), "too_small"),
        (np.zeros((300, 400), np.uint8), "no_contrast"),
        (np.full((4096, 4096), 255, np.uint8), "no_contrast"),
        (noise((600, 800), 2), "no_contrast"),
        (noise((64, 64)), "no_writing"),
        (noise((900, 1200)), "no_writing"),
        (noise((900, 1200), 25), "no_writing"),
        (noise((60, 3000)), "no_writing"),
        (cv2.resize(rows_of_numbers(1), None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA), "too_small"),
    ],
    ids=lambda value: value if isinstance(value, str) else "x".join(map(str, value.shape)),
)
def test_a_picture_without_writing_says_why(picture, reason):
    found = ingest(picture)
    assert found.lines == ()
    assert found.notes[-1] == reason
    assert len(REASONS & set(found.notes)) == 1


def test_no_picture_takes_long():
    """Each of 16 megapixels: noise, 20,000 blots, a wall of bricks, and the longest there is."""
    side = 4096
    blots = np.full((side, side), 240, np.uint8)
    for x, y in np.random.default_rng(3).integers(0, side, (20_000, 2)):
        cv2.circle(blots, (int(x), int(y)), 8, 20, -1)
    brick = np.zeros((32, 32), np.uint8)
    brick[:17, :17] = 255
    bricks = np.tile(brick, (side // 32, side // 32))
    tiles = noise((512, 512))
    large = np.tile(tiles, (8, 8))
    for picture in (large, blots, bricks, large.reshape(-1, 512), large.reshape(512, -1)):
        start = time.thread_time()
        found = ingest(picture)
        assert time.thread_time() - start < 1
        assert len(found.lines) <= MOST_LINES


def test_paper_without_ink_is_black():
    slope = np.tile(np.linspace(150, 220, 300), (80, 1)).astype(np.uint8)
    assert remove_paper(slope).max() <= 12


def test_rules_and_underlines_are_no_lines():
    mask = np.zeros((200, 600), bool)
    mask[50:52] = mask[150:153] = True
    assert find_lines(mask) == []
    mask[80:120, 100:106] = mask[80:120, 130:136] = True
    assert find_lines(mask) == [(100, 80, 136, 120)]


@pytest.mark.parametrize("wrong", [np.zeros((4, 5, 1), np.uint8), np.zeros((9, 9)), np.zeros((0, 9), np.uint8)])
def test_anything_but_grey_bytes_is_an_error(wrong):
    with pytest.raises(ValueError, match="expected uint8"):
        ingest(wrong)


def test_opencv_stays_on_the_calling_thread():
    cv2.setNumThreads(2)
    ingest(np.full((50, 50), 200, np.uint8))
    assert cv2.getNumThreads() == 1
