"""The script that Streamlit runs for every visitor and every change: which page is it?"""

import streamlit as st

from mushra_app import listener
from mushra_app.service import service

# Calm pages: no toolbar, no footer, little padding.
STYLE = """<style>
header[data-testid="stHeader"], [data-testid="stToolbar"], [data-testid="stDecoration"],
[data-testid="stStatusWidget"], footer { display: none !important; }
[data-testid="stMainBlockContainer"] { max-width: 46rem; padding: 2.5rem 1.25rem; }
h1 { font-size: 1.9rem !important; }
[data-testid="stMarkdownContainer"] code { font-size: 1.2rem; }
</style>"""

at = service()
st.set_page_config(page_title=at.study.title, page_icon="🎧", layout="wide")
st.html(STYLE)
if "experimenter" in st.query_params:
    from mushra_app import experimenter  # brings tables and charts along, which listeners spare

    experimenter.show(at, st.query_params["experimenter"])
else:
    listener.show(at, st.query_params.get("p"))
