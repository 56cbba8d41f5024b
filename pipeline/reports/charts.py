"""The charts of the report, as Vega-Lite specifications whose rows the page fills in."""

from collections.abc import Mapping
from typing import Any

import altair as alt

from pipeline.plots.style import VERMILLION

Chart = alt.Chart | alt.LayerChart | alt.FacetChart
ROWS = "rows"
"""The name of the data of every chart."""
_BLUE = "#2b8cc4"
"""Okabe and Ito's blue, lighter: it stands out on paper and in dark mode."""
_CONFIG: dict[str, Any] = {
    "view": {"stroke": None},
    "font": "system-ui, sans-serif",
    # The colour of the text around the chart, so that charts follow dark mode and print.
    "axis": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "titleFontWeight": "normal",
        "domainColor": "currentColor",
        "domainOpacity": 0.4,
        "tickColor": "currentColor",
        "tickOpacity": 0.4,
        "gridColor": "currentColor",
        "gridOpacity": 0.12,
    },
}


def charts() -> dict[str, dict[str, Any]]:
    """The specifications by name, as wide as their place; `ROWS` has these columns.

    `accuracy`: strategy, valid, test, low, high (shares); one suite, the strategies in the order of the rows.
    `reliability`: confidence, accuracy (shares), count; the bins of one strategy that hold a reading.
    `confusion`: target, prediction, count, share (of the target's row) and errors (count; 0 where both are equal).
    `curve`: epoch, split (train or valid), value; one metric of one strategy.
    `cost`: strategy, millions (of multiply-adds), parameters, test (share), front (whether nothing cheaper is as good);
    one suite.
    """
    made: Mapping[str, Chart] = {
        "accuracy": _accuracy(),
        "reliability": _reliability(),
        "confusion": _confusion(),
        "curve": _curve(),
        "cost": _cost(),
    }
    return {
        name: chart.properties(background="transparent").to_dict() | {"config": _CONFIG} for name, chart in made.items()
    }


def _rows() -> alt.Chart:
    return alt.Chart(alt.NamedData(ROWS))


def _accuracy() -> Chart:
    strategy = alt.Y("strategy:N", sort=None, title=None)
    share = alt.Scale(zero=False, nice=True, padding=6)
    tooltip = [
        alt.Tooltip("strategy:N"),
        alt.Tooltip("test:Q", format=".2%"),
        alt.Tooltip("low:Q", format=".2%", title="95 % interval from"),
        alt.Tooltip("high:Q", format=".2%", title="to"),
        alt.Tooltip("valid:Q", format=".2%"),
    ]
    base = _rows().encode(y=strategy, tooltip=tooltip)
    axis = alt.Axis(format=".4~p", tickCount=4)
    interval = base.mark_rule(strokeWidth=2, color=_BLUE).encode(
        x=alt.X("low:Q", scale=share, axis=axis, title="sequence accuracy"), x2="high:Q"
    )
    valid = base.mark_point(shape="diamond", size=45, color="currentColor", opacity=0.7).encode(x="valid:Q")
    test = base.mark_circle(size=70, color=_BLUE, opacity=1).encode(x="test:Q")
    return alt.layer(interval, valid, test).properties(width="container", height=alt.Step(22))


def _reliability() -> Chart:
    unit = alt.Scale(domain=[0, 1])
    diagonal = (
        alt.Chart(alt.InlineData(values=[{"at": 0}, {"at": 1}]))
        .mark_line(color="currentColor", opacity=0.35, strokeDash=[4, 4])
        .encode(x=alt.X("at:Q", scale=unit, title="confidence"), y=alt.Y("at:Q", scale=unit, title="accuracy"))
    )
    bins = _rows().encode(
        x=alt.X("confidence:Q", scale=unit),
        y=alt.Y("accuracy:Q", scale=unit),
        tooltip=[
            alt.Tooltip("count:Q", format=",", title="readings"),
            alt.Tooltip("confidence:Q", format=".3f"),
            alt.Tooltip("accuracy:Q", format=".3f"),
        ],
    )
    size = alt.Size("count:Q", scale=alt.Scale(type="sqrt", range=[15, 260]), legend=None)
    line = bins.mark_line(color=_BLUE, opacity=0.5)
    dots = bins.mark_circle(color=_BLUE, opacity=0.9).encode(size=size)
    return alt.layer(diagonal, line, dots).properties(width="container", height=260)


def _confusion() -> Chart:
    base = _rows().encode(
        x=alt.X("prediction:N", sort=None, title="prediction", axis=alt.Axis(labelAngle=0, labelLimit=60)),
        y=alt.Y("target:N", sort=None, title="target"),
        tooltip=[
            alt.Tooltip("target:N"),
            alt.Tooltip("prediction:N"),
            alt.Tooltip("count:Q", format=","),
            alt.Tooltip("share:Q", format=".2%", title="of the target"),
        ],
    )
    # Errors alone are coloured: the diagonal would leave nothing to see of them.
    cells = base.mark_rect(color=VERMILLION, cursor="pointer").encode(
        opacity=alt.Opacity("errors:Q", scale=alt.Scale(type="sqrt", range=[0, 1]), legend=None)
    )
    counts = (
        base.transform_filter("datum.count > 0")
        .mark_text(fontSize=9, color="currentColor", cursor="pointer")
        .encode(text=alt.Text("count:Q", format=","))
    )
    return alt.layer(cells, counts).properties(width="container", height=260)


def _curve() -> Chart:
    base = _rows().encode(
        x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, grid=False, format="d"), title="epoch"),
        y=alt.Y("value:Q", scale=alt.Scale(zero=False), title=None, axis=alt.Axis(tickCount=4)),
        color=alt.Color("split:N", scale=alt.Scale(domain=["train", "valid"], range=["#8a94a0", _BLUE]), legend=None),
        strokeDash=alt.StrokeDash(
            "split:N", scale=alt.Scale(domain=["train", "valid"], range=[[4, 3], [1, 0]]), legend=None
        ),
        tooltip=[alt.Tooltip("split:N"), alt.Tooltip("epoch:Q"), alt.Tooltip("value:Q", format=".4f")],
    )
    return alt.layer(base.mark_line(), base.mark_point(filled=True, size=22)).properties(width="container", height=95)


def _cost() -> Chart:
    base = _rows().encode(
        x=alt.X(
            "millions:Q",
            scale=alt.Scale(type="log", padding=12),
            axis=alt.Axis(tickCount=4, format="~s", grid=False),
            title="multiply-adds, millions",
        ),
        y=alt.Y(
            "test:Q", scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(format=".4~p", tickCount=4), title=None
        ),
        tooltip=[
            alt.Tooltip("strategy:N"),
            alt.Tooltip("test:Q", format=".2%", title="sequence accuracy"),
            alt.Tooltip("millions:Q", format=",.2f", title="million multiply-adds"),
            alt.Tooltip("parameters:Q", format=","),
        ],
    )
    line = base.transform_filter("datum.front").mark_line(interpolate="step-after", color=_BLUE, opacity=0.6)
    dots = base.mark_point(size=60, color=_BLUE, filled=False, strokeWidth=1.5)
    best = base.transform_filter("datum.front").mark_circle(size=70, color=_BLUE, opacity=1)
    names = (
        base.transform_filter("datum.front")
        .mark_text(align="left", dx=7, dy=-5, fontSize=10, color="currentColor")
        .encode(text="strategy:N")
    )
    return alt.layer(line, dots, best, names).properties(width="container", height=170)
