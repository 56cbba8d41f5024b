"""The index of the Data Docs."""

import evaluations

from pipeline.reports import data_docs


def test_every_data_set_has_a_link_and_its_result(tmp_path):
    evaluations.validated("strips", "plain").write(tmp_path / "strips/plain.json")
    failed = evaluations.validated("mnist", "mnist").model_copy(update={"success": False, "notes": ("a & b",)})
    failed.write(tmp_path / "mnist/mnist.json")
    html = data_docs.index({"plain": "strips", "mnist": "mnist", "new": "strips"}, tmp_path)
    assert html.count('/index.html"') == 3
    assert '<a href="plain/index.html">plain</a>' in html
    assert html.count(">passed<") == html.count(">failed<") == html.count(">not validated<") == 1
    assert "a &amp; b" in html
    assert "<script" not in html
    assert "http" not in html
