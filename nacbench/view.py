"""The local page that `nacbench view` serves: many runs over time, and each run's report.

Streamlit runs this file as a script, once per change of a widget; the arguments are run
directories.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import altair as alt
import pandas as pd
import streamlit as st

from nacbench.cache import Cache, default_root
from nacbench.errors import UserError
from nacbench.leaderboard import leaderboard
from nacbench.report import html
from nacbench.report.palette import COLOURS
from nacbench.report.tables import to_pandas
from nacbench.report.trend import find_runs, trend
from nacbench.results import ResultTable
from nacbench.runner.work import decoded_of

REPORT_HEIGHT = 1400  # of the frame that holds a report, in pixels
LINES = 6  # operating points that are drawn before the reader chooses


def main(arguments: list[str]) -> None:
    st.set_page_config("nacbench", layout="wide")
    st.title("nacbench: runs over time")
    try:
        runs = find_runs(map(Path, arguments))
        tables = {run.name: _load(str(run), _changed_s(run)) for run in runs}
    except UserError as error:
        st.error(str(error))
        return
    lines = trend(list(tables.values()))
    if lines.empty:
        st.info("These runs hold no records yet.")
        return
    suite = st.sidebar.selectbox("Suite", lines["suite"].unique(), key="suite")
    lines = lines[lines["suite"] == suite]
    condition = st.sidebar.selectbox("Condition", lines["condition"].unique(), key="condition")
    metric = st.sidebar.selectbox("Metric", lines["metric"].unique(), key="metric")
    lines = lines[(lines["condition"] == condition) & (lines["metric"] == metric)]
    names = [name for name in tables if name in set(lines["run"])]
    chosen = st.sidebar.multiselect("Runs", names[::-1], default=names[::-1], key="runs")
    over_time, board, clips, report, origin = st.tabs(
        ["Trend", "Leaderboard", "Clips", "Report", "Origin"]
    )
    with over_time:
        _trend(lines[lines["run"].isin(chosen)], metric)
    if not chosen:
        st.warning("Choose at least one run.")
        return
    run = st.sidebar.selectbox("Run in the other tabs", chosen, key="run")
    with board:
        _leaderboard(tables[run])
    with clips:
        _clips(tables[run], condition)
    with report:
        _report(tables[run], run)
    with origin:
        st.json(dict(tables[run].manifests.get(run, {})), expanded=1)


def _changed_s(run: Path) -> float:
    return (run / "records.jsonl").stat().st_mtime


@st.cache_resource(show_spinner="Reading a run", max_entries=200)
def _load(run: str, changed_s: float) -> ResultTable:
    """A run as it was at that time; a table is read and never changed, so all sessions share it."""
    return ResultTable.load(run)


def _trend(lines: pd.DataFrame, metric: str) -> None:
    """Mean and interval per run of the chosen operating points, marked where the codec changed."""
    names = list(lines["name"].unique())
    shown = st.multiselect("Operating points", names, default=names[:LINES], key="points")
    lines = lines[lines["name"].isin(shown)].copy()
    if lines.empty:
        st.info("Nothing is chosen.")
        return
    lines["when"] = lines["begun"].dt.strftime("%Y-%m-%d %H:%M:%S").fillna(lines["run"])
    before = lines.groupby("name")["codec_version"].shift()
    lines["changed"] = before.notna() & (before != lines["codec_version"])
    base = alt.Chart(lines).encode(
        x=alt.X("when:O", title="run", axis=alt.Axis(labelLimit=160, labelAngle=-30)),
        color=alt.Color("name:N", title="operating point", scale=alt.Scale(range=list(COLOURS))),
    )
    score = alt.Scale(zero=False)
    details = ["run", "name", "kbps", "mean", "low", "high", "n_ok", "n", "codec_version"]
    line = base.mark_line().encode(
        y=alt.Y("mean:Q", title=metric, scale=score), strokeDash="name:N"
    )
    points = base.mark_point(filled=True, size=70).encode(
        y=alt.Y("mean:Q", title=metric, scale=score),
        shape=alt.Shape(
            "changed:N",
            title="codec changed",
            scale=alt.Scale(domain=[False, True], range=["circle", "square"]),
        ),
        tooltip=details,
    )
    bars = base.mark_rule(opacity=0.45).encode(
        y=alt.Y("low:Q", title=metric, scale=score), y2="high:Q"
    )
    st.altair_chart((line + bars + points).properties(height=420), width="stretch")
    st.dataframe(lines[[*details, "nacbench"]], hide_index=True, width="stretch")


def _leaderboard(table: ResultTable) -> None:
    st.dataframe(to_pandas(leaderboard(table)), hide_index=True, width="stretch")


def _clips(table: ResultTable, condition: str) -> None:
    frame = table.to_pandas()
    frame = frame[frame["condition"] == condition]
    text = st.text_input("Filter", placeholder="clip, codec, reason", key="filter")
    for word in text.lower().split():
        columns = frame[["clip", "series", "setting", "reason", "failure"]].fillna("").astype(str)
        frame = frame[columns.agg(" ".join, axis=1).str.lower().str.contains(word, regex=False)]
    st.dataframe(frame, hide_index=True, width="stretch")
    st.caption(f"{len(frame)} rows")


def _report(table: ResultTable, run: str) -> None:
    items = st.number_input("Clips with players", 0, 48, html.listening.ITEMS, key="items")
    audio = st.selectbox("Audio", ["opus", "flac"], key="audio")
    if st.button("Show the report", key="show"):
        st.session_state["reported"] = run
    if st.session_state.get("reported") == run:
        page = _page(table, run, int(items), str(audio))
        st.download_button("Download report.html", page, f"{run}.html", "text/html")
        st.iframe(page, height=REPORT_HEIGHT)


@st.cache_data(show_spinner="Writing the report", max_entries=4)
def _page(_table: ResultTable, run: str, items: int, audio: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        stored = partial(decoded_of, cache=Cache(default_root()))
        path = html.write(_table, Path(folder) / "report.html", stored, audio=audio, items=items)
        return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
