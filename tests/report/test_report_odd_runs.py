"""Runs with missing, odd or hostile parts: the page stays complete, and nothing escapes from its element."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_pages import RECIPE, Page, events, run_record, samples, score

from gpttasks.report import render_report


def leaves(value, place=()):
    yield place
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*place, key))


@pytest.mark.parametrize("place", list(leaves(run_record()))[1:], ids=".".join)
@pytest.mark.parametrize("bad", ["missing", None, "text", float("nan"), [], {}])
def test_a_piece_that_is_missing_or_odd_is_no_crash(place, bad):
    run = run_record()
    holder = run = {key: dict(value) if isinstance(value, dict) else value for key, value in run.items()}
    for key in place[:-1]:
        holder[key] = dict(holder[key])
        holder = holder[key]
    if bad == "missing":
        del holder[place[-1]]
    else:
        holder[place[-1]] = bad
    html = render_report(run, list(samples(3)), list(events(3)), recipe=RECIPE)
    Page(html)
    assert not re.search(r"\b(nan|NaN|Infinity|None|Undefined)\b", html)


@pytest.mark.parametrize(
    "odd",
    [
        {"event": "step"},
        {"event": "step", "step": 1, "loss": None},
        {"event": "step", "step": "x", "loss": 1},
        {"event": "step", "step": 1, "loss": float("inf")},
        {"event": "step", "step": 1, "loss": 1e300},
        {"event": "step", "step": 1, "loss": 5e-324},
        {"event": "validation", "step": 1, "scores": None},
        {"event": "validation", "step": 1, "scores": {"accuracy": None}},
        {"event": "early stop", "step": 2, "best_step": 1},
        {},
    ],
)
def test_an_odd_event_is_no_crash(odd):
    Page(render_report(run_record(), [], [odd]))
    Page(render_report(run_record(), [], [*events(5), odd]))


def test_a_failed_run_shows_why_and_dashes_with_reasons():
    page = Page(render_report({"state": "failed", "error": "the loss of step 17 is nan"}, [], []))
    assert page.text_of("p", class_="error") == "the loss of step 17 is nan"
    assert "the run has no scores; its state is: failed" in page.text_of("section", id="scores")
    assert "not recorded" in page.text_of("p", class_="summary")
    without = Page(render_report(run_record(scores={"f1": score(None, None, None, reason="f1 is undefined")}), [], []))
    assert "f1 is undefined" in without.text_of("section", id="scores")
    Page(render_report({}, [], []))


def test_a_recipe_that_does_not_parse_is_still_shown():
    page = Page(render_report(run_record(), [], [], recipe="a: [1, <b>\n\t:"))
    assert "a: [1, <b>" in page.text_of("section", id="record")


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "</style></details></td></table></pre><svg/onload=alert(1)>",
    "<!--",
    "]]>",
    "&lt;b&gt; &amp;amp;",
    "{{ 7 * 7 }}{% for x in y %}",
    "\u202e\u2066 right to left",
    "هذا الفيلم جميل",
    "\x00\x07\x1b\x7f\x85\ud800\ufffe",
    "a|b:c\\|d",
]
hostile = st.sampled_from(HOSTILE) | st.text(st.characters(codec=None), max_size=30)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_text_in_a_run_breaks_out_of_its_place(data):
    def text():
        return data.draw(hostile)

    words = [f"{text()}{index}" for index in range(2)]
    rows = [
        replace(row, id=text(), group=text(), set=text(), input=text(), references=(text(),), texts={text(): text()})
        for row in samples(3, words)
    ]
    run = run_record(name=text(), state=text(), error=text(), warnings=[text()], folder=text(), digest=text())
    run |= {
        "scores": {text(): score(measure=text(), way=text(), reason=text(), split=text())},
        "versions": {text(): text()},
    }
    run |= {"data": {text(): [text()]}, text(): text(), "backbone": {"name": text()}}
    log = [*events(3), {"event": "validation", "step": 2, "scores": {text(): 0.5}}]
    html = render_report(run, rows, log, recipe=text(), plugin_sections={text(): text()})
    html.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]", html)
    page = Page(html)
    assert len(page.find("script")) == len(page.find("style")) == len(page.find("title")) == len(page.find("main")) == 1
    assert not page.find("img")
    assert not any(name.startswith("on") or name == "autofocus" for _, attrs in page.elements for name in attrs)


def test_hostile_text_is_shown_as_it_is():
    (row,) = samples(1)
    for text in HOSTILE:
        page = Page(render_report(run_record(), [replace(row, input=text)], []))
        shown = page.raw(page.find("p", class_="text")[0])
        visible = "".join(char for char in text if char >= " " and char not in "\x7f\x85\ud800\ufffe")
        assert "".join(char for char in shown if char not in "\u2400\u2407\u241b\u2421\ufffd") == visible
        assert page.elements[page.find("p", class_="text")[0]][1]["dir"] == "auto"
