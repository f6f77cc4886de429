"""Exact match and token F1 against a naive reading of SQuAD's rules, and those rules by hand."""

import re

import pytest
from random_texts import corpora, value

from gpttasks.metrics.text import ExactMatch, TokenF1, squad_normalised, words_normalised

NORMALISATIONS = ("words", "squad", "lower", "none")
SQUAD = [metric(metric.Options(normalisation="squad")) for metric in (ExactMatch, TokenF1)]


def naive_normalised(text, normalisation):
    text = text.strip()
    if normalisation == "none":
        return text
    text = text.lower()
    if normalisation == "lower":
        return text
    if normalisation == "words":
        return " ".join(naive_word(word) for word in text.split())
    text = "".join(character for character in text if not (character.isascii() and re.match(r"[^\w\s]|_", character)))
    pieces = [" " if piece in ("a", "an", "the") else piece for piece in re.split(r"(\W)", text)]
    return re.sub(r"\s+", " ", "".join(pieces)).strip()


def naive_word(word):
    bare = word
    while bare and bare[-1] in ".,;:":
        bare = bare[:-1]
    return bare if bare and (bare[-1].isalnum() or bare[-1] == "_") else word


def naive_references(references, normalisation):
    normalised = [naive_normalised(reference, normalisation) for reference in references]
    if normalisation == "squad" and any(normalised):
        kept = []
        for raw, reference in zip(references, normalised, strict=True):
            if reference != "" or raw.strip() == "":  # an empty one says that there is no answer
                kept.append(reference)
        return kept
    return normalised


def naive_f1(said, reference):
    said, left, matched = said.split(), reference.split(), 0
    length = len(left)
    if not said or not left:
        return int(said == left)
    for token in said:
        if token in left:
            left.remove(token)
            matched += 1
    precision, recall = matched / len(said), matched / length
    return 2 * precision * recall / (precision + recall) if matched else 0


def test_exact_match_agrees_with_a_naive_one():
    for case, (answers, references) in enumerate(corpora(longest=3)):
        how = NORMALISATIONS[case // 3 % 4]
        hits = [
            any(naive_normalised(said, how) == reference for reference in naive_references(row, how))
            for said, row in zip(answers, references, strict=True)
        ]
        metric = ExactMatch(ExactMatch.Options(normalisation=how))
        assert value(metric, answers, references) == pytest.approx(sum(hits) / len(hits), abs=1e-12)


def test_token_f1_agrees_with_a_naive_one():
    for case, (answers, references) in enumerate(corpora()):
        how = NORMALISATIONS[case // 3 % 4]
        best = [
            max(naive_f1(naive_normalised(said, how), reference) for reference in naive_references(row, how))
            for said, row in zip(answers, references, strict=True)
        ]
        metric = TokenF1(TokenF1.Options(normalisation=how))
        assert value(metric, answers, references) == pytest.approx(sum(best) / len(best), abs=1e-12)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The Cat!", "cat"),
        ("  a  cat\tand\nan\u00a0owl ", "cat and owl"),
        ("U.S.A.", "usa"),
        ("A. A. Milne", "milne"),  # initials become articles
        ("don't", "dont"),
        ("state-of-the-art", "stateoftheart"),  # punctuation goes first, so that no article is left
        ("a–the–b", "– –b"),  # a dash beyond ASCII stays, and is no part of a word
        ("“cat”", "“cat”"),
        ("Anthem theatre", "anthem theatre"),
        ("$1,000.50", "100050"),
        ("la théorie", "la théorie"),
        ("السلام، عليكم", "السلام، عليكم"),
        ("!?", ""),
        ("the", ""),
    ],
)
def test_squad_normalisation(text, wanted):
    assert squad_normalised(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  The  Cat\tsat.\n", "the cat sat"),
        ("Paris, France.", "paris france"),
        ("-5", "-5"),
        ("5.", "5"),
        ("5.0", "5.0"),
        (".5", ".5"),
        ("1/2", "1/2"),
        ("10:30", "10:30"),
        ("C++.", "c++."),  # a sign before the full stop: it is left as it is
        ("A", "a"),
        ("...", "..."),
        ("a b. c", "a b c"),
    ],
)
def test_normalisation_by_words_keeps_digits_signs_and_single_letters(text, wanted):
    assert words_normalised(text) == wanted


@pytest.mark.parametrize("metric", [ExactMatch(), TokenF1()], ids=lambda metric: metric.name)
@pytest.mark.parametrize(
    ("said", "reference", "wanted"),
    [
        ("50", "5.0", 0),
        ("5", "-5", 0),
        ("C", "C++", 0),
        ("", "A", 0),
        ("an", "A", 0),
        ("a", "A", 1),
        ("Paris.", "paris ", 1),
    ],
)
def test_by_default_only_what_means_the_same_is_equal(metric, said, reference, wanted):
    assert value(metric, [said], [[reference]]) == wanted


@pytest.mark.parametrize("metric", SQUAD, ids=lambda metric: metric.name)
@pytest.mark.parametrize(
    ("said", "references", "wanted"),
    [
        ("", [""], 1.0),  # unanswerable, and said so
        (" The. ", [""], 1.0),
        ("Paris", [""], 0.0),
        ("", ["Paris"], 0.0),
        ("", ["The", "Paris"], 0.0),  # what normalisation leaves nothing of is no reference beside another
        ("a", ["The", "An"], 1.0),
        ("the PARIS!", ["London", "Paris"], 1.0),
    ],
)
def test_answers_that_are_or_should_be_empty(metric, said, references, wanted):
    assert value(metric, [said], [references]) == wanted


def test_f1_counts_tokens_as_often_as_they_occur_and_takes_the_best_reference():
    assert value(TokenF1(), ["cat cat cat dog"], [["cat cat bird"]]) == pytest.approx(4 / 7)
    assert value(TokenF1(), ["red cat"], [["dog", "red", "red big cat"]]) == pytest.approx(0.8)


def test_without_normalisation_case_counts_but_no_space_at_the_ends():
    strict, lower = (ExactMatch(ExactMatch.Options(normalisation=how)) for how in ("none", "lower"))
    assert [value(strict, [said], [["Paris"]]) for said in ("Paris", "paris", " Paris")] == [1, 0, 1]
    assert [value(lower, [said], [["Paris"]]) for said in ("Paris", "paris", " Paris")] == [1, 1, 1]
