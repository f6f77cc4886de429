"""Answers without a model, against what a few lines of Python say they are."""

from __future__ import annotations

import re
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.errors import DataError
from gpttasks.example import Example, Part
from gpttasks.plugins import load_plugins
from gpttasks.tasks.baselines import LONGEST_RANDOM_SPAN, Random, passage_of

WORDS = ("red", "green", "blue", "grey")


def answers(name, examples, kind, errors=lambda example, text: None):
    return load_plugins().get("baseline", name)().answers(examples, kind, errors)


def metric(name, **options):
    kind = load_plugins().get("metric", name)
    return kind(kind.Options(**options))


def labelled(*labels, choices=WORDS):
    return [Example(f"prompt {n}", choices=choices, label=label, id=f"id {n}") for n, label in enumerate(labels)]


def with_labels(*rows):
    return [
        Example(
            f"prompt {n}",
            choices=WORDS[: len(row)],
            labels=[place for place in range(len(row)) if row[place]],
            id=f"id {n}",
        )
        for n, row in enumerate(rows)
    ]


def passages(*texts):
    return [Example(["Q: ", Part(text, "passage"), " A:"], id=f"id {n}") for n, text in enumerate(texts)]


class TestMajority:
    @given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
    def test_it_is_the_most_frequent_label_the_first_of_equals(self, labels):
        counts = Counter(labels)
        best = next(label for label in range(4) if counts[label] == max(counts.values()))
        for answer in answers("majority", labelled(*labels), "label"):
            assert (answer.value, answer.text) == (best, WORDS[best])
            assert answer.scores == pytest.approx([counts[label] / len(labels) for label in range(4)])

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
    def test_its_accuracy_is_the_share_of_that_label(self, labels):
        found = [
            metric("accuracy").sample(example, answer)[0]
            for example, answer in zip(labelled(*labels), answers("majority", labelled(*labels), "label"), strict=True)
        ]
        assert sum(found) == max(Counter(labels).values())

    @given(st.lists(st.tuples(st.integers(2, 4), st.integers(0, 3)), min_size=1, max_size=12))
    def test_where_examples_have_different_numbers_of_choices(self, drawn):
        examples = [
            Example("?", choices=WORDS[:size], label=label % size, id=str(n)) for n, (size, label) in enumerate(drawn)
        ]
        counts = Counter(example.label for example in examples)
        for example, answer in zip(examples, answers("majority", examples, "label"), strict=True):
            size = len(example.choices)
            assert counts[answer.value] == max(counts[label] for label in range(size))
            assert len(answer.scores) == size
            assert sum(answer.scores) == pytest.approx(1)
            for name in ("accuracy", "log_loss", "f1"):
                metric(name).sample(example, answer)

    @given(
        st.integers(1, 4).flatmap(
            lambda size: st.lists(st.tuples(*[st.sampled_from([0.0, 1.0])] * size), min_size=1, max_size=12)
        )
    )
    def test_of_several_labels_those_that_most_examples_have(self, rows):
        shares = [statistics.fmean(row[place] for row in rows) for place in range(len(rows[0]))]
        chosen = [place for place, share in enumerate(shares) if share > 0.5]
        for answer in answers("majority", with_labels(*rows), "labels"):
            assert answer.value == chosen
            assert answer.text == ", ".join(WORDS[place] for place in chosen)
            assert answer.scores == pytest.approx(shares)


