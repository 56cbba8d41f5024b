"""The page in Chromium, from its file and without a network: it sorts, filters, follows links, and says nothing."""

import shutil

import evaluations
import numpy as np
import pytest
import report_pages
from playwright.sync_api import expect, sync_playwright

from pipeline.core.images import BLANK
from pipeline.evaluation import leaderboard, scores
from pipeline.evaluation.evaluated import Evaluated
from pipeline.records.training import TrainedModel, TrainingRecord
from pipeline.reports import excerpts
from pipeline.reports.overview import Overview
from pipeline.reports.report import report

pytestmark = pytest.mark.slow
# Debian's and others' names of the same browser.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SUITES_OF = {"strips": ("plain", "blanks"), "scenes": ("scenes",)}
HISTORY = tuple({"loss": 1 / n, "exact_match": 1 - 1 / n, "val_loss": 1 / n, "val_exact_match": 0.5} for n in (1, 2, 3))
DRAWN = """() => {
  const canvas = document.querySelector("#large canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(data).size > 3;
}"""
"""Whether the large picture has pixels of several greys, and boxes."""
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


def read_strips(wrong, seed):
    """What a strategy reads of both suites of strips, every split alike."""
    pictures = evaluations.strips(120)
    read = Evaluated.of(evaluations.noisy(pictures, wrong, seed), pictures)
    return {suite: dict.fromkeys(evaluations.SPLITS, read) for suite in SUITES_OF["strips"]}


@pytest.fixture(scope="module")
def read():
    """What every strategy reads, by strategy, suite and split; one name would be markup if it were not escaped."""
    return {
        "good": read_strips(0.01, 1),
        "poor": read_strips(0.15, 2),
        "<b>odd</b>": read_strips(0.05, 3),
        "boxes": {"scenes": dict.fromkeys(evaluations.SPLITS, evaluations.scenes(60))},
    }


