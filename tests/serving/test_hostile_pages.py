"""Hostile pictures of any size: every answer is a reading or an error in its form, in bounded time, and none is 500."""

import os
import re
import time

import numpy as np
import pytest
from barred_lines import write
from hostile_pages import SHAPES, patterns
from servers import ROOT, encoded, environment, started

from benchmarks import fuzz
from pipeline.records.answer import Error, PictureAnswer

SEED = int(os.environ.get("FUZZ_SEED", "16"))
MUTANTS = int(os.environ.get("FUZZ_COUNT", "3000"))
SECONDS = 20.0
"""An answer that takes longer counts as a hang, on a busy machine too."""
PAGES = [
    encoded(write("9071", "352")),
    encoded(write("64", scale=2, paper=20, ink=230), "JPEG"),
    encoded(np.dstack([write("8")] * 3 + [write("8")]), "PNG"),
    encoded(write("55", "1"), "WEBP", lossless=True),
]
ALLOWED = {200, 400, 413, 415}


def judge(response) -> int:
    """The status, of an answer that has the form of a reading or of an error."""
    assert response.status_code in ALLOWED, response.text[:300]
    (PictureAnswer if response.status_code == 200 else Error).parse(response.text, "/read")
    return response.status_code


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[1]}x{shape[0]}")
def test_patterns_are_answered_in_bounded_time(reader_of_lines, shape):
    for name, pixels in patterns(np.random.default_rng(SEED), *shape).items():
        begun = time.process_time()
        response = reader_of_lines.post("/read?task=lines", content=encoded(pixels))
        assert judge(response) == 200, name
        assert time.process_time() - begun < 5, name


def test_mutated_pages_are_answered(reader_of_lines):
    random = np.random.default_rng(SEED)
    statuses = [
        judge(reader_of_lines.post("/read?task=lines", content=fuzz.mutated(PAGES[index % 4], random)))
        for index in range(80)
    ]
    assert statuses.count(200) > 8
    assert statuses.count(400) > 8


@pytest.mark.slow
def test_thousands_of_hostile_pictures_leave_the_service_as_it_was(with_lines, tmp_path):
    env = environment(tmp_path / "bentoml", READER_ARTIFACTS=str(with_lines))
    with started(cwd=ROOT, env=env, log=tmp_path / "log.txt") as server:
        worker, random = server.worker, np.random.default_rng(SEED)
        large = [pixels for shape in ((4000, 4000), (16, 1_000_000)) for pixels in patterns(random, *shape).values()]
        for pixels in large:
            begun = time.monotonic()
            body = encoded(pixels, compress_level=1)
            response = server.client.post("/read", content=body, timeout=60)
            assert len(body) > 2**24 or judge(response) == 200
            assert time.monotonic() - begun < SECONDS
        before = worker.memory_info().rss
        for index in range(MUTANTS):
            page = PAGES[index % len(PAGES)]
            judge(server.client.post(("/read", "/read?task=lines")[index % 2], content=fuzz.mutated(page, random)))
        answer = PictureAnswer.parse(server.client.post("/read", content=PAGES[0]).text, "/read")
        assert [line.digits for line in answer.lines] == ["9071", "352"]
        assert server.worker.pid == worker.pid
        assert worker.memory_info().rss - before < 200 * 1024 * 1024
        assert 'status="500"' not in server.client.get("/metrics").text
        wrong = [
            line for line in (tmp_path / "log.txt").read_text().splitlines() if re.search("Traceback|Warning:", line)
        ]
        assert not wrong, wrong[:20]
