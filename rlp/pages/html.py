"""A page in one file: text, tables and pictures, in light, dark and print, without scripts.

The parts of a page are `Html`; text from files becomes `Html` only through `escape`.
"""

import base64
import html
from collections.abc import Collection, Iterable, Sequence
from typing import NewType

Html = NewType("Html", str)

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --faint: #666; --line: #ccc; --paper: #fff;
  --box: #f4f4f4; --best: #e6f2e6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --faint: #a0a0a0; --line: #444; --paper: #161616; --box: #222;
    --best: #1d331d; }
  figure img { filter: invert(1) hue-rotate(180deg); }
}
@media print {
  :root { color-scheme: light; --ink: #000; --faint: #444; --line: #aaa; --paper: #fff;
    --box: #fff; --best: #fff; }
  figure img { filter: none !important; }
  figure, tr, .verdict { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .wide { overflow: visible !important; } table { font-size: 7pt; }
  td { white-space: normal !important; }
}
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 84rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.3rem; }
h3 { margin: 1.5rem 0 .5rem; font-size: 1.05rem; }
p { margin: .5rem 0; max-width: 48rem; } .faint, figcaption { color: var(--faint); }
.verdict { font-size: 1.1rem; border-left: 4px solid; padding-left: .8rem; }
.note { border-left: 4px solid #c60; padding-left: .8rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.faint, figcaption { font-size: .9rem; }
td, th { padding: .25rem .8rem .25rem 0; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { vertical-align: bottom; white-space: normal; overflow-wrap: break-word;
  max-width: 14rem; }
.text { text-align: left !important; white-space: normal; min-width: 22rem; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper);
  font-weight: normal; white-space: normal; min-width: min(12rem, 38vw); max-width: 16rem; }
thead th, thead th:first-child { font-weight: 600; }
tr.best > * { font-weight: 600; } tr.best > *, tr.best > th:first-child { background: var(--best); }
.pictures { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; } figure img { width: 100%; height: auto; display: block; }
pre { background: var(--box); padding: .8rem; overflow: auto; font-size: .85rem; }
summary { cursor: pointer; }
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{title}</title><style>{style}</style></head><body>
<main>
<h1>{title}</h1>
{parts}
</main></body></html>
"""


def escape(text: str) -> Html:
    """Returns text as HTML that shows it literally."""
    return Html(html.escape(text))


def page(title: str, parts: Iterable[Html]) -> str:
    """Returns a page that loads nothing: its pictures are embedded."""
    return PAGE.format(title=escape(title), style=STYLE, parts="\n".join(parts))


def frame(page: str, title: str) -> Html:
    """Returns a page embedded in another; their styles do not affect each other."""
    return Html(
        f'<iframe title="{escape(title)}" srcdoc="{escape(page)}" sandbox '
        'style="width: 100%; height: 40rem; border: 1px solid #ccc"></iframe>'
    )


def paragraph(text: str, kind: str = "") -> Html:
    """Returns a paragraph; kinds are `verdict`, `note` and `faint`."""
    return Html(f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>")


def heading(text: str, level: int = 2) -> Html:
    """Returns a heading."""
    return Html(f"<h{level}>{escape(text)}</h{level}>")


def code(text: str) -> Html:
    """Returns text with its lines and spaces preserved."""
    return Html(f"<pre>{escape(text)}</pre>")


def details(summary: str, parts: Iterable[Html], is_open: bool = False) -> Html:
    """Returns parts that a summary line opens."""
    opened = " open" if is_open else ""
    body = "\n".join(parts)
    return Html(f"<details{opened}><summary>{escape(summary)}</summary>\n{body}\n</details>")


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    caption: str = "",
    best: Collection[int] = (),
    of_text: Collection[int] = (),
) -> Html:
    """Returns a table that scrolls by itself if it is wider than the page.

    Args:
        header: of the columns.
        rows: a name and its cells.
        caption: text below the table.
        best: numbers of the rows to highlight.
        of_text: numbers of the columns with words.
    """
    kinds = [' class="text"' if number in of_text else "" for number in range(len(header))]
    named = zip(kinds, header, strict=True)
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in named)
    lines = []
    for number, (name, *cells) in enumerate(rows):
        pairs = zip(kinds[1:], cells, strict=True)
        body = "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in pairs)
        mark = ' class="best"' if number in best else ""
        lines.append(f'<tr{mark}><th scope="row">{escape(name)}</th>{body}</tr>')
    body = "\n".join(lines)
    below = paragraph(caption, "faint") if caption else ""
    return Html(
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>{below}"
    )


def picture(svg: bytes, title: str, caption: str) -> Html:
    """Returns an embedded picture; as an image it runs nothing and loads nothing."""
    data = base64.b64encode(svg).decode()
    return Html(
        f'<figure><img alt="{escape(title)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def pictures(each: Iterable[Html]) -> Html:
    """Returns pictures in as many columns as fit."""
    body = "\n".join(each)
    return Html(f'<div class="pictures">\n{body}\n</div>')
