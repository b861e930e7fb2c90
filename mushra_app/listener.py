"""A listener's way from the consent to the codes; where on it they stand is read from the store.

Nothing that matters lives in Streamlit's session: after a reload, a closed tab or a new server the
same address leads to the same page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from mushra_app import component, wording
from mushra_app.records import Session, State, Trial
from mushra_app.service import Service
from mushra_app.trial import block_length

RANGE_DB = 4  # BS.1534-3: the listener's adjustment of the level
MINUTES_PER_TRIAL = 2
TEXT_LIMIT = 4000  # characters of an answer
WIDE = """<style>
[data-testid="stMainBlockContainer"] { max-width: none; padding: 0.75rem 1.25rem 0.5rem; }
</style>"""


def show(at: Service, secret: str | None) -> None:
    """The page on which the listener stands."""
    session = at.store.find_session(secret) if secret else None
    if session is None or session.study_id != at.study_id:
        _welcome(at, unknown=bool(secret))
        return
    state = at.store.state(session)
    texts = wording.texts(session.language)
    if state.finished:
        _done(at, session, texts)
    elif at.study.questionnaire and not state.answered:
        _questions(at, session, texts)
    elif state.level_db is None:
        _volume(at, session, state, texts)
    elif state.trial is not None:
        _trials(at, session, state, state.trial, texts)
    else:
        _comment(at, session, texts)


def _welcome(at: Service, unknown: bool) -> None:
    study = at.study
    offered = [code for code in study.languages if code in wording.languages()] or ["en"]
    first = wording.choose(tuple(offered), st.query_params.get("lang") or st.context.locale)
    language = st.session_state.get("language", first)
    texts = wording.texts(language)
    left, right = st.columns([5, 1])
    with right:
        if len(offered) > 1:
            st.selectbox(
                texts["trouble"]["language"],
                offered,
                index=offered.index(language),
                format_func=wording.languages().__getitem__,
                key="language",
                label_visibility="collapsed",
            )
    with left:
        st.title(study.title or texts["consent"]["title"])
    if unknown:
        st.warning(texts["trouble"]["body"])
    if at.store.progress(at.study_id).closed:
        st.info(texts["consent"]["closed"])
        _withdrawal(at, texts["withdraw"])
        return
    with st.container():  # what comes into it later moves nothing below, where somebody may type
        _left_session(at, texts["consent"])
    st.markdown(consent_text(at, language))
    agreed = st.checkbox(texts["consent"]["agree"], key="agreed")
    if st.button(texts["consent"]["begin"], type="primary", disabled=not agreed):
        st.query_params["p"] = at.begin(language, consent_text(at, language)).secret
        st.session_state.pop("left_session", None)
        st.rerun()
    _withdrawal(at, texts["withdraw"])


def consent_text(at: Service, language: str) -> str:
    """The study's own consent in the listener's language, else the app's."""
    study, texts = at.study, wording.texts(language)["consent"]
    if own := study.consent.get(language):
        return own
    trials = len(study.training) + round(len(study.items) * (1 + study.replicate_share))
    retention = texts["retention"].format(date=study.retention) if study.retention else ""
    text: str = texts["body"]
    return text.format(minutes=5 + MINUTES_PER_TRIAL * trials, retention=retention)


def _left_session(at: Service, texts: Mapping[str, str]) -> None:
    secret = component.left_session(at.study.slug)
    session = at.store.find_session(secret) if secret else None
    if session is None or session.finished or session.study_id != at.study_id:
        return
    with st.container(border=True):
        st.write(texts["again"])
        st.caption(texts["code"].format(code=session.withdrawal_code))
        if st.button(texts["continue"]):
            st.query_params["p"] = secret or ""
            st.rerun()


def _withdrawal(at: Service, texts: Mapping[str, str]) -> None:
    with st.expander(texts["title"]):
        code = st.text_input(texts["label"], max_chars=64, key="withdrawal")
        if st.button(texts["button"], disabled=not code):
            deleted = at.store.withdraw(code.strip())
            (st.success if deleted else st.warning)(texts["done" if deleted else "unknown"])


def _questions(at: Service, session: Session, texts: Mapping[str, Any]) -> None:
    language, words = session.language, texts["questions"]
    st.title(words["title"])
    st.write(words["body"])
    answers: dict[str, str | float | None] = {}
    with st.form("questions", border=False):
        for question in at.study.questionnaire:
            label = _in(question.label, language) + ("" if question.optional else " *")
            key = f"question-{question.id}"
            if question.kind == "choice":
                names = {value: _in(names, language) for value, names in question.choices.items()}
                answers[question.id] = st.radio(
                    label, list(names), index=None, format_func=names.__getitem__, key=key
                )
            elif question.kind == "number":
                answers[question.id] = st.number_input(
                    label,
                    min_value=question.minimum,
                    max_value=question.maximum,
                    value=None,
                    key=key,
                )
            elif question.kind == "long_text":
                answers[question.id] = st.text_area(label, max_chars=TEXT_LIMIT, key=key)
            else:
                answers[question.id] = st.text_input(label, max_chars=200, key=key)
        sent = st.form_submit_button(words["next"], type="primary")
    if not sent:
        return
    for question in at.study.questionnaire:
        if not question.optional and answers[question.id] in (None, ""):
            st.warning(words["missing"].format(question=_in(question.label, language)))
            return
    given = {name: answer for name, answer in answers.items() if answer not in (None, "")}
    at.store.answer(session, {name: str(answer) for name, answer in given.items()})
    st.rerun()


