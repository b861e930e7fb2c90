"""Template, style and scripts around the content; nothing of a record is ever read as markup."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

SCRIPTS = (
    "dom.js", "table.js", "chart.js", "sections.js", "spectrogram.js", "player.js", "main.js"
)  # fmt: skip


def render(content: Mapping[str, Any], sounds: Mapping[str, tuple[str, bytes]]) -> str:
    """The whole file.

    Args:
        content: as `contents.of` makes it, with `items`.
        sounds: id -> media type and bytes.
    """
    script = "(() => {\n" + "\n".join(_file(name) for name in SCRIPTS) + "\n})();"
    style = _file("page.css")
    parts = {
        "title": html.escape(str(content["title"])),
        "policy": html.escape(_policy(script, style)),
        "style": style,
        "content": _inert(content),
        "sounds": "\n".join(_sound(name, *sound) for name, sound in sounds.items()),
        "script": script,
    }
    text = _file("page.html")
    head, *rest = text.split("{{")
    # Split once instead of replacing in turn: what one part holds must not fill another.
    return head + "".join(
        parts[name] + tail for name, _, tail in (piece.partition("}}") for piece in rest)
    )


def _file(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _policy(script: str, style: str) -> str:
    """The browser itself refuses any request, and any script or style but ours."""
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _inert(content: Any) -> str:
    """JSON that is safe inside a script element: no `<` that could open or close anything."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    # Half a surrogate pair, as in a file name that is not UTF-8, cannot be written as UTF-8.
    return text.encode("utf-8", "replace").decode()


def _sound(name: str, media_type: str, data: bytes) -> str:
    coded = base64.b64encode(data).decode()
    return f'<script type="application/octet-stream" id="{name}" data-type="{media_type}">{coded}</script>'  # noqa: E501
