"""Templates: what they render, what they mark as passages, and what they refuse."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gpttasks.data.rows import Row
from gpttasks.errors import DataError
from gpttasks.example import Part, prompt_text
from gpttasks.tasks.template import Template
from gpttasks.tasks.template_options import ListColumn, TemplateText, TextList

PRIVATE = "".join(chr(code) for code in range(0xF0000, 0xF0006))


def test_passage_becomes_its_own_part():
    prompt = Template("Review: {{ text | passage }}\nSentiment:").render({"text": "fine"})
    assert prompt == (Part("Review: "), Part("fine", "passage"), Part("\nSentiment:"))


@pytest.mark.parametrize(
    ("call", "keep"), [("passage", "start"), ("passage('end')", "end"), ("passage(keep='end')", "end")]
)
def test_a_passage_says_which_side_is_kept(call, keep):
    template = Template(f"{{{{ a | {call} }}}} {{{{ b | passage(keep='start') }}}}")
    row = {"a": "one two", "b": PRIVATE}
    assert template.render(row) == (Part("one two", "passage", keep=keep), Part(" "), Part(PRIVATE, "passage"))
    assert template.render_text(row) == f"one two {PRIVATE}"


def test_the_side_may_come_from_the_row_and_must_exist():
    template = Template("{{ a | passage(keep=side) }}")
    assert template.render({"a": "x", "side": "end"}) == (Part("x", "passage", keep="end"),)
    with pytest.raises(DataError, match="got passage\\(keep='left'\\), expected keep='start' or keep='end'"):
        template.render({"a": "x", "side": "left"})


def test_without_passage_the_prompt_is_one_fixed_part():
    assert Template("{{ a }}-{{ b }}").render({"a": 1, "b": "x"}) == (Part("1-x"),)


@given(st.text(), st.text(), st.text())
@example(PRIVATE, PRIVATE[::-1], "\U000f0001\U000f0000")
def test_parts_join_to_what_plain_formatting_gives(first, second, third):
    row = {"a": first, "b": second, "c": [third]}
    template = Template("1 {{ a | passage }}2 {{ b }}{{ c[0] | passage }}3\n")
    prompt = template.render(row)
    assert prompt_text(prompt) == template.render_text(row) == f"1 {first}2 {second}{third}3\n"
    assert [part.text for part in prompt if part.kind == "passage"] == [first, third]


def test_marks_in_the_template_itself_are_text():
    prompt = Template(PRIVATE + "{{ a | passage }}").render({"a": "x"})
    assert prompt == (Part(PRIVATE), Part("x", "passage"))


def test_passages_in_a_loop():
    prompt = Template("{% for t in texts %}[{{ t | passage }}]{% endfor %}").render({"texts": ["a", "b"]})
    assert [(part.text, part.kind) for part in prompt] == [
        ("[", "fixed"),
        ("a", "passage"),
        ("][", "fixed"),
        ("b", "passage"),
        ("]", "fixed"),
    ]


ROW = {"q": "is </s> text?", "role": "user"}


def meant(source, row=ROW):
    """For each part of a prompt its text, and the pieces in which special tokens are meant."""
    prompt = Template(source).render(row)
    assert prompt_text(prompt) == Template(source).render_text(row)
    return [(part.text, [part.text[first:last] for first, last in part.special]) for part in prompt]


@pytest.mark.parametrize(
    ("source", "text", "own"),
    [
        ("Q: {{ q }}\nA:", "Q: is </s> text?\nA:", []),
        ("<s>{{ q }}</s>\n", "<s>is </s> text?</s>\n", ["<s>", "</s>\n"]),
        ("{{ '<s>' }}{{ q }}", "<s>is </s> text?", ["<s>"]),
        ("{{ '<s>' ~ q }}", "<s>is </s> text?", []),
        ("{% if q %}[INST]{{ q }}{% endif %}", "[INST]is </s> text?", ["[INST]"]),
        ("{% for one in [q] %}<s>{{ one }}{% endfor %}", "<s>is </s> text?", ["<s>"]),
        ("{% macro turn(it) %}<|{{ role }}|>{{ it }}<|end|>{% endmacro %}{{ turn(q) }}", None, ["<|", "|>", "<|end|>"]),
        ("{% raw %}<s>{{ q }}{% endraw %}", "<s>{{ q }}", ["<s>{{ q }}"]),
        ("{% set a %}<s>{% endset %}{{ a }}{{ a | length }}", "<s>3", []),
        ("{% filter upper %}<s>{{ q }}{% endfilter %}", "<S>IS </S> TEXT?", []),
    ],
)
def test_special_tokens_are_meant_in_the_templates_own_text(source, text, own):
    text = "<|user|>is </s> text?<|end|>" if text is None else text
    assert meant(source) == [(text, own)]


def test_special_tokens_beside_passages():
    parts = meant("<s>Text: {{ q | passage }}</s>{{ role }}")
    assert parts == [("<s>Text: ", ["<s>Text: "]), ("is </s> text?", []), ("</s>user", ["</s>"])]


@given(st.text("<s/>|ab\n "))
def test_no_value_of_a_row_is_the_templates_own_text(value):
    ((text, own),) = meant("<s>{{ q }}</s>", {"q": value})
    assert (text, own) == (f"<s>{value}</s>", ["<s>", "</s>"])


def test_characters_that_are_no_text_are_refused_where_they_would_be_marks():
    with pytest.raises(DataError, match="U\\+FDD1"):
        Template("<s>{{ q }}").render({"q": "\ufdd1"})
    with pytest.raises(ValueError, match="U\\+FDD1"):
        Template("<s>{{ q }}\ufdd1")
    assert Template("{{ q }}").render_text({"q": "\ufdd1"}) == "\ufdd1"


@pytest.mark.parametrize("source", ["{{ q }}", "{{ q | passage }}", "Q: {{ q | passage }}\nA:"])
def test_characters_of_the_data_do_not_mark_special_tokens(source):
    spelt = "\ufdd1</s>\ufdd2"
    assert [own for text, own in meant(source, {"q": spelt})] == [[]] * len(meant(source, {"q": spelt}))
    assert spelt in Template(source).render_text({"q": spelt})


def test_nothing_is_escaped_and_the_last_newline_stays():
    assert Template("{{ a }}\n").render_text({"a": "<b> & 'c'"}) == "<b> & 'c'\n"


def test_columns_and_required_columns():
    template = Template(
        "{% if title %}{{ title }}: {% endif %}{{ text | default('x') }}{{ body }}{% set y = 1 %}{{ y }}"
    )
    assert template.columns == {"title", "text", "body"}
    assert template.required == {"body"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\n{{ text", "line 2 of the template"),
        ("{% if x %}", "line 1 of the template"),
        ("{{ text | pasage }}", "did you mean 'passage'?"),
        ("{{ text | random }}", "No filter named 'random'"),
        ("{% include 'x' %}", "cannot include"),
        ("{{ text | passage | upper }}", "must come last"),
        ("{{ (text | passage) ~ 'x' }}", "must come last"),
        ("{% filter passage %}x{% endfilter %}", "must come last"),
        ("{{ text | passage(keep='left') }}", "expected keep='start' or keep='end'"),
        ("{{ text | passage(cut='end') }}", "passage takes only the argument keep"),
        ("{{ text | passage('end', keep='end') }}", "passage takes only the argument keep"),
    ],
)
def test_sources_that_are_no_template(source, message):
    with pytest.raises(ValueError, match=r"template|passage|filter") as caught:
        Template(source)
    assert message in str(caught.value)


def test_a_missing_column_is_named_with_the_known_ones():
    row = Row({"text": "a", "label": 1}, file="/data/train.csv", line=17)
    with pytest.raises(DataError) as caught:
        Template("{{ txt }}").render(row)
    problem = caught.value.problems[0]
    assert (problem.file, problem.line) == ("/data/train.csv", 17)
    assert "'txt'" in problem.message
    assert "'text', 'label'" in problem.message
    assert problem.hint == "did you mean 'text'?"


def test_an_optional_column_may_be_missing():
    assert Template("{{ title | default('-') }}").render_text({"text": "a"}) == "-"


@pytest.mark.parametrize(
    "source",
    [
        "{{ a.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ a.append(1) }}",
        "{{ range(10 ** 9) }}",
        "{{ 1 // 0 }}",
        "{{ a.nothing }}",
        "{{ none_at_all }}",
        "{{ a | passage }}{% macro m(x) %}{{ x | passage }}{% endmacro %}{{ m(m('x')) }}",
    ],
)
def test_what_fails_while_rendering_is_a_data_error_at_the_row(source):
    with pytest.raises(DataError, match="row 3 of test"):
        Template(source).render(Row({"a": ["x"], "none_at_all": None}, place="row 3 of test"))


def test_null_is_refused_in_a_passage_too():
    with pytest.raises(DataError, match="null"):
        Template("{{ a | passage }}").render({"a": None})


def test_a_filter_that_cuts_a_passage_is_refused():
    source = "{% set p %}{{ a | passage }}{% endset %}{{ p | truncate(5, true, '') }}"
    with pytest.raises(DataError, match="damaged"):
        Template(source).render({"a": "a long text"})


VALUES = {
    "tags": ["a", "b"],
    "map": {"en": "x"},
    "flag": True,
    "audio": b"\xff\xfe",
    "missing": float("nan"),
    "flags": [True],
    "array": np.array([1, 2]),
    "yes": np.bool_(True),
    "decimal": decimal.Decimal("nan"),
}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ tags }}", r"'tags' is a list, \['a', 'b'\]; write \{\{ tags \| join\(' '\) \}\}"),
        ("{{ tags | passage }}", "'tags' is a list"),
        ("{{ tags | upper }}", "'tags' is a list"),
        ("{{ 'x' ~ tags }}", "'tags' is a list"),
        ("{{ map }}", r"'map' is a mapping with the keys en; write \{\{ map.en \}\}"),
        ("{{ flag }}", "'flag' is the boolean true; write {{ 'yes' if flag else 'no' }}".replace("{", r"\{")),
        ("{{ flag | string }}", "'flag' is the boolean true"),
        ("{{ flags | join(' ') }}", "the boolean true"),
        ("{{ audio }}", r"'audio' is 2 bytes that are not UTF-8 text; mark audio and images with \{\{ audio \| media"),
        ("{{ missing }}", "'missing' is NaN"),
        ("{{ tags | map('upper') }}", "a value is of the type generator"),
        ("{{ '%s' % tags }}", "'tags' is a list"),
        ("{{ 'a %s %s' % ('x', flag) }}", "'flag' is the boolean true"),
        ("{{ '%d' % flag }}", "'flag' is the boolean true"),
        ("{{ '%s' % map }}", "'map' is a mapping"),
        ("{{ '%(a)s' % {'a': tags} }}", "'tags' is a list"),
        ("{{ '%s' | format(tags) }}", "'tags' is a list"),
        ("{{ '{}'.format(tags) }}", "'tags' is a list"),
        ("{{ '{!r}'.format(map) }}", "'map' is a mapping"),
        ("{{ '{a}'.format(a=flag) }}", "'flag' is the boolean true"),
        ("{{ '{flag}'.format_map({'flag': flag}) }}", "'flag' is the boolean true"),
        ("{{ ['%s'] | map('format', tags) | join }}", "'tags' is a list"),
        ("{{ 'a b' | replace('b', tags) }}", "'tags' is a list"),
        ("{{ ['a', 'b'] | join(tags) }}", "'tags' is a list"),
        ("{{ [map] | join(attribute='en') }}{{ [{'x': tags}] | join(attribute='x') }}", "'tags' is a list"),
        ("{{ 'a' ~ true }}", "a value is the boolean true"),
        ("{{ tags | urlencode }}", "'tags' is a list"),
        ("{{ array }}", r"is a list, \[1, 2\]"),
        ("{{ array[0] == 1 }}{{ yes }}", "the boolean true"),
        ("{{ decimal }}", "'decimal' is NaN"),
        ("{{ map.keys }}", "a value is of the type builtin_function_or_method"),
        ("{{ map.keys() }}", "a value is of the type dict_keys"),
    ],
)
def test_a_value_that_is_no_text_is_refused(source, message):
    with pytest.raises(DataError, match=message) as error:
        Template(source).render(Row(VALUES, place="row 3 of test"))
    assert "row 3 of test: line 1 of the template shows text" in str(error.value)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ raw }}", "A café."),
        ("{{ raw | passage }}", "A café."),
        ("{{ raw | upper }}", "A CAFÉ."),
        ("{{ raw ~ '!' }}", "A café.!"),
        ("{{ raws | join(' ') }}", "é é"),
        ("{{ tags | join(', ') }}", "a, b"),
        ("{{ rows | join(', ', attribute='n') }}", "1, 2"),
        ("{{ tags | length }} {{ 1.5 }} {{ number }}", "2 1.5 3"),
        ("{{ 'yes' if flag else 'no' }}", "yes"),
        ("{{ day }}", "2026-03-01"),
        ("{{ tags | map('upper') | join }}", "AB"),
        ("{{ tags | tojson }}", '["a", "b"]'),
        ("{{ mapping | tojson }}", '{"flag": true, "what": "it\'s <é>"}'),
        ("{{ raw | length }} {{ raw[:4] }} {{ raw | first }}", "7 A ca A"),
        ("{{ 'yes' if raw == 'A café.' else 'no' }}", "yes"),
        ("{{ '%s, %.1f' % (raw, number) }}", "A café., 3.0"),
        ("{{ '%(what)s' % mapping }}", "it's <é>"),
        ("{{ '%s' | format(raw) }} {{ '{} {n}'.format(raw, n=number) }}", "A café. A café. 3"),
        ("{{ '{0[1]}'.format(tags) }} {{ '{what}'.format_map(mapping) }}", "b it's <é>"),
        ("{{ raw | replace('café', tags[0]) | truncate(3, true, '', 0) }}", "A a"),
    ],
)
def test_text_numbers_and_dates_are_shown_and_bytes_are_decoded(source, text):
    row = {
        "raw": "A café.".encode(),
        "raws": ["é".encode()] * 2,
        "tags": ["a", "b"],
        "rows": [{"n": 1}, {"n": 2}],
        "number": 3,
        "flag": True,
        "mapping": {"what": "it's <é>", "flag": True},
        "day": datetime.date(2026, 3, 1),
    }
    assert prompt_text(Template(source).render(row)) == text


@pytest.mark.parametrize("name", ["pprint", "random", "xmlattr"])
def test_filters_for_consoles_and_html_are_not_there(name):
    with pytest.raises(ValueError, match=f"No filter named '{name}'"):
        Template("{{ a | " + name + " }}")


class Model(BaseModel):
    prompt: TemplateText
    references: ListColumn = "refs"


def test_option_types_check_the_source():
    assert Model(prompt="{{ a }}", references=["{{ b }}"]).references == ["{{ b }}"]
    with pytest.raises(ValidationError, match="line 1 of the template"):
        Model(prompt="{{ a")
    with pytest.raises(ValidationError, match="line 1 of the template"):
        Model(prompt="a", references=["{{"])


def test_text_list_from_a_column_or_from_templates():
    row = Row({"refs": ["a", 2], "one": "x", "none": None, "bad": [{"a": 1}]}, place="row 1 of test")
    assert TextList("refs").render(row) == ("a", "2")
    assert TextList("one").render(row) == ("x",)
    assert TextList("none").render(row) == ()
    assert TextList(["{{ one }}!", "b"]).render(row) == ("x!", "b")
    assert TextList(["{{ one }}!", "{{ two }}"]).columns == {"one", "two"}
    assert TextList("refs").columns == {"refs"}
    with pytest.raises(DataError, match=r"row 1 of test.*'bad' holds a mapping with the keys a, expected text"):
        TextList("bad").render(row)
    with pytest.raises(DataError, match=r"no column 'ref'.*did you mean 'refs'"):
        TextList("ref").render(row)
