"""The page of `make label` in Chromium, by keyboard alone."""

import contextlib
import csv
import re
import subprocess
import sys

import label_project
import numpy as np
import pytest
import servers
from axe_playwright_python.sync_playwright import Axe
from label_project import png
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path):
    """A corrected digit, a declined picture of CIFAR-10, a suspect, and a line that is damaged."""
    root = label_project.make(tmp_path / "clone", tracked=True)
    log, digits = root / "monitoring", label_project.digits()
    label_project.correct(log, png(255 - np.kron(digits.images[0, ..., 0], np.ones((8, 8), np.uint8))), "7")
    colours = np.random.default_rng(1).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    label_project.decline(log, png(colours), "cat", task="cifar10", time=2e9)
    label_project.decline(log, png(colours)[:900], "12", task="lines", time=1e9)
    label_project.suspect(root, [(1, "9")])
    return root


@contextlib.contextmanager
def opened(browser, root, scheme="light"):
    """The page of a command that runs; it ends by itself, and nothing is written to the console of the browser."""
    command = [sys.executable, "-m", "pipeline.commands.label", "--browser=0", f"--port={servers.free_port()}"]
    environment = servers.environment(root, DVC_NO_ANALYTICS="1")
    with subprocess.Popen(command, cwd=root, env=environment, text=True, stdout=subprocess.PIPE) as process:
        try:
            address = re.match(r"(http\S+)", process.stdout.readline()).group(1)
            context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
            page = context.new_page()
            said = []
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda sent: said.append(sent.url) if not sent.url.startswith(address) else None)
            page.goto(address)
            expect(page.locator("#desk")).to_be_visible()
            yield page, process
            context.close()
            assert said == []
        finally:
            process.terminate()


def seen(page, reason, proposal):
    expect(page.locator("#reason")).to_have_text(reason)
    expect(page.locator("#proposal")).to_have_text(proposal)
    expect(page.locator("#picture")).to_have_js_property("complete", True)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_pictures_are_labelled_with_the_keyboard_alone(browser, clone):
    given = str(label_project.digits().labels[1, 0])
    with opened(browser, clone) as (page, process):
        seen(page, "Corrected", "7")
        expect(page.locator("#label")).to_be_focused()
        page.keyboard.press("Enter")
        seen(page, "Declined", "cat")
        # The wrong class, back, the right one.
        page.keyboard.type("3")
        expect(page.locator('#classes [aria-pressed="true"]')).to_have_text(re.compile("cat"))
        page.keyboard.press("Enter")
        expect(page.locator("#problem")).to_contain_text("damaged")
        page.keyboard.press("ArrowLeft")
        seen(page, "Declined", "cat")
        page.keyboard.type("6")
        page.keyboard.press("Enter")
        expect(page.locator("#problem")).to_contain_text("damaged")
        page.keyboard.press("x")
        seen(page, "Suspected label", given)
        page.keyboard.press("x")
        expect(page.locator("#end-title")).to_have_text("That was the last picture.")
        page.keyboard.press("Enter")
        expect(page.locator("#end-title")).to_have_text("Finished.")
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "answers kept: 4; pictures left for next time: 0" in out
    assert [row["label"] for row in rows(clone / "corrections/mnist/labels.csv")] == ["7"]
    assert [row["label"] for row in rows(clone / "corrections/cifar10/labels.csv")] == ["frog"]
    assert [row["reason"] for row in rows(clone / "reviews/mnist.csv")] == ["unusable by hand"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_and_says_what_it_shows(browser, clone, scheme):
    with opened(browser, clone, scheme) as (page, _):
        seen(page, "Corrected", "7")
        expect(page.locator("#state")).to_contain_text("Picture 1 of 4. Corrected. ada says 7.")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.keyboard.press("s")
        seen(page, "Declined", "cat")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        # Single keys can be turned off, and are then written like any other.
        page.locator("#single").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.press("x")
        seen(page, "Declined", "cat")
        expect(page.locator("#label")).to_have_value("x")
