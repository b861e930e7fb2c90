"""The experimenter's page behind a secret link: progress, first results, export, closing."""

from __future__ import annotations

import streamlit as st

from mushra_app.service import Service


def show(at: Service, secret: str) -> None:
    if not at.is_experimenter(secret):
        st.error("This link does not work.")
        return
    st.title(at.study.title)
