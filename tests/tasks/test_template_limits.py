"""Templates that would take too long or make too much: refused with their line, within a second or two."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from gpttasks.data.rows import Row
from gpttasks.errors import DataError
from gpttasks.tasks.template import Template

ROW = Row({"text": "a film", "items": ["a", "b"], "number": 3, "long": "a " * 5000}, file="in.jsonl", line=7)

TOO_MUCH = [
    "{{ 'x' * 10**9 }}",
    "{{ number * ('x' * 10**8) }}",
    "{{ text * 10**8 }}",
    "{{ (items * 10**8) | length }}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{{ loop.index }}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{{ range(99999) | sum }}{% endfor %}",
    "{% for a in range(99999) %}{{ range(99999) | list | length }}{% endfor %}",
    "{{ text | center(10**9) }}",
    "{{ 'x' | center(10**9) }}",
    "{{ text.center(10**9) }}",
    "{{ text.ljust(10**9) ~ text.rjust(10**9) ~ text.zfill(10**9) }}",
    "{{ text | indent(10**9, true) }}",
    "{{ text | indent(long * 20, true) | indent(long * 900, true) }}",
    "{{ text | wordwrap(1, true, long * 900) | wordwrap(1, true, long * 900) }}",
    "{{ items | tojson(10**9) }}",
    "{{ items | batch(10**9, 'x') | list | length }}",
    "{{ items | slice(10**9) | list | length }}",
    "{{ 1.5 | round(10**9, 'ceil') }}",
    "{{ '%1000000000d' % number }}",
    "{{ '%*d' % (10**9, number) }}",
    "{{ '%.1000000000f' % number }}",
    "{{ '%1000000000d' | format(number) }}",
    "{{ '{:>1000000000}'.format(number) }}",
    "{{ '{:>{}}'.format(number, 10**9) }}",
    "{{ '{a:1000000000}'.format_map({'a': number}) }}",
    "{{ long.replace('a', long) }}",
    "{{ long | replace('a', long) }}",
    "{{ long.join(long) }}",
    "{{ long | join(long) }}",
    "{{ (long | list) | join(long) }}",
    "{{ ('\t' * 1000).expandtabs(10**6) }}",
    "{{ long.translate({97: long}) }}",
    "{{ (number).to_bytes(10**9, 'big') | length }}",
    "{% set ns = namespace(x='xx') %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x='xx') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='xx') %}{% for a in range(60) %}{% set ns.x = '%s%s' % (ns.x, ns.x) %}{% endfor %}",
    "{% set ns = namespace(x='xx') %}{% for a in range(60) %}{% set ns.x = '{0}{0}'.format(ns.x) %}{% endfor %}",
    "{% set ns = namespace(x='xx') %}{% for a in range(60) %}{% set ns.x = [ns.x, ns.x] | join %}{% endfor %}",
    "{% set ns = namespace(x='x') %}{% for a in range(60) %}{% set b %}{{ ns.x }}{{ ns.x }}{% endset %}"
    "{% set ns.x = b %}{% endfor %}",
    "{% set ns = namespace(x=items) %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(n=9) %}{% for a in range(60) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
    "{{ (10 ** (10 ** 10)) % 7 }}",
    "{{ (number ** (10 ** 9)) % 7 }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% for a in range(99999) %}{% if a in range(99999) | list %}{% endif %}{% endfor %}",
    "{% set many = range(99999) | list %}{% for a in many %}{% if 'x' in many %}{% endif %}{% endfor %}",
    "{% set many = range(99999) | list %}{% for a in many %}{% set b = many[1:] %}{% endfor %}",
    "{% for a in range(99999) %}{{ long }}{% endfor %}",
    "{% for a in range(99999) %}{{ long | upper | length }}{% endfor %}",
    "{% for a in items recursive %}{{ loop(range(9999)) }}{% endfor %}",
]


@pytest.mark.parametrize("source", TOO_MUCH)
def test_too_much_is_refused_with_its_line(source):
    template = Template("Film:\n" + source)
    started = time.process_time()
    with pytest.raises(DataError) as caught:
        template.render(ROW)
    assert time.process_time() - started < 10
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("in.jsonl", 7)
    assert problem.message.startswith("line 2 of the template ")
    assert any(
        reason in problem.message
        for reason in (
            "takes more than 1,000,000 steps",
            "makes more than 10,000,000 characters of text",
            "computes an integer of more than 10,000 bits",
        )
    ), problem.message


@pytest.mark.parametrize("source", [source for source in TOO_MUCH if "9999" not in source and "macro" not in source])
def test_memory_stays_small(source):
    template = Template(source)
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            template.render_text(ROW)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_a_large_row_may_be_shown_as_it_is():
    text = "word " * 4_000_000
    assert Template("{{ text | trim | passage }}").render_text({"text": text}) == text.strip()
    items = [f"choice {n}" for n in range(200_000)]
    shown = Template("{% for one in items %}{{ loop.index }}. {{ one | trim }}\n{% endfor %}").render_text(
        {"items": items}
    )
    assert shown.count("\n") == 200_000
    assert Template("{{ items | join(', ') }}").render_text({"items": items}) == ", ".join(items)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for a in items %}{{ loop.index }}{{ a }}{% if not loop.last %}, {% endif %}{% endfor %}", "1a, 2b"),
        ("{% for a in items if a != 'a' %}{{ loop.length }}{{ a }}{% else %}none{% endfor %}", "1b"),
        ("{% for a in [] %}x{% else %}none{% endfor %}", "none"),
        ("{% for key, value in {'k': 1}.items() %}{{ key }}{{ value }}{% endfor %}", "k1"),
        ("{% for a in items | map('upper') %}{{ a }}{% endfor %}", "AB"),
        ("{{ 'a' in items }}".replace("{{", "{{ 'yes' if").replace("}}", "else 'no' }}"), "yes"),
        ("{{ 'yes' if 'z' not in items else 'no' }}", "yes"),
        ("{{ text[2:] }}{{ items[::-1] | join }}{{ text[0] }}", "filmbaa"),
        ("{{ 2 + 3 }} {{ 2 * 3 }} {{ 2 ** 10 }} {{ 7 % 4 }} {{ 'ab' * 2 }} {{ 1.5 + 1 }}", "5 6 1024 3 abab 2.5"),
        ("{{ (items + ['c']) | join }}{{ ('a', 'b') | length }}", "abc2"),
        ("{{ '%5.1f|%-3s|%s' % (2.25, 'a', 7) }}", "  2.2|a  |7"),
        (
            "{{ text.center(10) }}|{{ text | center(10) }}|{{ text.replace('film', 'book') }}",
            "  a film  |  a film  |a book",
        ),
    ],
)
def test_what_templates_compute_is_unchanged(source, expected):
    assert Template(source).render_text(ROW) == expected


def test_the_marks_of_work_are_no_filters_for_people():
    from gpttasks.tasks.template import filters

    assert not [name for name in filters() if name.startswith("gpttasks")]
