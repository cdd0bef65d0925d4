"""Execute every notebook and write its outputs beside it: ``python -m notebooks``."""

from pathlib import Path

import jupytext
import nbclient
import nbformat

FOLDER = Path(__file__).parent


def execute(source: Path) -> nbformat.NotebookNode:
    """Run one ``py:percent`` notebook top to bottom and return it with its outputs."""
    notebook = jupytext.read(source)
    client = nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3",
                                     resources={"metadata": {"path": str(FOLDER)}})
    return client.execute()


def main() -> None:
    """Execute and write all of them."""
    for source in sorted(FOLDER.glob("[0-9]*.py")):
        nbformat.write(execute(source), source.with_suffix(".ipynb"))
        print(source.with_suffix(".ipynb").name)


if __name__ == "__main__":
    main()
