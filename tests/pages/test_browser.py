"""The page in a real browser: it says nothing on the console, fits phones, and shows the figures.

Chromium runs without a window (Debian: `apt-get install chromium`). The page has no script of its
own: another page, which has it in frames of some widths, measures it.
"""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlp
from tests.pages.made import write_run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
    "--allow-file-access-from-files", "--virtual-time-budget=10000", "--dump-dom",
)  # fmt: skip
WIDTHS = (360, 900, 1400)
MEASURE = """<!doctype html><link rel="icon" href="data:,"><body><script>
const found = {};
for (const width of %s) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 800; frame.src = "index.html";
  frame.onload = () => {
    const page = frame.contentDocument;
    const images = [...page.images];
    found[width] = {
      width: page.documentElement.scrollWidth,
      broken: images.filter(image => !image.naturalWidth).length, images: images.length,
      columns: new Set(images.map(image => image.getBoundingClientRect().left)).size,
      rows: [...page.querySelectorAll("tr")].map(
        row => [...row.cells].map(cell => cell.innerText.trim())),
      text: page.body.innerText,
    };
    document.body.dataset.found = JSON.stringify(found);
  };
  document.body.append(frame);
}
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
def test_the_page_in_a_browser(tmp_path: Path):
    rng = np.random.default_rng(0)
    metrics = {"q": [1.0, 2.0], "max_q": [3.0, 4.0], "actor_loss": [2.0, 1.0]}
    runs = tmp_path / "runs"
    for number, name in enumerate(("a_run_with_a_name_of_fifty_letters_that_must_be_broken", "b")):
        returns = rng.normal(500 + 100 * number, 20, (4, 10)).tolist()
        write_run(runs / name, returns, data=f"some/long/name/of/data-{number}", metrics=metrics)
    rlp.compare(runs, out=tmp_path / "out")
    (tmp_path / "out" / "measure.html").write_text(MEASURE % list(WIDTHS))
    found, console = _measured(tmp_path / "out" / "measure.html")
    assert console == []
    assert list(found) == [str(width) for width in WIDTHS]
    for width, seen in found.items():
        assert seen["width"] <= int(width)  # tables scroll, the page does not
        assert (seen["broken"], seen["images"]) == (0, 10)
        assert seen["text"].startswith("2 runs side by side")
        for run in runs.iterdir():
            of = json.loads((run / "result.json").read_text())["returns"]
            members = np.array([of[f"seed={seed}"] for seed in range(4)])
            row = next(row for row in seen["rows"] if row[0] == run.name)  # of the first table
            shown = [f"{members.mean():.0f}", str(members.size)]
            assert [cell for cell in row if cell in shown] == shown
    assert [found[str(width)]["columns"] for width in WIDTHS] == [1, 2, 3]


def _measured(page: Path) -> tuple[dict[str, Any], list[str]]:
    """Returns what the page has measured, and what was said on the console."""
    assert BROWSER
    command = [BROWSER, *FLAGS, f"--user-data-dir={page.parent.parent / 'browser'}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    (found,) = re.findall(r'data-found="([^"]*)"', done.stdout)
    return json.loads(html.unescape(found)), said