def _in(names: Mapping[str, str], language: str) -> str:
    return names.get(language) or names.get(wording.FALLBACK) or next(iter(names.values()))


def _volume(at: Service, session: Session, state: State, texts: Mapping[str, Any]) -> None:
    words = texts["volume"]
    st.title(words["title"])
    st.markdown(words["body"])
    item = at.study.all_items[0]
    signals = _addresses(at, session, "volume", [(item.id, None)])
    _player(at, session, state, words, view="volume", signals=signals)


def _trials(
    at: Service, session: Session, state: State, trial: Trial, texts: Mapping[str, Any]
) -> None:
    trials = at.store.trials(session)
    alike = [other for other in trials if (other.phase == "training") == _is_training(trial)]
    number = alike.index(trial) + 1
    flag = f"read-{trial.key}"
    block = block_length(len(alike), at.study.block_trials)
    page = _page_before(trial, number, block)
    if page and not state.ratings and not st.session_state.get(flag):
        breaks = texts["test_intro"]["breaks"].format(block=block) if len(alike) > block else ""
        values = {"count": len(alike), "breaks": breaks, "done": number - 1}
        _interlude(at, session, state, page, values, texts, flag)
        return
    following = next((t for t in trials if t.position > trial.position and not t.submitted), None)
    data = {
        "key": trial.key,
        "phase": "training" if _is_training(trial) else "test",  # a replicate looks like a test
        "number": number,
        "total": len(alike),
        "signals": _signals(at, session, trial),
        "ratings": {str(slot): score for slot, score in state.ratings.items()},
    }
    st.html(WIDE)
    ahead = _signals(at, session, following) if following else []
    _player(at, session, state, texts["player"], view="trial", trial=data, next=ahead)


def _is_training(trial: Trial) -> bool:
    return trial.phase == "training"


def _page_before(trial: Trial, number: int, block: int) -> str:
    """What is said before a trial, "" where nothing is."""
    if number == 1:
        return "training_intro" if _is_training(trial) else "test_intro"
    after_block = (number - 1) % block == 0
    return "pause" if after_block and not _is_training(trial) else ""


def _interlude(
    at: Service,
    session: Session,
    state: State,
    page: str,
    values: Mapping[str, int | str],
    texts: Mapping[str, Any],
    flag: str,
) -> None:
    words = texts[page]
    st.title(words["title"])
    st.markdown(words["body"].format(**values))
    level = state.level_db or 0.0
    if page == "pause":
        st.write(words["level"])
        level = st.slider(
            texts["volume"]["level"], -float(RANGE_DB), float(RANGE_DB), level, 0.5, "%+.1f dB"
        )
    if st.button(words["next"], type="primary"):
        if level != state.level_db:
            at.set_level(session, level)
        st.session_state[flag] = True
        st.rerun()


def _signals(at: Service, session: Session, trial: Trial) -> list[str]:
    """Addresses of a trial's signals, the open reference first."""
    conditions = at.study.item(trial.item).conditions
    graded = [(trial.item, conditions[index].condition) for index in trial.permutation]
    return _addresses(at, session, trial.key, [(trial.item, None), *graded])


def _addresses(
    at: Service, session: Session, page: str, signals: list[tuple[str, str | None]]
) -> list[str]:
    """Fresh ones once per page and visit: the same over reruns, or the player would load again."""
    kept: dict[str, list[str]] = st.session_state.setdefault("addresses", {})
    if page not in kept:
        kept[page] = at.store.issue_tokens(session, signals)
    return kept[page]


def _player(
    at: Service, session: Session, state: State, texts: Mapping[str, Any], **data: Any
) -> None:
    common = {
        "study": at.study.slug,
        "participant": session.secret,
        "next_event": state.next_seq,
        "language": session.language,
        "level_db": state.level_db or 0.0,
        "range_db": RANGE_DB,
        "texts": dict(texts),
    }
    component.player(common | data, _renew)


def _renew() -> None:
    """The server has forgotten the signals' addresses: hand out new ones."""
    st.session_state.pop("addresses", None)


def _comment(at: Service, session: Session, texts: Mapping[str, Any]) -> None:
    words = texts["comment"]
    st.title(words["title"])
    with st.form("comment", border=False):
        st.write(words["body"])
        comment = st.text_area(words["label"], max_chars=TEXT_LIMIT)
        if st.form_submit_button(words["next"], type="primary"):
            at.store.finish(session, comment)
            st.rerun()


def _done(at: Service, session: Session, texts: Mapping[str, Any]) -> None:
    words = texts["done"]
    component.left_session(at.study.slug, finished=True)
    st.title(words["title"])
    st.write(words["body"])
    for name in ("completion", "withdrawal"):
        st.subheader(words[name])
        st.markdown(f"`{getattr(session, f'{name}_code')}`")
        st.write(words[f"{name}_note"])
