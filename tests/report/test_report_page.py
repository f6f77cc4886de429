"""The page as a whole: its structure, what it says, and that nothing in a run can break out of it."""

from __future__ import annotations

import base64
import hashlib
import math
import random
import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpttasks.report import render_report

VOID = {"meta", "link", "input", "br", "hr", "img"}
RECIPE = """
name: reviews
backbone: {use: hf, path: openai-community/gpt2}
task: {use: classification}
head: {use: choice}
adapt: {use: lora, rank: 8}
score: {split: test}
"""


class Page(HTMLParser):
    """The elements of a page; fails on tags that do not close in order."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts = [], [], {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, index in self.open:
            self.texts.setdefault(index, []).append(data)

    def find(self, tag, **wanted):
        wanted = {name.rstrip("_"): value for name, value in wanted.items()}
        return [
            index
            for index, (name, attrs) in enumerate(self.elements)
            if name == tag and all(attrs.get(key) == value for key, value in wanted.items())
        ]

    def text(self, index):
        """The text of an element, pieces apart by one space."""
        return " ".join(" ".join(self.texts.get(index, ())).split())

    def raw(self, index):
        """The text of an element as it stands."""
        return "".join(self.texts.get(index, ()))

    def text_of(self, tag, **wanted):
        (index,) = self.find(tag, **wanted)
        return self.text(index)


def score(value=0.8714, low=0.8457, high=0.8957, **more):
    return {
        "value": value,
        "low": low,
        "high": high,
        "level": 0.95,
        "n": 700,
        "groups": None,
        "scale": [0.0, 1.0],
        "higher_is_better": True,
        "split": "test",
        "measure": "task:classification|n:700|metric:accuracy",
        "way": "backbone:gpt2|adapt:lora",
        "reason": None,
    } | more


def run_record(**more):
    return {
        "schema": "gpttasks.run/1",
        "state": "finished",
        "name": "reviews",
        "folder": "runs/reviews-abc",
        "digest": "ab" * 32,
        "seed": 1,
        "backbone": {"name": "hf", "options": {"path": "openai-community/gpt2"}},
        "scores": {"accuracy": score()},
        "samples": {"train": 360, "test": 700, "truncated": 12, "skipped": 0, "shots_dropped": 0, "near_ties": 3},
        "training": {
            "step": 300,
            "tokens": 123_456,
            "seconds": 61.7,
            "loss": 0.31,
            "best_step": 240,
            "best_value": 0.86,
        },
        "time": {"training": 61.7, "scoring": 20.0, "seconds": 85.2},
        "memory": {"process": 1_332_000_000},
        "warnings": ["12 of 700 scored examples were cut"],
        "versions": {"python": "3.11.7", "torch": "2.10.0"},
    } | more


def events(count=300):
    for step in range(1, count + 1):
        yield {
            "event": "step",
            "step": step,
            "done": step / count,
            "loss": 2 / step + 0.3,
            "learning_rate": 2e-4,
            "gradient_norm": None,
            "tokens": step * 400,
            "seconds": step * 0.2,
        }
        if step % 60 == 0:
            yield {"event": "validation", "step": step, "scores": {"accuracy": 0.8 + step / 10_000, "log_loss": 0.4}}


def samples(count, words=("negative", "positive"), seed=0):
    """Random classifications with probabilities."""
    draw = random.Random(seed)
    for index in range(count):
        weights = [draw.random() for _ in words]
        scores = [weight / sum(weights) for weight in weights]
        answer = scores.index(max(scores))
        yield {
            "set": "test",
            "id": f"id{index}",
            "group": None,
            "input_digest": "00",
            "input": f"review number {index}\nSentiment:",
            "answer": str(answer),
            "text": words[answer],
            "references": [],
            "choices": list(words),
            "scores": scores,
            "target": draw.choice(words),
            "truncated": 0,
            "shots": 0,
        }


def table_rows(page, panel):
    """The sample numbers in a tab panel, in order."""
    start, end = page.find("div", id=panel)[0], len(page.elements)
    if panel == "panel-first":
        end = page.find("div", id="panel-worst")[0]
    found = []
    for index in range(start, end):
        tag, attrs = page.elements[index]
        if tag == "tr" and "data-wrong" in attrs:
            found.append(int(page.text(index + 1).replace(",", "")))
    return found


@pytest.fixture(scope="module")
def rows():
    return list(samples(1000))


@pytest.fixture(scope="module")
def html(rows):
    return render_report(run_record(), rows, list(events()), recipe=RECIPE)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


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


def test_first_samples_and_worst_errors(page, rows):
    assert table_rows(page, "panel-first") == list(range(1, 201))
    wrong = [index for index, row in enumerate(rows) if row["text"] != row["target"]]
    nats = {
        index: -math.log(rows[index]["scores"][rows[index]["choices"].index(rows[index]["target"])]) for index in wrong
    }
    assert len(wrong) > 400
    expected = sorted(wrong, key=lambda index: -nats[index])[:500]
    assert table_rows(page, "panel-worst") == [index + 1 for index in expected]


def test_each_sample_opens_to_all_that_is_known():
    (row,) = samples(1)
    row |= {
        "input": "A  long\n\nreview " + "word " * 500,
        "target": "positive",
        "text": "negative",
        "scores": [0.9, 0.1],
    }
    row |= {"truncated": 37, "shots": 2, "group": "film 7", "references": ["positive", "good"]}
    page = Page(render_report(run_record(), [row], []))
    texts = [page.raw(index) for index in page.find("p", class_="text")]
    assert texts[:4] == [row["input"], "positive", "negative", "good"]
    details = page.text(page.find("div", id="panel-first")[0])
    for words in (
        "negative 0.900",
        "positive 0.100",
        "Id id0",
        "Group film 7",
        "37 tokens of the passage",
        "Shots 2",
        "wrong",
    ):
        assert words in details


def test_confusion_matches_the_samples(page, rows):
    counts = Counter((row["target"], row["text"]) for row in rows)
    matrix = page.find("table", class_="confusion")[0]
    text = page.text(matrix)
    for right in ("negative", "positive"):
        total = counts[right, "negative"] + counts[right, "positive"]
        recall = f"{100 * counts[right, right] / total:.1f} %"
        assert f"{right} {counts[right, 'negative']} {counts[right, 'positive']} {total} {recall}" in text


def test_calibration_matches_the_samples(page, rows):
    section = page.text_of("section", id="calibration")
    counts = Counter(min(14, math.ceil(max(row["scores"]) * 15) - 1) for row in rows)
    for bin_, count in counts.items():
        inside = [row for row in rows if min(14, math.ceil(max(row["scores"]) * 15) - 1) == bin_]
        right = sum(row["text"] == row["target"] for row in inside) / count
        mean = sum(max(row["scores"]) for row in inside) / count
        assert f"{bin_ / 15:.3f} to {(bin_ + 1) / 15:.3f} {count} {mean:.3f} {right:.3f}" in section


def test_more_than_twenty_classes_give_the_most_confused_pairs():
    words = [f"class{index}" for index in range(30)]
    rows = list(samples(400, words))
    for row in rows[:40]:
        row |= {"target": "class3", "text": "class9"}
    page = Page(render_report(run_record(), rows, []))
    section = page.find("section", id="confusion")[0]
    assert "There are 30 classes" in page.text(section)
    assert not page.find("table", class_="confusion")
    end = page.find("section", id="calibration")[0]
    pairs = [page.text(index) for index in page.find("tr") if section < index < end]
    assert len(pairs) == 1 + 20
    assert pairs[1].startswith("class3 class9")


def test_choices_of_their_own_have_no_confusion_but_calibration():
    rows = [
        row | {"choices": [f"{index} a", f"{index} b"], "text": f"{index} a", "target": f"{index} b"}
        for index, row in enumerate(samples(5))
    ]
    page = Page(render_report(run_record(), rows, []))
    assert not page.find("section", id="confusion")
    assert page.find("section", id="calibration")


def test_samples_without_choices_still_show_their_errors():
    rows = [{key: value for key, value in row.items() if key != "choices"} for row in samples(50)]
    page = Page(render_report(run_record(), rows, []))
    wrong = [(-max(row["scores"]), index) for index, row in enumerate(rows, 1) if row["text"] != row["target"]]
    assert table_rows(page, "panel-worst") == [index for _, index in sorted(wrong)]
    assert "negative" in page.text(page.find("table", class_="confusion")[0])


def test_a_text_that_is_read_shows_its_nats():
    rows = [
        {
            "set": "test",
            "id": str(index),
            "input": "text",
            "answer": str(nats),
            "text": "",
            "scores": [nats, 100.0, 410.0],
            "target": None,
        }
        for index, nats in enumerate((250.5, 420.25, 310.125))
    ]
    page = Page(render_report(run_record(scores={"perplexity": score(12.3, 11.9, 12.8, scale=[1, None])}), rows, []))
    assert table_rows(page, "panel-worst") == [2, 3, 1]
    assert "Hardest texts (3)" in page.text_of("button", id="tab-worst")
    text = page.text_of("div", id="panel-first")
    for words in ("Nats per token", "2.505", "250.5", "Bytes 410"):
        assert words in text
    assert not page.find("input", id="only-errors")
    assert not page.find("section", id="confusion")


def test_generated_text_is_wrong_unless_it_is_one_of_the_references():
    base = {"answer": '"x"', "scores": [], "choices": [], "target": None}
    rows = [
        base | {"input": "a", "text": " Paris ", "references": ["Paris", "paris"]},
        base | {"input": "b", "text": "Rome", "references": ["Paris"]},
        base | {"input": "c", "text": "Rome", "references": []},
    ]
    page = Page(render_report(run_record(), rows, []))
    assert table_rows(page, "panel-worst") == [2]


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


def test_very_long_texts_are_shown_by_their_ends():
    text = "start " + "x" * 500_000 + " end"
    (row,) = samples(1)
    html = render_report(run_record(), [row | {"input": text}], [])
    assert len(html) < 150_000
    assert "start x" in html
    assert "x end" in html
    assert "480,010 characters are left out here" in html


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
    "column", ["set", "id", "input", "answer", "text", "references", "choices", "scores", "target", "truncated"]
)
@pytest.mark.parametrize("bad", ["missing", None, float("nan"), [None], -1])
def test_an_odd_column_is_no_crash(column, bad):
    rows = [dict(row) for row in samples(3)]
    for row in rows:
        if bad == "missing":
            del row[column]
        else:
            row[column] = bad
    Page(render_report(run_record(), rows, []))


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
    rows = list(samples(3, words))
    for row in rows:
        row |= {"id": text(), "group": text(), "set": text(), "input": text(), "references": [text()]}
    run = run_record(name=text(), state=text(), error=text(), warnings=[text()], folder=text(), digest=text())
    run |= {
        "scores": {text(): score(measure=text(), way=text(), reason=text(), split=text())},
        "versions": {text(): text()},
    }
    run |= {"data": {text(): [text()]}, text(): text(), "backbone": {"name": text()}}
    log = [*events(3), {"event": "validation", "step": 2, "scores": {text(): 0.5}}]
    html = render_report(run, rows, log, recipe=text())
    html.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]", html)
    page = Page(html)
    assert len(page.find("script")) == len(page.find("style")) == len(page.find("title")) == len(page.find("main")) == 1
    assert not page.find("img")
    assert not any(name.startswith("on") or name == "autofocus" for _, attrs in page.elements for name in attrs)


def test_hostile_text_is_shown_as_it_is():
    (row,) = samples(1)
    for text in HOSTILE:
        page = Page(render_report(run_record(), [row | {"input": text}], []))
        shown = page.raw(page.find("p", class_="text")[0])
        visible = "".join(char for char in text if char >= " " and char not in "\x7f\x85\ud800\ufffe")
        assert "".join(char for char in shown if char not in "\u2400\u2407\u241b\u2421\ufffd") == visible
        assert page.elements[page.find("p", class_="text")[0]][1]["dir"] == "auto"
