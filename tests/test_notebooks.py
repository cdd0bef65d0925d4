"""Every notebook runs top to bottom; its asserts are the numbers it claims, and its outputs are in the repository."""

import jupytext
import nbformat
import pytest

from notebooks.__main__ import FOLDER, NEEDS, execute
from otspec.decode.fetching.shelf import fetch_command, is_fetched

NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.py"))


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(source):
    model = NEEDS.get(source.stem)
    if model is not None and not is_fetched(model):
        pytest.skip(f"needs the model {model}: {fetch_command(model)}")
    assert all(cell.execution_count for cell in execute(source).cells if cell.cell_type == "code")


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_executed_copy_holds_the_same_cells_with_outputs(source):
    text = jupytext.read(source)
    executed = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert [cell.source for cell in executed.cells] == [cell.source for cell in text.cells]
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert any(cell.outputs for cell in code)
    # a warning there would show the reader folders of another machine
    assert [output.text for cell in code for output in cell.outputs if output.get("name") == "stderr"] == []
