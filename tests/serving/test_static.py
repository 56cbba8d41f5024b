"""The page at `/` without a browser: who gets it, its headers, its files, and that nothing in it is inline."""

import json
import re

import pytest
from PIL import Image

from pipeline.commands.examples import MOST_BYTES
from pipeline.runtime.text import NOTES
from pipeline.serving import static

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FILES = sorted(file for file in static.FOLDER.rglob("*") if file.is_file())


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", ""])
def test_a_client_that_does_not_ask_for_html_is_sent_to_what_is_served(client, accept):
    response = client.get("/", headers={} if accept is None else {"Accept": accept}, follow_redirects=False)
    assert (response.status_code, response.headers["location"], response.headers["vary"]) == (307, "/info", "Accept")


def test_a_browser_gets_the_page_and_may_load_nothing_from_elsewhere(client):
    response = client.get("/", headers=BROWSER)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["vary"] == "Accept"
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "://" not in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', response.text)
    assert {"/page/app.js", "/page/style.css", "/docs", "/info"} <= set(loaded)
    for path in loaded:
        assert client.get(path).status_code == 200, path
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", response.text), "nothing is inline"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_is_served_with_its_type_and_names_no_other_host(client, file):
    if file.name == "index.html":
        return
    response = client.get(f"{static.PATH}/{file.relative_to(static.FOLDER).as_posix()}")
    assert response.status_code == 200
    assert response.content == file.read_bytes()
    assert response.headers["content-type"].partition(";")[0] == static.TYPES[file.suffix]
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    if file.suffix != ".png":
        others = set(re.findall(r"https?://[^\s\"']+", response.text)) - {"http://www.w3.org/2000/svg"}
        assert not others


@pytest.mark.parametrize("file", [file for file in FILES if file.suffix == ".js"], ids=lambda file: file.name)
def test_scripts_set_text_and_never_html(file):
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", file.read_text()
    )
    for imported in re.findall(r'from "([^"]+)"', file.read_text()):
        assert (static.FOLDER / imported).is_file()


@pytest.mark.parametrize(
    "path", ["/page", "/page/", "/page/../app.py", "/page/%2e%2e/app.py", "/page/index.html", "/page/x"]
)
def test_nothing_else_is_served_below_it(client, path):
    assert client.get(path).status_code == 404


def test_the_examples_are_what_their_list_says_and_small():
    folder = static.FOLDER / "examples"
    index = json.loads((folder / "examples.json").read_text())
    assert {each["file"] for each in index} == {file.name for file in folder.glob("*.png")}
    assert {each["task"] for each in index} == {"lines", "strips", "scenes", "mnist", "cifar10"}
    assert sum(file.stat().st_size for file in folder.glob("*")) <= MOST_BYTES
    sizes = {"strips": (140, 28), "scenes": (112, 112), "mnist": (28, 28), "cifar10": (32, 32)}
    for each in index:
        with Image.open(folder / each["file"]) as image:
            assert image.size == sizes.get(each["task"], image.size)
        assert each["label"]


def test_the_page_has_the_meaning_of_every_note(client):
    assert client.get("/page/notes.json").json() == NOTES
