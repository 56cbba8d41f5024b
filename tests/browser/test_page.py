"""The page as people use it: draw, upload, paste, pick, compare, look inside; by pen and by keyboard."""

import base64
import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import galleries
import httpx
import numpy as np
import onnx_models
import pytest
from axe_playwright_python.sync_playwright import Axe
from barred_lines import write
from playwright.sync_api import Page, expect
from servers import ROOT, encoded, environment, started

from pipeline.access import tokens
from pipeline.monitoring.feedback import corrections, picture_of

pytestmark = pytest.mark.slow

SIZES = {"desk": (1280, 900), "phone": (390, 844)}
STRIP = onnx_models.draw([9, 7, 5, 4, 10])
PICTURES = {"strips": 60, "mnist": 40, "cifar10": 30, "lines": 20}
BRIGHT = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
    .data.some((value, at) => at % 4 < 3 && value > 200)"""
COLOURS = """() => {
    const style = getComputedStyle(document.documentElement);
    return [style.backgroundColor, style.color];
}"""


@contextlib.contextmanager
def opened(browser, server, size="desk", scheme="light", *, quiet=True) -> Iterator[Page]:
    """The page at a size. An error of a script, a request to elsewhere and, if `quiet`, all that the console says fail.

    Of an answer with an error, Chromium itself writes a line to the console.
    """
    width, height = SIZES[size]
    url = str(server.client.base_url).rstrip("/")
    phone = size == "phone"
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=phone, is_mobile=phone
    )
    page = context.new_page()
    said: list[str] = []
    page.on(
        "console", lambda message: said.append(message.text) if quiet or "Failed to load" not in message.text else None
    )
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if not request.url.startswith((url, "data:")) else None)
    page.goto(url)
    page.wait_for_selector("input[name=mode]", state="attached")
    yield page
    context.close()
    assert said == []


@pytest.fixture(params=list(SIZES))
def size(request):
    return request.param


def choose(page, task):
    page.locator(f"label:has(input[value={task}])").click()
    expect(page.locator(f"input[value={task}]")).to_be_checked()


def answered(page) -> int:
    return int(page.locator("#reading").get_attribute("data-picture"))


def upload(page, content, name="picture.png", kind="image/png"):
    """Upload a file, its bytes or its path, and wait for its answer."""
    before = answered(page)
    file = content if isinstance(content, Path) else {"name": name, "mimeType": kind, "buffer": content}
    page.set_input_files("#file", file)
    page.wait_for_function("before => Number(document.getElementById('reading').dataset.picture) > before", arg=before)


def digits(page) -> str:
    return page.locator("#digits").inner_text()


def draw_bars(page, classes: Sequence[int], *, touch=False):
    """In each slot of the strip a bar whose height says the class, with the mouse or with a finger."""
    box = page.locator("#canvas").bounding_box()
    for slot, index in enumerate(classes):
        # The row in the middle of the bar, as `onnx_models.draw` draws it.
        y = box["y"] + box["height"] * (2 * index + 3) / 28
        xs = [box["x"] + box["width"] * (slot + share) / len(classes) for share in (0.15, 0.5, 0.85)]
        if touch:
            session = page.context.new_cdp_session(page)
            for event, points in (
                ("touchStart", xs[:1]),
                ("touchMove", xs[1:2]),
                ("touchMove", xs[2:]),
                ("touchEnd", ()),
            ):
                session.send(
                    "Input.dispatchTouchEvent", {"type": event, "touchPoints": [{"x": x, "y": y} for x in points]}
                )
        else:
            page.mouse.move(xs[0], y)
            page.mouse.down()
            for x in xs[1:]:
                page.mouse.move(x, y, steps=4)
            page.mouse.up()


def test_a_drawing_is_read_while_it_is_drawn_and_all_strategies_read_it(browser, service, size):
    with opened(browser, service, size) as page:
        choose(page, "strips")
        assert digits(page) == "–"
        draw_bars(page, [2, 7], touch=size == "phone")
        expect(page.locator("#digits")).to_have_text(re.compile(r"^\d{1,5}$"))
        assert page.locator("#verdict").inner_text() != "Nothing to read yet."
        cards = page.locator(".card")
        expect(cards).to_have_count(3)
        assert [card.get_attribute("data-strategy") for card in cards.all()] == ["nameless", "slice", "sliding"]
        expect(cards.nth(0).locator(".said")).to_have_text(digits(page))
        for card in cards.all():
            assert re.search(r"\d+(\.\d)? ms.*[\d.]+K? parameters.*[\d.]+ MB", card.inner_text(), re.DOTALL)
        assert page.locator("#overlay rect").count() > 0, "boxes on the picture"
        expect(page.locator("#inputs canvas")).to_have_count(1)
        page.click("#clear")
        expect(page.locator("#digits")).to_have_text("–")
        expect(cards).to_have_count(0)
        expect(page.locator("#overlay rect")).to_have_count(0)


def test_what_was_drawn_is_what_is_read(browser, service):
    """The strip of bars, drawn with the pen of the page, is read as the same strip from a file."""
    with opened(browser, service) as page:
        choose(page, "strips")
        draw_bars(page, [8, 1, 6, 3, 5])
        expect(page.locator("#digits")).to_have_text("81635")
        page.click("#undo")
        expect(page.locator("#digits")).to_have_text("8163")
        page.keyboard.press("Control+z")
        expect(page.locator("#digits")).to_have_text("816")
        upload(page, encoded(onnx_models.draw([8, 1, 6, 3, 5])))
        assert digits(page) == "81635"


def test_a_picture_is_uploaded_pasted_dropped_or_picked(browser, service, size):
    content = base64.b64encode(encoded(STRIP)).decode()
    transfer = """([event, content]) => {
        const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "strip.png", { type: "image/png" }));
        const options = { bubbles: true, cancelable: true };
        document.body.dispatchEvent(event === "drop"
            ? new DragEvent("drop", { ...options, dataTransfer: data })
            : new ClipboardEvent("paste", { ...options, clipboardData: data }));
    }"""
    with opened(browser, service, size) as page:
        choose(page, "strips")
        upload(page, encoded(STRIP))
        assert digits(page) == "9754"
        for event in ("drop", "paste"):
            page.click("#clear")
            expect(page.locator("#digits")).to_have_text("–")
            page.evaluate(transfer, [event, content])
            expect(page.locator("#digits")).to_have_text("9754")
        example = page.locator("#examples button").first
        example.click()
        expect(example).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".card .state").first).to_contain_text(re.compile("right|wrong"))


def test_a_page_of_lines_has_its_boxes_in_its_own_pixels(browser, service, size):
    picture = write("9071", "352", scale=3)
    with opened(browser, service, size) as page:
        choose(page, "lines")
        upload(page, encoded(picture))
        assert digits(page).split() == ["9071", "352"]
        assert page.locator("#overlay").get_attribute("viewBox") == f"0 0 {picture.shape[1]} {picture.shape[0]}"
        answer = service.client.post("/read?task=lines", content=encoded(picture)).json()
        expected = [line["box"] for line in answer["lines"]]
        found = [
            [float(rect.get_attribute(name)) for name in ("x", "y", "width", "height")]
            for rect in page.locator("#overlay rect.line").all()
        ]
        assert [[x, y, x + width, y + height] for x, y, width, height in found] == [
            pytest.approx(box, abs=1e-3) for box in expected
        ]


def test_a_photo_of_too_many_pixels_is_scaled_down_by_the_page_which_says_so(browser, service, tmp_path):
    picture = write("9071", scale=20)
    margin = np.full((2000, picture.shape[1]), picture[0, 0], np.uint8)
    picture = np.concatenate([margin, picture, margin])
    assert picture.size > 4096 * 4096
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(picture, compress_level=1))
    with opened(browser, service) as page:
        choose(page, "lines")
        upload(page, path)
        assert digits(page) == "9071"
        expect(page.locator("#notes")).to_contain_text("this page scaled the photo down")
        width = float(page.locator("#overlay").get_attribute("viewBox").split()[2])
        assert width < picture.shape[1], "boxes are in pixels of what was sent"


def test_one_digit_shows_its_feature_maps(browser, service, size):
    with opened(browser, service, size) as page:
        choose(page, "mnist")
        upload(page, encoded(onnx_models.draw([3], onnx_models.DIGIT_SHAPE)))
        assert digits(page) == "3"
        layers = page.locator(".layer")
        expect(layers).to_have_count(3)
        assert [layer.locator("h3").inner_text() for layer in layers.all()] == [
            "Your digit",
            "Convolution 1",
            "Max pooling 1",
        ]
        assert [layer.locator("canvas").count() for layer in layers.all()] == [1, 3, 3]
        lit = layers.nth(1).locator("canvas").first.evaluate(BRIGHT)
        assert lit, "the map shows the bar"
        choose(page, "strips")
        expect(page.locator("#inside")).to_be_hidden()
        page.click("#look-inside")
        expect(page.locator("input[value=mnist]")).to_be_focused()


def test_errors_are_one_clear_line_and_go_away(browser, service, tmp_path):
    # As bytes it would take Playwright half a minute to hand it over.
    large = tmp_path / "large"
    large.write_bytes(bytes(17 * 2**20))
    with opened(browser, service, quiet=False) as page:
        choose(page, "strips")
        for content, kind, said in (
            (b"no picture", "text/plain", "not a picture"),
            (encoded(STRIP)[:-30], "image/png", "damaged"),
            (encoded(STRIP, "GIF"), "image/gif", "GIF"),
            (large, "", "too large"),
        ):
            upload(page, content, "file", kind)
            expect(page.locator("#error")).to_contain_text(said)
            assert "\n" not in page.locator("#error").inner_text()
            assert digits(page) == "–"
            assert page.locator("#verdict").inner_text() == "Not read."
            upload(page, encoded(STRIP))
            expect(page.locator("#error")).to_have_text("")
            assert digits(page) == "9754"


def test_what_the_service_says_never_becomes_html(browser, service):
    with opened(browser, service, quiet=False) as page:
        page.route(
            "**/read?*",
            lambda route: route.fulfill(
                status=422,
                content_type="application/json",
                body='{"error": {"code": "wrong_size", "message": "<img src=x onerror=alert(1)><b>bold</b>"}}',
            ),
        )
        choose(page, "strips")
        upload(page, encoded(STRIP))
        expect(page.locator("#error")).to_contain_text("<b>bold</b>")
        assert page.locator("#error *").count() == 0


def test_a_busy_service_is_asked_again_and_a_stale_answer_is_dropped(browser, service):
    with opened(browser, service, quiet=False) as page:
        choose(page, "strips")
        asked = []

        def busy_once(route):
            asked.append(route.request.url)
            if len(asked) == 1:
                error = '{"error": {"code": "overloaded", "message": "try again"}}'
                route.fulfill(status=503, headers={"Retry-After": "1"}, content_type="application/json", body=error)
            else:
                route.continue_()

        page.route("**/read?*", busy_once)
        upload(page, encoded(STRIP))
        assert (digits(page), len(asked)) == ("9754", 2)
        # The answer to this one comes after the next picture was opened, and says another number.
        held = []
        page.unroute("**/read?*")
        page.route("**/read?*", lambda route: held.append(route) if not held else route.continue_())
        page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": encoded(STRIP)})
        page.wait_for_function("() => true")
        expect(page.locator("#canvas")).to_have_attribute("aria-label", "Opened picture")
        page.set_input_files(
            "#file",
            {"name": "b.png", "mimeType": "image/png", "buffer": encoded(onnx_models.draw([1, 2, 3, 4, 5]))},
        )
        page.wait_for_timeout(500)
        before = answered(page)
        (first,) = held
        first.continue_()
        expect(page.locator("#digits")).to_have_text("12345")
        assert answered(page) == before + 1, "the first answer was shown"


def test_dark_mode_changes_the_ground_and_the_ink(browser, service, size):
    colours = {}
    for scheme in ("light", "dark"):
        with opened(browser, service, size, scheme) as page:
            colours[scheme] = page.evaluate(COLOURS)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"
    (light_ground, light_ink), (dark_ground, dark_ink) = (
        [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours[scheme]] for scheme in ("light", "dark")
    )
    assert light_ground > 700 > 200 > light_ink
    assert dark_ground < 100 < 600 < dark_ink


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, service, size, scheme):
    with opened(browser, service, size, scheme) as page:
        found = {"empty": Axe().run(page).response["violations"]}
        for task in ("lines", "strips", "mnist", "cifar10"):
            choose(page, task)
            page.locator("#examples button").first.click()
            expect(page.locator(".card").first).to_be_visible()
            if task == "mnist":
                expect(page.locator(".layer")).to_have_count(3)
            found[task] = Axe().run(page).response["violations"]
        assert {name: [(each["id"], each["nodes"]) for each in violations] for name, violations in found.items()} == {
            name: [] for name in found
        }


def test_the_page_is_used_by_keyboard_alone(browser, service):
    with opened(browser, service) as page:
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        names = []
        for _ in range(12):
            page.keyboard.press("Tab")
            names.append(
                page.evaluate(
                    "document.activeElement.id || document.activeElement.value || document.activeElement.textContent"
                )
            )
        assert names[:4] == ["API", "Models", "lines", "file"], names
        page.focus("input[value=lines]")
        page.keyboard.press("ArrowRight")
        expect(page.locator("input[value=strips]")).to_be_checked()
        page.locator("#examples button").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#verdict")).not_to_have_text("Nothing to read yet.")
        assert page.locator("#reading").get_attribute("aria-live") == "polite"
        assert "Opened picture" in page.locator("#canvas").get_attribute("aria-label")


def test_the_page_reads_many_pictures_as_the_service_does(browser, service):
    rng = np.random.default_rng(20)
    tasks = [task for task, pictures in PICTURES.items() for _ in range(pictures)]
    wrong = []
    with opened(browser, service) as page, httpx.Client(base_url=service.client.base_url, timeout=30) as client:
        task = None
        for each in tasks:
            if each != task:
                task = each
                choose(page, task)
            if task == "lines":
                content = encoded(write("".join(map(str, rng.integers(0, 10, rng.integers(1, 8))))))
            else:
                shape, slots, names = onnx_models.SHAPES[task]
                content = encoded(onnx_models.draw(rng.integers(0, len(names), slots), shape))
            upload(page, content)
            if task == "cifar10":
                answer = client.post("/classify", content=content).json()
            else:
                answer = client.post(f"/read?task={task}", content=content).json()
            expected = answer.get("class", answer.get("digits")) or "–"
            verdict = page.locator("#verdict").inner_text()
            if (digits(page), verdict == "Accepted") != (expected, answer["accepted"] is True):
                wrong.append((task, digits(page), verdict, expected, answer["accepted"]))
    assert wrong == []


def test_a_reading_is_corrected_by_keyboard_and_kept_with_its_picture(browser, tmp_path):
    artifacts, file, log = galleries.make(tmp_path / "artifacts"), tmp_path / "tokens.json", tmp_path / "log"
    secret = tokens.create(file, "editor", ["read", "feedback"], 1000, None)
    settings = {"READER_ARTIFACTS": str(artifacts), "READER_TOKENS": str(file), "READER_LOG": str(log)}
    with started(cwd=ROOT, env=environment(tmp_path, **settings), log=tmp_path / "log.txt") as server:
        server.client.headers["Authorization"] = f"Bearer {secret}"
        page = browser.new_page()
        page.on("dialog", lambda dialog: dialog.accept(secret))
        page.goto(str(server.client.base_url))
        page.wait_for_selector("input[name=mode]", state="attached")
        expect(page.locator("#judge")).to_be_hidden()
        choose(page, "mnist")
        picture = next((ROOT / "pipeline/serving/page/examples").glob("mnist*.png"))
        upload(page, picture)
        expect(page.locator("#send")).to_be_disabled()
        wrong = "7" if digits(page) != "7" else "1"
        page.get_by_label("Wrong? Correct it:").press_sequentially(wrong)
        page.keyboard.press("Enter")
        expect(page.locator("#judged")).to_have_text(f"Thank you: noted as {wrong}.")
        assert Axe().run(page).violations_count == 0
        page.close()
    (correction,) = corrections(log)
    assert (correction.label, correction.token, correction.wrong) == (wrong, "editor", True)
    assert picture_of(log, correction).read_bytes() == picture.read_bytes()
