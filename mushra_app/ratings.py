"""Ratings as a table, one line a score: what is exported, read back and analysed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mushra_app.records import Rated
from nacbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "participant", "session", "finished", "square_row", "trial", "position", "phase", "item",
    "slot", "condition", "role", "score", "moves", "started_ms", "submitted_ms",
)  # fmt: skip


def frame(rated: Sequence[Rated]) -> pd.DataFrame:
    """Long form: every score of every submitted trial. No answers of the questionnaire."""
    import pandas as pd

    rows = [{name: asdict(r)[name] for name in COLUMNS} for r in rated]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def lines(ratings: pd.DataFrame) -> list[Any]:
    """Rows with a field for each column."""
    return list(ratings.itertuples(index=False))


def to_csv(ratings: pd.DataFrame) -> str:
    text = io.StringIO()
    ratings.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def to_parquet(ratings: pd.DataFrame) -> bytes:
    """Raises:
    UserError: pyarrow is not installed.
    """
    content = io.BytesIO()
    try:
        ratings.to_parquet(content, index=False)
    except ImportError as error:
        raise UserError("Parquet needs pyarrow. pip install 'nacbench[parquet]'") from error
    return content.getvalue()


def read_csv(path: Path) -> pd.DataFrame:
    """What `to_csv` wrote.

    Raises:
        UserError: a column is missing, or a score is not a whole number from 0 to 100.
    """
    import pandas as pd

    try:
        ratings = pd.read_csv(path, dtype={"participant": str, "session": str, "trial": str})
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as CSV ({error}).") from error
    missing = [name for name in COLUMNS if name not in ratings]
    if missing:
        raise UserError(f"{path}: no column '{missing[0]}'. Expected {', '.join(COLUMNS)}.")
    wrong = ratings.index[~ratings["score"].isin(range(101))]
    if len(wrong):
        found = ratings["score"][wrong[0]]
        raise UserError(f"{path}:{wrong[0] + 2}: score {found}, expected 0 to 100.")
    return ratings
