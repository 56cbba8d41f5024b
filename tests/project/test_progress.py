"""What a run of DVC shows: one line per stage, logs, the time left."""

import io

import pytest

from pipeline.project.progress import Progress, format_left, format_seconds

OUTPUT = """\
Stage 'fetch@mnist' didn't change, skipping
Running stage 'train@slice':
> python -m stages.train --strategy slice
Epoch 1/2
Epoch 2/2
Updating lock file 'dvc.lock'

Stage 'train@ctc' is cached - skipping run, checking out outputs
Updating lock file 'dvc.lock'

Running stage 'compare':
> python -m stages.compare
Generating lock file 'dvc.lock'
Use `dvc push` to send your updates to remote storage.
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    """Two seconds later at every look."""
    seconds = iter(range(0, 1000, 2))
    return lambda: next(seconds)


def follow(progress, folder, output, result=None, failed=False):
    with progress.following(folder / "result"):
        for line in output.splitlines(keepends=True):
            if result is not None and line == "Epoch 2/2\n":
                (folder / "result").write_text(result)
            # Pieces that end within a line.
            progress.feed(line[:5].encode())
            progress.feed(line[5:].encode())
        progress.finish(failed=failed)


def test_one_line_per_stage_with_its_number_seconds_and_result(tmp_path, clock):
    out = io.StringIO()
    progress = Progress(tmp_path / "logs", out, clock=clock)
    progress.expect(["train@slice", "train@ctc", "compare"])
    follow(progress, tmp_path, OUTPUT, result="0.98 on valid")
    first, second, third = out.getvalue().splitlines()
    assert first.split() == ["[1/3]", "train@slice", "2.0", "s", "0.98", "on", "valid"]
    assert second.split() == ["[2/3]", "train@ctc", "from", "the", "cache"]
    assert third.split() == ["[3/3]", "compare", "2.0", "s"]
    assert progress.ran == {"train@slice": 2, "compare": 2}
    assert progress.summary() == "2 stages ran in 4.0 s, 1 from the cache, 1 up to date"


def test_a_stage_that_was_not_expected_counts_too(tmp_path, clock):
    out = io.StringIO()
    progress = Progress(tmp_path / "logs", out, clock=clock)
    progress.expect(["compare"])
    follow(progress, tmp_path, OUTPUT)
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["[1/2]", "[2/3]", "[3/3]"]


def test_the_output_of_each_stage_is_in_its_log(tmp_path, clock):
    progress = Progress(tmp_path / "logs", io.StringIO(), clock=clock)
    follow(progress, tmp_path, OUTPUT)
    logs = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert logs["train@slice.log"] == "> python -m stages.train --strategy slice\nEpoch 1/2\nEpoch 2/2\n"
    assert logs["compare.log"] == "> python -m stages.compare\n"
    assert "dvc push" in logs["dvc.log"]
    assert set(logs) == {"train@slice.log", "compare.log", "dvc.log"}


def test_a_stage_that_fails_has_no_line_and_keeps_its_last_message(tmp_path, clock):
    out = io.StringIO()
    progress = Progress(tmp_path / "logs", out, clock=clock)
    begun = OUTPUT[: OUTPUT.index("Epoch 2")]
    end = "ValueError: a bug\nERROR: failed to reproduce 'train@slice': failed to run: python -m …, exited with 1\n"
    follow(progress, tmp_path, begun + end, failed=True)
    assert out.getvalue() == ""
    assert progress.last_line == "ValueError: a bug"
    assert progress.log == tmp_path / "logs/train@slice.log"
    assert not progress.ran


def test_the_time_left_is_estimated_from_what_waits(tmp_path, clock):
    asked = []

    def estimate(finished, waiting):
        asked.append((dict(finished), set(waiting)))
        return 600.0

    out = io.StringIO()
    progress = Progress(tmp_path / "logs", out, estimate, clock)
    progress.expect(["train@slice", "compare", "bento"])
    follow(progress, tmp_path, OUTPUT)
    assert asked[0] == ({"train@slice": 2}, {"compare", "bento"})
    assert asked[-1] == ({"train@slice": 2, "compare": 2}, {"bento"})
    assert out.getvalue().splitlines()[0].endswith("(about 10 min left)")


def test_a_second_run_of_dvc_goes_on_with_the_count(tmp_path, clock):
    """As `make repro` fetches sources first."""
    out = io.StringIO()
    progress = Progress(tmp_path / "logs", out, clock=clock)
    progress.expect(["fetch@mnist", "compare"])
    follow(progress, tmp_path, "Running stage 'fetch@mnist':\n> fetch\n")
    follow(progress, tmp_path, "Stage 'fetch@mnist' didn't change, skipping\nRunning stage 'compare':\n")
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["[1/2]", "[2/2]"]
    assert progress.unchanged == set()


def test_a_terminal_also_shows_the_running_stage(tmp_path, clock):
    out = Terminal()
    follow(Progress(tmp_path / "logs", out, clock=clock), tmp_path, OUTPUT)
    assert "train@slice  " in out.getvalue()
    assert "Epoch 1/2" in out.getvalue()


def test_a_carriage_return_ends_a_line_as_progress_bars_write_it(tmp_path, clock):
    progress = Progress(tmp_path / "logs", io.StringIO(), clock=clock)
    with progress.following(tmp_path / "result"):
        progress.feed(b"Running stage 'train@ctc':\n 10%\r 20%\r")
        assert progress.last_line == "20%"
        progress.finish(failed=True)


@pytest.mark.parametrize(
    ("seconds", "text", "left"),
    [
        (0.04, "0.0 s", "about 10 s left"),
        (59.4, "59.4 s", "about 60 s left"),
        (328.2, "5 min 28 s", "about 5 min left"),
        (3720, "1 h 02 min", "about 1 h 02 min left"),
    ],
)
def test_durations(seconds, text, left):
    assert format_seconds(seconds) == text
    assert format_left(seconds) == left
