"""The two pieces of the page that run in the browser, mounted as Streamlit components."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

PLAYER = Path(__file__).parent / "player"

# The modules come by their own route, so that the browser loads them once and tests can too.
_IMPORT = 'const at = new URL("player/player.js", new URL("./", location.href));\n'
_PLAYER_JS = _IMPORT + "const { mount } = await import(at);\nexport default mount;\n"
_VISIT_JS = _IMPORT + "const { visit } = await import(at);\nexport default visit;\n"

_player = st.components.v2.component(
    "nacbench_player",
    html='<div id="root"></div>',
    css=(PLAYER / "player.css").read_text(encoding="utf-8"),
    js=_PLAYER_JS,
)
_visit = st.components.v2.component("nacbench_visit", html="<span></span>", js=_VISIT_JS)


def player(data: Mapping[str, Any], on_ask: Callable[[], None]) -> None:
    """The player; `on_ask` is called when it needs a new state of the page."""
    _player(key=f"player-{data['view']}", data=data, on_stored_change=_pass, on_renew_change=on_ask)


def left_session(study: str, *, finished: bool = False) -> str | None:
    """Secret of a session that this browser began and did not finish.

    Args:
        finished: forget it instead.
    """
    data = {"study": study, "finished": finished}
    found = _visit(key=f"visit-{finished}", data=data, on_found_change=_pass)
    if found.found:
        st.session_state["left_session"] = found.found
    return st.session_state.get("left_session")


def _pass() -> None:
    """A trigger reruns the page, and the page reads everything from the store."""
