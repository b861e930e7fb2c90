"""The server: `streamlit run mushra_app/app.py` or, with a study, `nacbench mushra serve STUDY`."""

from pathlib import Path

import streamlit as st

from mushra_app.routes import ROUTES
from mushra_app.service import service

service()  # now, not at the first visit: a demo study takes a while to make
app = st.App(Path(__file__).with_name("page.py"), routes=ROUTES)
