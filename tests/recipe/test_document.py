"""Recipes as written: plain values, exact places, and one message for each mistake."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpttasks.errors import RecipeError
from gpttasks.recipe.document import find_recipe, parse_document, parse_value, read_document

BASE = Path("/base")


def parse(text):
    return parse_document(text, "r.yaml", BASE)


def complaints(text):
    with pytest.raises(RecipeError) as caught:
        parse(text)
    return str(caught.value).splitlines()


def test_yaml_1_2_in_plain_containers():
    text = (
        "a: 1e-4\nb: no\nc: 012\nd: 2020-01-01\ne: null\nf: [true, 0x10, .5]\ng: {1: x, y: 2}\nh: |\n  two\n  lines\n"
    )
    assert parse(text).data == {
        "a": 1e-4,
        "b": "no",
        "c": 12,
        "d": "2020-01-01",
        "e": None,
        "f": [True, 16, 0.5],
        "g": {1: "x", "y": 2},
        "h": "two\nlines\n",
    }


def test_places_of_keys_values_and_entries():
    text = "# header\ntrain:\n  epochs:   2\nscore:\n  metrics: [accuracy, {use: f1,\n    average: macro}]\n"
    document = parse(text)
    places = {
        location: ((place.key.line, place.key.column), (place.value.line, place.value.column))
        for location, place in document.places.items()
    }
    assert places == {
        (): ((2, 1), (2, 1)),
        ("train",): ((2, 1), (3, 3)),
        ("train", "epochs"): ((3, 3), (3, 13)),
        ("score",): ((4, 1), (5, 3)),
        ("score", "metrics"): ((5, 3), (5, 12)),
        ("score", "metrics", 0): ((5, 13), (5, 13)),
        ("score", "metrics", 1): ((5, 23), (5, 23)),
        ("score", "metrics", 1, "use"): ((5, 24), (5, 29)),
        ("score", "metrics", 1, "average"): ((6, 5), (6, 14)),
    }
    assert {place.value.file for place in document.places.values()} == {"r.yaml"}
    assert document.place(("train", "no", "such", "key")) == document.places["train",]


# Characters that JSON escapes as one unit: YAML does not accept two surrogates as a character. Keys in YAML have at
# most 1024 characters.
_texts = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=100)
_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts
_values = st.recursive(_scalars, lambda inner: st.lists(inner) | st.dictionaries(_texts, inner), max_leaves=12)


@settings(max_examples=50)
@given(st.dictionaries(_texts, _values, min_size=1))
def test_json_is_read_as_json_and_every_scalar_stands_where_its_place_says(data):
    """JSON is YAML, so the json module is the oracle: for the values, and for the text at each place."""
    text = json.dumps(data)
    document = parse(text)
    assert document.data == data
    for location, place in document.places.items():
        value = data
        for part in location:
            value = value[part]
        assert json.loads(text[slice(*place.span)]) == value
        assert (place.value.line, place.value.column) == (1, place.span[0] + 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["r.yaml:1:1: the recipe is empty; begin with name: ..."]),
        ("# only a comment\n", ["r.yaml:1:1: the recipe is empty; begin with name: ..."]),
        ("- a\n", ["r.yaml:1:1: got a list, expected a mapping such as name: ..."]),
        ("\nword\n", ["r.yaml:2:1: got 'word', expected a mapping such as name: ..."]),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", ["r.yaml:4:3: b.c: duplicate key; the first one is in line 3"]),
        (
            "a: 1\nb: 2\na: 3\nb: 4\n",
            [
                "r.yaml:3:1: a: duplicate key; the first one is in line 1",
                "r.yaml:4:1: b: duplicate key; the first one is in line 2",
            ],
        ),
        ("a: {b: 1, b: 2}\n", ["r.yaml:1:11: a.b: duplicate key; the first one is in line 1"]),
        (
            "a: {1: b, true: c}\n",
            [
                "r.yaml:1:11: a.True: duplicate key; the first one is in line 1; "
                "1 and true are the same key; put quotes around them"
            ],
        ),
        ("a:\n\tb: 2\n", ["r.yaml:2:1: a tab cannot indent YAML; indent with spaces"]),
        ("a:\n  b: 1\n\tc: 2\n", ["r.yaml:3:1: a tab cannot indent YAML; indent with spaces"]),
        ("a: 'x\n", ["r.yaml:2:1: while scanning a quoted scalar: found unexpected end of stream"]),
        ("a: [1,\nb: 2\n", ["r.yaml:3:1: while parsing a flow sequence: expected ',' or ']', but got '<stream end>'"]),
        (
            "a: b: c\n",
            [
                "r.yaml:1:5: mapping values are not allowed here; "
                "text with a colon and a space in it needs quotes around it"
            ],
        ),
        (
            "a: 1\n---\nb: 2\n",
            ["r.yaml:2:1: a second document begins here; a recipe is one document: remove the ---"],
        ),
        (
            "task:\n  prompt: {{ text }}\n",
            [
                "r.yaml:2:12: task.prompt: a key must be a word or a number; "
                "text that begins with {{ needs quotes around it"
            ],
        ),
        ("a: 1\nb: \x01\n", ["r.yaml:2:4: the character '\\x01' is not allowed in YAML"]),
        ("a: !!python/name:os.system x\n", ["r.yaml:1:4: the tag !!python/name:os.system is not allowed in a recipe"]),
        ("a: !x [1]\n", ["r.yaml:1:4: the tag !x is not allowed in a recipe"]),
        ("a: !!int x\n", ["r.yaml:1:4: 'x' is not a valid !!int"]),
        ("? [1, 2]\n: 3\n", ["r.yaml:1:3: a key must be a word or a number"]),
        (
            'a: "\\ud83d\\ude00"\n',
            ["r.yaml:1:4: an escape from \\ud800 to \\udfff is not a character; write it as \\U0001F600"],
        ),
        ("null: 3\n", ["r.yaml:1:1: a key must be a word or a number"]),
        ("a: *b\n", ["r.yaml:1:4: found undefined alias 'b'"]),
        ("a: &x [*x]\n", ["r.yaml:1:4: this alias is inside the value that it refers to"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text, expected):
    assert complaints(text) == expected


def test_text_that_begins_with_an_indicator():
    (message,) = complaints("a: @x\n")
    assert message.startswith("r.yaml:1:4: ")
    assert message.endswith("; text that begins with @ needs quotes around it")


def test_anchors_and_aliases_are_copies():
    document = parse("a: &x {b: 1}\nc: *x\n")
    assert document.data == {"a": {"b": 1}, "c": {"b": 1}}
    assert document.data["a"] is not document.data["c"]


class TestFiles:
    def test_a_file_is_the_base_of_its_paths(self, tmp_path):
        path = tmp_path / "r.yaml"
        path.write_text("\ufeffname: ü\n", "utf-8")
        document = read_document(path)
        assert document.data == {"name": "ü"}
        assert document.file == str(path)
        assert {place.base for place in document.places.values()} == {tmp_path}

    def test_not_utf_8(self, tmp_path):
        path = tmp_path / "r.yaml"
        path.write_bytes("name: é\nx: ".encode() + "é".encode("latin-1") + b"\n")
        with pytest.raises(RecipeError) as caught:
            read_document(path)
        assert str(caught.value) == f"{path}:2:4: the byte 0xe9 is not UTF-8; save the file as UTF-8"

    def test_a_bundled_name_or_a_path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        bundled = {"sorter": tmp_path / "bundled" / "sorter.yaml"}
        (tmp_path / "mine.yaml").write_text("name: mine\n")
        assert find_recipe("sorter", bundled) == bundled["sorter"]
        assert find_recipe("mine.yaml", bundled) == Path("mine.yaml")
        assert find_recipe(str(tmp_path / "mine.yaml"), bundled) == tmp_path / "mine.yaml"

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("sortr", "did you mean 'sorter'?"),
            ("mine.yml", "did you mean 'mine.yaml'?"),
            ("sub/othr.yaml", "did you mean 'sub/other.yaml'?"),
            ("zzz", "bundled recipes: sorter"),
        ],
    )
    def test_a_missing_file(self, tmp_path, monkeypatch, name, hint):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "sub").mkdir()
        for path in ("mine.yaml", "sub/other.yaml"):
            (tmp_path / path).write_text("")
        with pytest.raises(RecipeError) as caught:
            find_recipe(name, {"sorter": Path("sorter.yaml")})
        assert str(caught.value) == f"{name}: there is neither a file nor a bundled recipe of this name; {hint}"

    def test_a_folder(self, tmp_path):
        with pytest.raises(RecipeError, match="got a folder, expected a recipe file"):
            find_recipe(str(tmp_path), {})
        with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
            read_document(tmp_path)


def laughs(levels: int, width: int = 9) -> str:
    """A list of ``width ** levels`` entries, written with aliases."""
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("levels", [7, 50, 2000])
def test_aliases_are_counted_before_they_are_expanded(levels, tmp_path):
    with pytest.raises(RecipeError) as caught:
        parse_document(laughs(levels), "a.yaml", tmp_path)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == ("a.yaml", 5, 5)
    assert "the aliases in this value stand for 66," in problem.message
    assert "expected at most 10,000" in problem.message


def test_mappings_keys_and_long_texts_count_too(tmp_path):
    mappings = "a0: &a0 {b: c}\n" + "".join(
        f"a{n}: &a{n} {{{', '.join(f'k{m}: *a{n - 1}' for m in range(9))}}}\n" for n in range(1, 8)
    )
    with pytest.raises(RecipeError, match=r"the aliases in this value stand for .* values"):
        parse_document(mappings, "a.yaml", tmp_path)
    long = f"a: &a {'x' * 20_000}\nb: [{', '.join(['*a'] * 60)}]\n"
    with pytest.raises(RecipeError, match="stand for 1,180,000 characters, expected at most 1,000,000"):
        parse_document(long, "a.yaml", tmp_path)


def test_aliases_of_a_sensible_document_are_expanded(tmp_path):
    document = parse_document(laughs(3), "a.yaml", tmp_path)
    assert document.data["a2"] == [[["x"] * 9] * 9] * 9
    labels = "names: &names [" + ", ".join(f"n{n}" for n in range(3000)) + "]\nlabels: *names\nother: *names\n"
    assert len(parse_document(labels, "a.yaml", tmp_path).data["other"]) == 3000


def test_an_alias_within_its_own_value_is_counted_once(tmp_path):
    with pytest.raises(RecipeError, match="this alias is inside the value that it refers to"):
        parse_document("a: &a [1, *a, *a]\n", "a.yaml", tmp_path)


def test_aliases_on_the_command_line_are_counted(tmp_path):
    items = ", ".join(["&a0 [x, x, x]"] + [f"&a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 20)])
    with pytest.raises(RecipeError, match=r"score\.metrics: cannot read .* the aliases in this value stand for"):
        parse_value(f"[{items}]", tmp_path, ("score", "metrics"), "command line")


@pytest.mark.parametrize("text", ["a: " + "[" * 500 + "]" * 500, "a: " + "{b: " * 80 + "1" + "}" * 80, "- " * 500])
def test_deep_nesting_is_one_problem_with_its_place(tmp_path, text):
    with pytest.raises(RecipeError, match=r"f:1:\d+: .*values are nested more than 64 levels deep") as caught:
        parse_document(text, "f", tmp_path)
    assert len(caught.value.problems) == 1
    with pytest.raises(RecipeError, match="values are nested more than 64 levels deep") as caught:
        parse_value(text, tmp_path, ("a",), "command line")
    assert len(str(caught.value)) < 300
