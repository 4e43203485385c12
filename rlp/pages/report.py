"""The report of a run: the page of a comparison with only this run."""

import importlib.util
from pathlib import Path

import jax
import numpy as np

from rlp.pages import comparison, html, pictures
from rlp.runs import Run
from rlp.system import files
from rlp.types import Params


def write(run: Run, params: Params) -> Path:
    """Writes report.html for a run that has its result.json.

    Args:
        run: the run.
        params: the actors of all members, with a leading axis [M].

    Returns:
        The path of the page.
    """
    found = comparison.compare([run.directory])
    shown = pictures.drawn(found.sections, found.entries, ("svg",))
    record = {k: v for k, v in run.record.items() if k not in ("members", "data")}
    more = [
        html.heading("Record"),
        html.details("The actor of a member", [html.code(_overview(params))]),
        html.details("config.json", [html.code(files.json_text(record, indent=1))]),
    ]
    path = run.directory / "report.html"
    data = f" on {run.record['data']['name']}" if "data" in run.record else ""
    title = f"{run.directory.resolve().name}: {run.record['algo']}{data}, {run.size}"
    files.write_text(path, comparison.page(title, found, shown, more))
    return path


def _overview(params: Params) -> str:
    """Returns clu's table of the parameters of the first member."""
    if not importlib.util.find_spec("clu"):
        return "(clu is not installed)"
    from clu import parameter_overview  # imported late: it takes a second

    first = jax.tree.map(lambda leaf: np.asarray(leaf[0]), params)
    return parameter_overview.get_parameter_overview(first)
