"""Execute every notebook and write its outputs beside it: ``python -m notebooks [NAME ...]``."""

import sys
from pathlib import Path

import jupytext
import nbclient
import nbformat

from otspec.decode.fetching.shelf import fetch_command, is_fetched

FOLDER = Path(__file__).parent
NEEDS = {"08_real_model": "smollm2"}  # a model that has to be fetched first


def execute(source: Path) -> nbformat.NotebookNode:
    """Run one ``py:percent`` notebook top to bottom and return it with its outputs."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # a random name and the hour of a run would be changes that say nothing
    client = nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3", record_timing=False,
                                     resources={"metadata": {"path": str(FOLDER)}})
    return client.execute()


def main() -> None:
    """Execute and write all of them, or those named; without its model one keeps the outputs it has."""
    chosen = sys.argv[1:] or [source.stem for source in sorted(FOLDER.glob("[0-9]*.py"))]
    for source in (FOLDER / f"{name}.py" for name in chosen):
        model = NEEDS.get(source.stem)
        if model is not None and not is_fetched(model):
            print(f"{source.stem} was left out, it needs the model {model}: {fetch_command(model)}")
            continue
        nbformat.write(execute(source), source.with_suffix(".ipynb"))
        print(source.with_suffix(".ipynb").name)


if __name__ == "__main__":
    main()
