"""Hooks of the site (mkdocs.yml): the first page is README, each study's records have a page.

Links of pages lead to files of the repository, as on a forge. Those that are pages of the site are
turned towards them here, pictures are copied, and others become their names.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RESULTS = "experiments/results/"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages and pictures of the studies."""
    for path in sorted((ROOT / RESULTS).glob("*/*")):
        study = path.parent.name
        if path.name == "README.md":
            text = path.read_text(encoding="utf-8")
            files.append(File.generated(config, f"studies/{study}/index.md", content=text))
        elif path.suffix in (".png", ".gif"):
            uri = f"studies/{study}/{path.name}"
            files.append(File.generated(config, uri, content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Returns a page with links that lead somewhere in the site."""
    del config
    source = page.file.src_uri
    folder = Path("docs")
    if source == "index.md":
        markdown, folder = (ROOT / "README.md").read_text(encoding="utf-8"), Path()
    if source.startswith("studies/"):
        folder = Path(RESULTS) / Path(source).parent.name

    def turned(match: re.Match[str]) -> str:
        is_picture, text, target, anchor = match.groups()
        if "://" in target:
            return match[0]
        path = (ROOT / folder / target).resolve().relative_to(ROOT).as_posix()
        uri = _uri(path)
        if uri is None or files.get_file_from_path(uri) is None:
            return f"`{path}`" if text in (path, Path(path).name) else f"{text} (`{path}`)"
        depth = len(Path(source).parents) - 1
        return f"{is_picture}[{text}]({'../' * depth}{uri}{anchor or ''})"

    return LINK.sub(turned, markdown)


def _uri(path: str) -> str | None:
    """Returns where a file of the repository is in the site, None if it is not there."""
    if path.startswith(RESULTS):
        rest = path.removeprefix(RESULTS)
        return f"studies/{rest.removesuffix('README.md')}" + "index.md" * rest.endswith("README.md")
    return path.removeprefix("docs/") if path.startswith("docs/") else None
