# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Runs the notebooks of this folder and keeps their outputs: `make notebooks`.

What says nothing to readers is left out of the outputs: scripts that pynq loads into the page, and
when each cell ran. Pieces of one output are joined.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def executed(path: Path) -> Any:
    """The notebook as ``nbformat`` has it, run from beginning to end beside its file.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell ended with an error.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    beside = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=beside).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = joined([output for output in cell.outputs if not is_script(output)])
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def is_script(output: Any) -> bool:
    """Whether an output is nothing but JavaScript."""
    return set(output.get("data", ())) == {"application/javascript"}


def joined(outputs: list[Any]) -> list[Any]:
    """Outputs with what was printed in pieces in one."""
    found: list[Any] = []
    for output in outputs:
        is_text = output.output_type == "stream"
        if is_text and found and found[-1].get("name") == output.name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Run notebooks in place, with new outputs.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of this folder")
    chosen = parser.parse_args().notebooks or sorted(HERE.glob("*.ipynb"))

    import nbformat

    for path in chosen:
        # What earlier runs left there would be gone on with.
        shutil.rmtree(path.resolve().parent / "build", ignore_errors=True)
        print(path.name, flush=True)
        nbformat.write(executed(path.resolve()), path)


if __name__ == "__main__":
    main()