class TestRandom:
    def test_a_choice_by_the_id_alone(self):
        first, second = answers("random", labelled(0, 1), "label")
        again = Example("another prompt", choices=WORDS, label=3, id="id 0")
        assert answers("random", [again], "label")[0] == first
        assert first.text == WORDS[first.value]
        assert first.scores == second.scores == (0.25, 0.25, 0.25, 0.25)

    def test_choices_are_about_equally_frequent(self):
        counts = Counter(answer.value for answer in answers("random", labelled(*[0] * 4000), "label"))
        assert set(counts) == {0, 1, 2, 3}
        # Five standard deviations of a fair draw; it is the same draw every time.
        assert all(abs(count - 1000) < 5 * (4000 * 0.25 * 0.75) ** 0.5 for count in counts.values())

    def test_each_example_has_its_own_number_of_choices(self):
        examples = [Example("?", choices=WORDS[: 2 + n % 3], label=0, id=str(n)) for n in range(200)]
        for example, answer in zip(examples, answers("random", examples, "label"), strict=True):
            assert 0 <= answer.value < len(example.choices)
            assert answer.scores == (1 / len(example.choices),) * len(example.choices)

    @given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
    def test_a_span_is_whole_words_of_the_passage(self, texts):
        for example, span, text in zip(
            passages(*texts),
            answers("random", passages(*texts), "span"),
            answers("random", passages(*texts), "text"),
            strict=True,
        ):
            passage = passage_of(example)
            assert span.text == text.text == text.value
            if not passage.strip():
                assert (span.value, span.text) == (None, "")
                continue
            start, end = span.value
            assert passage[start:end] == span.text
            words = re.findall(r"\S+", passage)
            inner = re.findall(r"\S+", span.text)
            assert 1 <= len(inner) <= LONGEST_RANDOM_SPAN
            assert any(words[place : place + len(inner)] == inner for place in range(len(words)))

    def test_spans_differ_and_reach_every_word(self):
        examples = passages(*["one two three four five six"] * 300)
        found = answers("random", examples, "text")
        assert {word for answer in found for word in answer.text.split()} == set(examples[0].prompt[1].text.split())
        lengths = Counter(len(answer.text.split()) for answer in found)
        assert set(lengths) == {1, 2, 3, 4, 5}

    def test_a_text_is_one_of_the_choices_where_there_are_any(self):
        (example,) = heard(("show me", "show"))
        assert [answer.value for answer in Random().possible(example, "text")] == ["show me", "show"]
        assert answers("random", [example], "text")[0].value in ("show me", "show")


