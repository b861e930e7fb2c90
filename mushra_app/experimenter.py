"""The experimenter's page behind a secret link: progress, first results, export, closing.

Everything shown is computed from the stored answers on every visit; nothing here changes them.
"""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from mushra_app import ratings, statistics, webmushra
from mushra_app.screening import Screening, screen
from mushra_app.service import Service
from nacbench.errors import UserError

ROLE_COLOURS = {
    "reference": "#4c5661",
    "low_anchor": "#97a2ad",
    "mid_anchor": "#6b7783",
    "system": "#1f5f9e",
}
ENOUGH = 20  # listeners: "often sufficient" in BS.1534-3, a mark on the way and no rule


def show(at: Service, secret: str) -> None:
    """Raises nothing for a wrong secret: the page is then like any other that is not there."""
    if not at.is_experimenter(secret):
        st.error("This link does not work.")
        return
    found = ratings.frame(at.store.ratings(at.study_id))
    screening = screen(found, len(at.study.items))
    st.title(at.study.title)
    _progress(at, screening)
    if found.empty:
        st.info("No trial has been submitted yet.")
    else:
        _scores(at, found, screening)
        _excluded(screening)
    _comments(at)
    _export(at, found)
    _closing(at)


def _progress(at: Service, screening: Screening) -> None:
    progress = at.store.progress(at.study_id)
    cells = st.columns(5)
    cells[0].metric("Begun", progress.begun)
    cells[1].metric("Finished", progress.finished)
    cells[2].metric("Valid so far", len(screening.valid))
    cells[3].metric("Trials stored", progress.trials)
    cells[4].metric("Withdrawn", progress.withdrawn)
    share = min(1.0, len(screening.valid) / ENOUGH)
    st.progress(share, f"Valid listeners: {len(screening.valid)}; {ENOUGH} are often sufficient.")


def _scores(at: Service, found: pd.DataFrame, screening: Screening) -> None:
    st.subheader("Scores")
    choices = ["valid listeners", "everybody"]
    who = st.radio("Of", choices, horizontal=True, label_visibility="collapsed")
    shown = found[found["phase"] == "test"]
    if who == choices[0]:
        shown = shown[shown["participant"].isin(screening.valid)]
    if shown.empty:
        st.info("Nobody's grades count yet: the screening needs complete sessions.")
        return
    titles = {condition.id: condition.title for condition in at.study.conditions}
    signals = pd.Categorical(shown["condition"].map(titles), list(titles.values()), ordered=True)
    shown = shown.assign(signal=signals).sort_values(["item", "signal"], kind="stable")
    per_item = st.toggle("Per item", value=False)
    by = ["item", "signal"] if per_item else ["signal"]
    marks = pd.DataFrame(_marks(shown, by))
    chart = _chart(list(titles.values()))
    if per_item:
        items = alt.Facet("item:N", title=None)
        st.altair_chart(chart.properties(height=180, width=280).facet(items, columns=2, data=marks))
    else:
        st.altair_chart(chart.properties(height=340, data=marks), width="stretch")
    table = marks[marks["kind"] == "box"].set_index(by).astype({"scores": int})
    table = table[["scores", "median", "lower", "upper"]]
    table.columns = pd.Index(["scores", "median", "lower quartile", "upper quartile"])
    st.dataframe(table, width="stretch")
    st.caption(
        "A first look; the boxes are those of 'nacbench mushra analyze', which adds intervals, "
        "tests and the report. Quartiles are Tukey's, whiskers reach to 1.5 interquartile ranges."
    )


def _marks(shown: pd.DataFrame, by: list[str]) -> list[dict[str, object]]:
    """A row for each box, and one for each score beyond its whiskers, in the study's order."""
    found: list[dict[str, object]] = []
    for names, group in shown.groupby(by, sort=False, observed=True):
        box = statistics.box(group["score"])
        place = {**dict(zip(by, names, strict=True)), "role": group["role"].iloc[0]}
        drawn = {"low": box.low, "lower": box.lower, "median": box.median, "upper": box.upper}
        found.append({**place, "kind": "box", "scores": len(group), "high": box.high, **drawn})
        found += [{**place, "kind": "beyond", "score": score} for score in box.beyond]
    return found


def _chart(titles: list[str]) -> alt.LayerChart:
    """Box plots of `_marks`; Vega's own would have quartiles of another kind."""
    axis = alt.Axis(labelAngle=-35, labelLimit=180, labelOverlap=False)
    signal = alt.X("signal:N", title=None, sort=titles, axis=axis)
    colours = alt.Scale(domain=list(ROLE_COLOURS), range=list(ROLE_COLOURS.values()))
    base = alt.Chart().encode(x=signal, color=alt.Color("role:N", legend=None, scale=colours))
    boxes, beyond = (base.transform_filter(alt.datum.kind == kind) for kind in ("box", "beyond"))

    def score(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title="score", scale=alt.Scale(domain=[0, 100]))

    layers = [
        boxes.mark_rule().encode(y=score("low"), y2="lower:Q"),
        boxes.mark_rule().encode(y=score("upper"), y2="high:Q"),
        boxes.mark_bar(size=28, opacity=0.4).encode(y=score("lower"), y2="upper:Q"),
        boxes.mark_tick(size=28, thickness=3).encode(y=score("median")),  # seen without a box, too
        beyond.mark_point(size=20, filled=True).encode(y=score("score")),
    ]
    return alt.LayerChart(layer=layers)


def _excluded(screening: Screening) -> None:
    if not screening.excluded and not screening.guarded:
        return
    with st.expander(f"Left out by the screening: {len(screening.excluded)}"):
        for excluded in screening.excluded:
            st.text(excluded.sentence)
        if screening.guarded:
            names = ", ".join(screening.guarded)
            st.text(f"Items on which the mid anchor excludes nobody: {names}")


def _comments(at: Service) -> None:
    if comments := at.store.comments(at.study_id):
        with st.expander(f"Comments: {len(comments)}"):
            for comment in comments:
                st.text(comment)  # as it was typed, never as Markdown


def _export(at: Service, found: pd.DataFrame) -> None:
    st.subheader("Export")
    name = f"{at.study.slug}-{at.study.version}"
    left, middle, right = st.columns(3)
    left.download_button(
        "CSV, one line per score", ratings.to_csv(found), f"{name}.csv", "text/csv"
    )
    middle.download_button(
        "webMUSHRA CSV",
        webmushra.to_csv(found, at.study),
        "mushra.csv",
        "text/csv",
    )
    try:
        parquet = ratings.to_parquet(found)
    except UserError as error:
        right.caption(str(error))
    else:
        kind = "application/vnd.apache.parquet"
        right.download_button("Parquet", parquet, f"{name}.parquet", kind)


def _closing(at: Service) -> None:
    closed = at.store.progress(at.study_id).closed
    st.subheader("The study is closed" if closed else "The study is open")
    st.write("A closed study takes no new listeners; whoever has begun may finish.")
    if st.button("Open it again" if closed else "Close the study"):
        at.store.set_closed(at.study_id, not closed)
        st.rerun()