@pytest.fixture(scope="module")
def bounded():
    """Fewer errors of a strategy than `poor` has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(excerpts, "ERRORS", 40)
        yield


@pytest.fixture(scope="module")
def page_file(read, bounded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    task_of = {name: "scenes" if name == "boxes" else "strips" for name in read}
    records = {
        name: evaluations.record(strategy=name, task=task, suites=SUITES_OF[task]) for name, task in task_of.items()
    }
    found = {name: scores.evaluation(record, read[name]) for name, record in records.items()}
    trainings = {
        name: TrainingRecord(**{key: getattr(record, key) for key in TrainedModel.model_fields}, history=HISTORY)
        for name, record in records.items()
    }
    by_task = {task: {name: found[name] for name in found if task_of[name] == task} for task in SUITES_OF}
    overview = Overview(
        suites_of=SUITES_OF,
        evaluations=found,
        trainings=trainings,
        candidates={task: leaderboard.candidate(task, by_task[task], SUITES_OF[task]) for task in SUITES_OF},
        rows=leaderboard.rows(found, [suite for suites in SUITES_OF.values() for suite in suites]),
        as_good={},
    )
    for task, suites in SUITES_OF.items():
        of_task = {suite: {name: read[name][suite]["test"] for name in read if suite in read[name]} for suite in suites}
        sources = report_pages.sources(folder, task, of_task)
    path = folder / "report.html"
    path.write_text(report(overview, {"seed": 1}, sources), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    assert CHROMIUM, "no Chromium; on Debian and Ubuntu: apt-get install chromium"
    with sync_playwright() as playwright:
        # Containers run tests as root, and Chromium's sandbox refuses root.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(params=SIZES)
def page(request, browser, page_file):
    """The page as a user opens it; afterwards nothing was reported to the console, and nothing but it was loaded."""
    width, height = SIZES[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
    opened, said, loaded = context.new_page(), [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda asked: loaded.append(asked.url.partition("#")[0]))
    opened.set_default_timeout(10_000)
    # A busy machine takes its time for a page of some megabytes.
    opened.goto(page_file.as_uri(), timeout=40_000)
    yield opened
    assert said == []
    assert {url for url in loaded if not url.startswith("data:")} == {page_file.as_uri()}
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert opened.evaluate(overflow) <= 0, "the page is wider than the screen"
    context.close()


def column(page, number):
    return page.locator(f"#scores tbody tr:visible > :nth-child({number})").all_inner_texts()


def test_a_heading_sorts_by_mouse_and_by_keyboard(page):
    accuracy = page.get_by_role("button", name="sequence accuracy")
    accuracy.click()
    shares = [float(text.split()[0]) for text in column(page, 3)]
    assert len(shares) == 7
    assert shares == sorted(shares, reverse=True)
    expect(page.get_by_role("columnheader", name="sequence accuracy")).to_have_attribute("aria-sort", "descending")
    accuracy.focus()
    page.keyboard.press("Enter")
    assert [float(text.split()[0]) for text in column(page, 3)] == sorted(shares)


def test_the_leaderboard_is_filtered_by_task_suite_and_strategy(page):
    form = page.locator("#leaderboard-filters")
    form.locator("[name=task]").select_option("strips")
    expect(page.locator("#leaderboard-count")).to_have_text("6 of 7 rows")
    form.locator("[name=suite]").select_option("blanks")
    form.locator("[name=strategy]").select_option("poor")
    assert column(page, 2) == ["blanks"]
    assert "poor" in column(page, 1)[0]
    form.locator("[name=all]").check()
    expect(page.get_by_role("columnheader", name="digits")).to_be_visible()


def taken_of(read, suite):
    """The excerpt of a suite of strips."""
    names = ("good", "poor", "<b>odd</b>")
    return excerpts.excerpt("strips", suite, {name: read[name][suite]["test"] for name in names})


def test_an_accuracy_leads_to_the_errors_behind_it(page, read):
    page.locator('#scores tr[data-suite="plain"][data-strategy="poor"] td.main a').click()
    form = page.locator("#picture-filters")
    for name, value in (("suite", "plain"), ("strategy", "poor"), ("outcome", "wrong")):
        expect(form.locator(f"[name={name}]")).to_have_value(value)
    expect(page.locator("#pictures")).to_be_in_viewport()
    evaluated, taken = read["poor"]["plain"]["test"], taken_of(read, "plain")
    wrong, here = int((~evaluated.correct).sum()), int((~taken.readings["poor"].correct).sum())
    assert 40 <= here < wrong
    said = page.locator("#picture-count")
    expect(said).to_contain_text(
        f"{here} pictures match. Of 120 test pictures of plain, poor misreads {wrong}; {here} of"
    )
    expect(said).to_contain_text(f"among them the 40 most confident. The other {wrong - here} are in predictions/")
    # The most confident error comes first, with what each strategy reads of the same picture.
    errors = np.flatnonzero(~evaluated.correct)
    first = int(errors[np.argsort(-evaluated.readings.confidence[errors], kind="stable")][0])
    card = page.locator(".card").first
    expect(card.get_by_role("link")).to_have_text(f"plain {first}")
    for name in ("good", "poor", "<b>odd</b>"):
        classes = read[name]["plain"]["test"].readings.classes[first]
        shown = card.get_by_role("row", name=name).locator(".reading").inner_text().replace("·", "")
        assert shown == ("".join(str(digit) for digit in classes if digit != BLANK) or "nothing")


def test_what_is_not_on_the_page_is_counted(page, read):
    poor = read["poor"]["plain"]["test"]
    wrong, here = int((~poor.correct).sum()), int((~taken_of(read, "plain").readings["poor"].correct).sum())
    expect(page.locator("#picture-count")).to_contain_text(f"in predictions/: poor {wrong - here} of {wrong}.")
    page.locator("#picture-filters [name=strategy]").select_option("good")
    expect(page.locator("#picture-count")).to_contain_text("all of them are here.")


def test_pictures_are_filtered_by_digit_confidence_and_outcome(page, read):
    form = page.locator("#picture-filters")
    form.locator("[name=strategy]").select_option("good")
    form.locator("[name=outcome]").select_option("correct")
    form.locator("[name=digit]").select_option(label="7")
    form.locator("[name=from]").fill("0.6")
    form.locator("[name=to]").fill("0.7")
    good = taken_of(read, "plain").readings["good"]
    confidence = good.readings.confidence
    expected = good.correct & (good.pictures.labels == 7).any(axis=1) & (confidence >= 0.6) & (confidence <= 0.7)
    assert 0 < expected.sum() < 24
    expect(page.locator(".card")).to_have_count(int(expected.sum()))
    assert "digit=7" in page.url
    page.get_by_role("button", name="Reset").click()
    expect(form.locator("[name=strategy]")).to_have_value("")


def test_more_pictures_follow_and_the_keyboard_stays_with_them(page):
    page.goto(page.url.partition("#")[0] + "#pictures?suite=plain&outcome=")
    expect(page.locator(".card")).to_have_count(24)
    page.locator("#more").click()
    assert page.locator(".card").count() > 24
    assert (
        page.evaluate("[...document.querySelectorAll('.card')].indexOf(document.activeElement.closest('.card'))") == 24
    )


def test_a_picture_opens_large_and_the_arrows_go_on(page):
    page.locator("#picture-filters [name=task]").select_option("scenes")
    page.locator(".card .picture").first.click()
    dialog = page.get_by_role("dialog")
    title = dialog.get_by_role("heading").inner_text()
    page.wait_for_function(DRAWN)
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading")).not_to_have_text(title)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_confusion_leads_to_its_pictures(page):
    page.locator('#scores tr[data-suite="plain"][data-strategy="poor"] a[href^="#diagnostics"]:visible').first.click()
    expect(page.locator("#confusion-caption")).to_contain_text("poor on plain")
    expect(page.locator("#confusion svg")).to_be_visible()
    expect(page.locator("#reliability svg")).to_be_visible()
    link = page.locator("#confused a").first
    target, prediction = link.inner_text().split(" read as ")
    link.click()
    form = page.locator("#picture-filters")
    expect(form.locator("[name=digit]").locator("option:checked")).to_have_text(target if target != "blank" else "any")
    expect(form.locator("[name=read]").locator("option:checked")).to_have_text(
        prediction if prediction != "blank" else "any"
    )
    assert page.locator(".card").count() > 0


def test_names_are_text(page):
    assert page.locator("b", has_text="odd").count() == 0
    page.locator("#picture-filters [name=strategy]").select_option("<b>odd</b>")
    expect(page.locator("#picture-count")).to_contain_text("<b>odd</b> misreads")


def test_every_chart_is_drawn_where_it_is_seen_and_for_print(page):
    page.get_by_role("navigation").get_by_role("link", name="Training").click()
    expect(page.locator("#training svg").first).to_be_visible()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    figures = page.locator("figure.chart:visible").count()
    # Accuracy and cost of three suites; reliability and training of four strategies.
    assert figures == 2 * 3 + 2 * 4
    expect(page.locator("figure.chart svg")).to_have_count(figures)


def test_dark_mode_and_print_have_their_own_colours(page):
    paper = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) == "rgb(20, 23, 27)"
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    expect(page.locator("#contents")).to_be_hidden()
    page.emulate_media(media="screen")
