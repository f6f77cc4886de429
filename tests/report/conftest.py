"""A rendered report, created once for all tests in this folder, which only read it."""

from __future__ import annotations

import pytest
from report_pages import RECIPE, Page, events, run_record, samples

from gpttasks.report import render_report


@pytest.fixture(scope="session")
def rows():
    return list(samples(1000))


@pytest.fixture(scope="session")
def html(rows):
    return render_report(run_record(), rows, list(events()), recipe=RECIPE)


@pytest.fixture(scope="session")
def page(html):
    return Page(html)
