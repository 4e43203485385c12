"""The site of the docs, built as `make docs` does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rlp

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    made = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return folder


def test_the_first_page_is_the_readme_and_its_links_lead_somewhere(site: Path):
    page = (site / "index.html").read_text()
    for heading in re.findall("^## (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert heading in page
    for link in re.findall(r'href="([a-z_]+/)"', page):
        assert (site / link / "index.html").exists(), link
    assert "docs/" not in re.findall(r'href="([^"]*)"', page)


def test_every_page_of_docs_is_in_the_navigation(site: Path):
    page = (site / "index.html").read_text()
    for path in (ROOT / "docs").glob("*.md"):
        if path.stem != "index":
            assert f'href="{path.stem}/"' in page, path


def test_studies_have_pages_with_their_pictures(site: Path):
    figures = "".join((site / name / "index.html").read_text() for name in ("results", "speed"))
    for folder in (ROOT / "experiments/results").iterdir():
        if (folder / "README.md").exists():
            page = (site / "studies" / folder.name / "index.html").read_text()
            assert "<table>" in page
            for picture in re.findall(r'<img[^>]* src="([^"]+)"', page):
                assert (site / "studies" / folder.name / picture).exists(), picture
            assert f'href="../studies/{folder.name}/"' in figures


def test_the_reference_has_the_front_door(site: Path):
    page = (site / "reference/index.html").read_text()
    for name in rlp.__all__:
        if callable(getattr(rlp, name)) and name[0].islower():
            assert re.search(rf'id="rlp\.[a-z.]*\b{name}"', page), name
    assert "KeyboardInterrupt" in page
