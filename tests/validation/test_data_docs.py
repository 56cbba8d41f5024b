"""Data Docs: every page of a result, or an error."""

import great_expectations as gx
import pandas as pd
import pytest

from pipeline.validation import data_docs


def test_a_page_that_cannot_be_written_is_an_error(tmp_path, capfd):
    context = data_docs.create_context(tmp_path)
    asset = context.data_sources.add_pandas("suite").add_dataframe_asset("table")
    suite = context.suites.add(gx.ExpectationSuite("suite-table", [gx.expectations.ExpectColumnToExist(column="a")]))
    data = asset.add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="suite-table", data=data, suite=suite))
    definition.run(batch_parameters={"dataframe": pd.DataFrame({"a": [1]})})
    (tmp_path / "validations").touch()
    with pytest.raises(OSError, match="validations"):
        data_docs.write_pages(context, tmp_path)
    assert "Traceback" not in capfd.readouterr().err
    (tmp_path / "validations").unlink()
    data_docs.write_pages(context, tmp_path)
    assert list(tmp_path.glob("validations/**/*.html"))
