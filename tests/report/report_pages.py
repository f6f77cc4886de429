"""Helpers for the tests of the report: its page as a tree of elements, and a run to render."""

from __future__ import annotations

import random
from dataclasses import replace
from html.parser import HTMLParser

from gpttasks import Answer, Example
from gpttasks.records.samples import sample_of

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
        """The text of an element, with its pieces separated by one space."""
        return " ".join(" ".join(self.texts.get(index, ())).split())

    def raw(self, index):
        """The text of an element, unchanged."""
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
            "seen": 600,
            "items": 360,
            "examples": 360,
            "examples_seen": 360,
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
        yield sample(
            id=f"id{index}",
            input=f"review number {index}\nSentiment:",
            answer_value=answer,
            answer=words[answer],
            choices=tuple(words),
            scores=tuple(scores),
            target=draw.choice(words),
        )


def sample(**more):
    """A sample with these fields; the others are empty."""
    example = Example("input", id="id", input_digest="00")
    return replace(sample_of(example, Answer(None), set="test"), **more)


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
