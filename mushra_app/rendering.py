"""A report's blocks as Markdown, and as one HTML file that needs no network."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# ("h1" | "h2" | "p", text), ("table", (head, rows)) or ("picture", (its PNG, what it shows))
Block = tuple[str, Any]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .3rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
.wide { overflow-x: auto; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #e4e4e4; text-align: right; }
th:first-child, td:first-child, .words td { text-align: left; }
th { border-bottom-color: #9a9a9a; font-weight: 600; }
img { max-width: 100%; height: auto; } p { max-width: 46rem; }
"""


def markdown(blocks: Sequence[Block]) -> str:
    from nacbench.report.tables import markdown_table

    parts = []
    for kind, content in blocks:
        if kind == "table":
            head, body = content
            parts.append(markdown_table(head, body, left=1))
        elif kind == "picture":
            name, words = content
            parts.append(f"![{words}]({name}.png)")
        else:
            parts.append({"h1": "# ", "h2": "## ", "p": ""}[kind] + str(content))
    return "\n\n".join(parts) + "\n"


def page(title: str, blocks: Sequence[Block], folder: Path) -> str:
    """One HTML file that needs no network; its pictures are read from `folder`."""
    parts = []
    for kind, content in blocks:
        if kind == "table":
            head, body = content
            parts.append(_table(head, body))
        elif kind == "picture":
            name, words = content
            data = base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
            parts.append(
                f'<p><img alt="{html.escape(words)}" src="data:image/png;base64,{data}"></p>'
            )
        else:
            parts.append(f"<{kind}>{html.escape(str(content))}</{kind}>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    def row(tag: str, cells: Sequence[str]) -> str:
        inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
        return f"<tr>{inner}</tr>"

    words = "" if any(head) else ' class="words"'
    top = f"<thead>{row('th', head)}</thead>" if any(head) else ""
    rows = "\n".join(row("td", cells) for cells in body)
    return f'<div class="wide"><table{words}>{top}<tbody>\n{rows}\n</tbody></table></div>'
