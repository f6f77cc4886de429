"""The page as a whole: its structure and its texts."""

from __future__ import annotations

import base64
import hashlib
import re

from report_pages import Page, run_record

from gpttasks.report import render_report


def test_the_page_says_what_was_run(page):
    assert page.text_of("h1") == "reviews"
    assert page.text_of("title").startswith("reviews (finished)")
    summary = page.text_of("p", class_="summary")
    for words in (
        "hf openai-community/gpt2",
        "lora",
        "choice",
        "classification",
        "360 examples",
        "1,000 examples",
        "1 min 25 s",
        "1.24 GiB",
    ):
        assert words in summary
    assert "12 of 700 scored examples were cut" in page.text_of("ul", class_="warnings")
    notes = page.text_of("section", id="notes")
    assert "12 scored examples were longer" in notes
    assert "3 answers were near ties" in notes
    assert "shots" not in notes


def test_scores_stand_with_interval_count_and_signature(page):
    text = page.text_of("section", id="scores")
    for words in (
        "accuracy",
        "0.871",
        "0.846 to 0.896",
        "at 95 %",
        "700",
        "higher is better",
        "split test",
    ):
        assert words in text
    assert "backbone gpt2" in text
    assert "metric accuracy" in text


def test_one_page_with_one_style_one_script_and_nothing_from_elsewhere(html, page):
    assert len(page.find("script")) == len(page.find("style")) == 1
    policy = page.elements[page.find("meta", **{"http-equiv": "Content-Security-Policy"})[0]][1]["content"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    for tag, attrs in page.elements:
        assert "style" not in attrs
        assert not any(name.startswith("on") for name in attrs)
        assert tag not in ("img", "iframe", "object", "embed", "base")
        assert attrs.get("src") is None
        assert (attrs.get("href") or "#").startswith(("#", "data:,"))
    assert "url(" not in html
    assert "@import" not in html


def test_the_keyboard_and_screen_readers_find_their_way(page):
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in page.elements:
        for name in ("aria-labelledby", "aria-controls", "for"):
            assert attrs.get(name) is None or attrs[name] in ids
        href = attrs.get("href") or ""
        assert not href.startswith("#") or href[1:] in ids
    first_link = page.elements[page.find("a")[0]]
    assert first_link == ("a", {"class": "skip", "href": "#main"})
    assert len(page.find("main")) == len(page.find("h1")) == 1
    assert all("aria-label" in page.elements[index][1] for index in page.find("svg"))
    tabs = [page.elements[index][1] for index in page.find("button", role="tab")]
    assert [tab["aria-selected"] for tab in tabs] == ["true", "false"]
    assert [tab.get("tabindex") for tab in tabs] == [None, "-1"]
    assert all("scope" in page.elements[index][1] for index in page.find("th"))
    assert page.elements[page.find("html")[0]][1]["lang"] == "en"


def test_the_loss_curve_says_its_numbers(page):
    section = page.text_of("section", id="training")
    for words in (
        "300 steps; the loss goes from 2.300 to 0.3067",
        "smoothed over about 13 steps",
        "step 240",
    ):
        assert words in section
    assert "50 of 300 steps" in section
    curves = [attrs["aria-label"] for tag, attrs in page.elements if tag == "svg" and attrs["class"] == "chart curve"]
    assert [label.split(":")[0] for label in curves] == ["Training loss", "accuracy", "log_loss"]


def test_a_long_training_is_drawn_with_a_thousand_points():
    long = [{"event": "step", "step": step, "loss": 1 + (step == 4321)} for step in range(1, 9001)]
    page = Page(render_report(run_record(), [], long))
    drawn = [attrs["d"] for tag, attrs in page.elements if tag == "path"]
    assert len(drawn) == 2
    assert all(path.count(",") <= 1000 for path in drawn)
    heights = [float(point.split(",")[1]) for point in drawn[0].replace("M", "L").split("L")[1:]]
    assert min(heights) < 30  # the one spike is still there


def test_what_plugins_add_stands_under_their_names():
    page = Page(render_report(run_record(), [], [], plugin_sections={"energy": "0.2 kWh\n<b>not bold</b>"}))
    section = page.text_of("section", id="plugins")
    assert "energy 0.2 kWh <b>not bold</b>" in section
    assert not page.find("b")
    assert not Page(render_report(run_record(), [], [])).find("section", id="plugins")
