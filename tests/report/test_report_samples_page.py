"""The samples on the page: the first ones and the worst errors, confusion, calibration."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from report_pages import Page, run_record, sample, samples, score, table_rows

from gpttasks.report import render_report


def test_first_samples_and_worst_errors(page, rows):
    assert table_rows(page, "panel-first") == list(range(1, 201))
    wrong = [index for index, row in enumerate(rows) if row.answer != row.target]
    nats = {index: -math.log(rows[index].scores[rows[index].choices.index(rows[index].target)]) for index in wrong}
    assert len(wrong) > 400
    expected = sorted(wrong, key=lambda index: -nats[index])[:500]
    assert table_rows(page, "panel-worst") == [index + 1 for index in expected]


def test_each_sample_opens_to_all_that_is_known():
    (row,) = samples(1)
    row = replace(
        row,
        input="A  long\n\nreview " + "word " * 500,
        target="positive",
        answer="negative",
        scores=(0.9, 0.1),
        truncated=37,
        shot_ids=("a", "b"),
        group="film 7",
        references=("positive", "good"),
        texts={"exact_match": "read by a metric"},
    )
    page = Page(render_report(run_record(), [row], []))
    texts = [page.raw(index) for index in page.find("p", class_="text")]
    assert texts[:4] == [row.input, "positive", "negative", "good"]
    assert texts[4] == "read by a metric"
    details = page.text(page.find("div", id="panel-first")[0])
    for words in (
        "negative 0.900",
        "positive 0.100",
        "Id id0",
        "Group film 7",
        "37 tokens of the passage",
        "Shots a, b",
        "wrong",
    ):
        assert words in details


def test_confusion_matches_the_samples(page, rows):
    counts = Counter((row.target, row.answer) for row in rows)
    matrix = page.find("table", class_="confusion")[0]
    text = page.text(matrix)
    for right in ("negative", "positive"):
        total = counts[right, "negative"] + counts[right, "positive"]
        recall = f"{100 * counts[right, right] / total:.1f} %"
        assert f"{right} {counts[right, 'negative']} {counts[right, 'positive']} {total} {recall}" in text


def test_calibration_matches_the_samples(page, rows):
    section = page.text_of("section", id="calibration")
    counts = Counter(min(14, math.ceil(max(row.scores) * 15) - 1) for row in rows)
    for bin_, count in counts.items():
        inside = [row for row in rows if min(14, math.ceil(max(row.scores) * 15) - 1) == bin_]
        right = sum(row.answer == row.target for row in inside) / count
        mean = sum(max(row.scores) for row in inside) / count
        assert f"{bin_ / 15:.3f} to {(bin_ + 1) / 15:.3f} {count} {mean:.3f} {right:.3f}" in section


def test_more_than_twenty_classes_give_the_most_confused_pairs():
    words = [f"class{index}" for index in range(30)]
    rows = list(samples(400, words))
    rows[:40] = [replace(row, target="class3", answer="class9") for row in rows[:40]]
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
        replace(row, choices=(f"{index} a", f"{index} b"), answer=f"{index} a", target=f"{index} b")
        for index, row in enumerate(samples(5))
    ]
    page = Page(render_report(run_record(), rows, []))
    assert not page.find("section", id="confusion")
    assert page.find("section", id="calibration")


def test_samples_without_choices_still_show_their_errors():
    rows = [replace(row, choices=()) for row in samples(50)]
    page = Page(render_report(run_record(), rows, []))
    wrong = [(-max(row.scores), index) for index, row in enumerate(rows, 1) if row.answer != row.target]
    assert table_rows(page, "panel-worst") == [index for _, index in sorted(wrong)]
    assert "negative" in page.text(page.find("table", class_="confusion")[0])


def test_a_text_that_is_read_shows_its_nats():
    rows = [
        sample(id=str(index), input="text", answer_value=nats, scores=(nats, 100.0, 410.0))
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
    rows = [
        sample(input="a", answer_value="x", answer=" Paris ", references=("Paris", "paris")),
        sample(input="b", answer_value="x", answer="Rome", references=("Paris",)),
        sample(input="c", answer_value="x", answer="Rome"),
    ]
    page = Page(render_report(run_record(), rows, []))
    assert table_rows(page, "panel-worst") == [2]


def test_very_long_texts_are_shown_by_their_ends():
    text = "start " + "x" * 500_000 + " end"
    (row,) = samples(1)
    html = render_report(run_record(), [replace(row, input=text)], [])
    assert len(html) < 150_000
    assert "start x" in html
    assert "x end" in html
    assert "480,010 characters are left out here" in html
