"""The charts: valid by Altair's schema, of the Vega-Lite that the page has, and never the same colour as the page."""

import json
import re

import altair as alt

from pipeline.reports.charts import ROWS, charts
from pipeline.reports.report import ASSETS


def test_every_chart_is_valid_and_takes_its_rows_from_the_page():
    made = charts()
    assert set(made) == {"accuracy", "reliability", "confusion", "curve", "cost"}
    for spec in made.values():
        alt.Chart.from_dict(json.loads(json.dumps(spec)), validate=True)
        assert f'"name": "{ROWS}"' in json.dumps(spec)
        assert spec["width"] == "container"


def test_two_runs_give_the_same_specifications():
    assert json.dumps(charts()) == json.dumps(charts())


def test_the_page_has_the_major_version_of_vega_lite_that_altair_writes():
    script = (ASSETS / "vega/vega-lite.min.js").read_text(encoding="utf-8")
    found = re.search(r'"use strict";var n="(\d+)\.', script)
    written = {re.search(r"/vega-lite/v(\d+)", spec["$schema"])[1] for spec in charts().values()}
    assert written == {found[1]}


def test_no_chart_loads_anything():
    assert all("url" not in json.dumps({**spec, "$schema": ""}) for spec in charts().values())
