"""What tests of several files share.

For the browser's: a study, the real app that serves it, and Debian's Chromium.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser import chromium
from listening import Server, served, write_study
from threadpoolctl import threadpool_limits

from mushra_app.study import Study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def server(study: Study) -> Iterator[Server]:
    with served(study.folder) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def one_openmp_thread() -> Iterator[None]:
    """Makes visqol-python exact: its libsvm adds in another order for every number of threads."""
    pytest.importorskip("libsvm.svm")
    # Numba gives OpenMP a thread per core when it first runs something in parallel, as
    # visqol-python does. Better now than within the limit.
    pytest.importorskip("numba").get_num_threads()
    with threadpool_limits(1, user_api="openmp"):
        yield