class TestText:
    def test_copy_is_the_passages_or_the_whole_prompt(self):
        several = Example(["Q: ", Part("one", "passage"), " and ", Part(" two", "passage")])
        assert [answer.value for answer in answers("copy", [several, Example("all of it")], "text")] == [
            "one two",
            "all of it",
        ]
        assert passage_of(several) == "one two"

    @pytest.mark.parametrize(
        ("text", "first"),
        [
            ("One. Two.", "One."),
            ("Really?! Yes.", "Really?!"),
            ("It costs 3.50 today. So what", "It costs 3.50 today."),
            ("A title\nand a text.", "A title"),
            ("\n  One. Two.", "One."),
            ("no end", "no end"),
            ("", ""),
        ],
    )
    def test_the_first_sentence(self, text, first):
        (answer,) = answers("first_sentence", passages(text), "text")
        assert answer.value == answer.text == first

    def test_no_answer(self):
        assert answers("no_answer", passages("x"), "span")[0].value is None
        assert answers("no_answer", passages("x"), "text")[0].value == ""
        assert answers("no_answer", passages("x"), "text")[0].text == ""

    def test_no_answer_is_right_for_what_has_none(self):
        examples = [Example("?", references=references) for references in (("", "unanswerable"), ("1907",))]
        for kind in ("span", "text"):
            found = answers("no_answer", examples, kind)
            scores = [metric("exact_match").sample(one, answer)[0] for one, answer in zip(examples, found, strict=True)]
            assert scores == [1.0, 0.0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_mean(numbers):
    examples = [Example("?", value=number, id=str(n)) for n, number in enumerate(numbers)]
    for answer in answers("mean", examples, "number"):
        assert answer.value == pytest.approx(statistics.fmean(numbers), abs=1e-6)


def heard(*lists, references=("show me flights",)):
    return [Example("?", choices=hypotheses, references=references, id=str(n)) for n, hypotheses in enumerate(lists)]


class TestHypotheses:
    def test_the_first_one(self):
        found = answers("first_hypothesis", heard(("b", "a"), ("c", "c")), "text")
        assert [(answer.value, answer.text) for answer in found] == [("b", "b"), ("c", "c")]

    def test_the_oracle_has_the_fewest_word_errors_the_first_of_equals(self):
        lists = heard(("show flights", "show me flights"), ("show", "me"), ("a b c d", "flights"))
        found = answers("oracle", lists, "text")
        assert [answer.text for answer in found] == ["show me flights", "show", "flights"]

    def test_it_counts_as_the_metric_does(self):
        (example,) = heard(("show me flight", "Show me flights!"))

        def text(name, **options):
            (answer,) = answers("oracle", [example], "text", metric(name, **options).errors)
            return answer.text

        assert text("wer") == "show me flight"
        assert text("wer", normaliser="basic-english") == text("cer", normaliser="basic-english") == "Show me flights!"
        assert text("exact_match") == answers("oracle", [example], "text")[0].text == "show me flight"

    def test_for_characters_it_is_the_one_with_the_fewest_wrong_characters(self):
        (example,) = heard(("xxxxxxxxxxxx me flights", "shows my flights"))
        assert answers("oracle", [example], "text")[0].text == "xxxxxxxxxxxx me flights"
        (answer,) = answers("oracle", [example], "text", metric("cer").errors)
        assert answer.text == "shows my flights"

    @given(st.lists(st.lists(st.text("ab ", max_size=8), min_size=1, max_size=5), min_size=1, max_size=5))
    def test_no_choice_has_fewer_errors_than_the_oracle(self, lists):
        examples = heard(*lists, references=("a b a", "b"))
        for name in ("wer", "cer"):
            scored = metric(name)
            for example, answer in zip(examples, answers("oracle", examples, "text", scored.errors), strict=True):
                fewest = min(scored.errors(example, choice) for choice in example.choices)
                assert scored.errors(example, answer.text) == fewest

    @pytest.mark.parametrize(
        ("name", "kind"), [("first_hypothesis", "text"), ("oracle", "text"), ("majority", "label"), ("random", "label")]
    )
    def test_an_example_without_any(self, name, kind):
        with pytest.raises(DataError, match="example e1 has no choices, so the baseline has nothing to pick"):
            answers(name, [Example("?", references=["a"], id="e1")], kind)

    def test_an_example_without_references(self):
        with pytest.raises(DataError, match="example e1 has no references, so no choice is the best one"):
            answers("oracle", [Example("?", choices=["a"], id="e1")], "text")


CASES = [
    ("majority", "label", labelled(0, 2, 2, 1, 1, 3)),
    ("majority", "labels", with_labels((1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0))),
    ("random", "label", labelled(0, 2, 2, 1)),
    ("random", "span", passages("one two three", "four five", "six")),
    ("random", "text", passages("one two three", "four five", "six")),
    ("no_answer", "span", passages("a", "b")),
    ("no_answer", "text", passages("a", "b")),
    ("copy", "text", passages("a b", "c")),
    ("first_sentence", "text", passages("a. b", "c. d")),
    ("first_hypothesis", "text", heard(("a", "b"), ("c",))),
    ("oracle", "text", heard(("show", "show me"), ("me", "flights"))),
    ("mean", "number", [Example("?", value=number, id=str(number)) for number in (0.1, 0.2, 0.3, 1e9)]),
]


@pytest.mark.parametrize(("name", "kind", "examples"), CASES)
@given(data=st.data())
def test_the_order_of_examples_makes_no_difference(name, kind, examples, data):
    order = data.draw(st.permutations(range(len(examples))))
    straight = answers(name, examples, kind)
    assert answers(name, [examples[place] for place in order], kind) == [straight[place] for place in order]


def test_all_that_is_said_to_be_given_is_tested():
    assert {(name, kind) for name, kind, _ in CASES} == {
        (name, kind)
        for name in load_plugins().names("baseline")
        for kind in load_plugins().get("baseline", name)().gives
    }


@pytest.mark.parametrize(("name", "kind", "examples"), CASES)
def test_what_is_needed_is_all_that_is_read(name, kind, examples):
    assert all(load_plugins().get("baseline", name)().needs <= example.fields for example in examples)
