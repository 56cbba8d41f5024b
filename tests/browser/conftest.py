"""The page in Debian's Chromium, at the size of a desk and of a phone, served by `bentoml serve`."""

import os
import shutil
from collections.abc import Iterator

import galleries
import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from servers import ROOT, Server, environment, started

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="package")
def service(tmp_path_factory) -> Iterator[Server]:
    """The service with small models of every task but scenes."""
    home = tmp_path_factory.mktemp("browser")
    artifacts = galleries.make(home / "artifacts")
    with started(cwd=ROOT, env=environment(home, READER_ARTIFACTS=str(artifacts)), log=home / "log.txt") as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Where there is none the tests fail: they must not pass unseen."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    assert found is not None, "no chromium found; `apt-get install chromium` brings it"
    # The default of five seconds is short where other tests have the cores.
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        # As root, as CI is, Chromium has no sandbox of its own.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()
