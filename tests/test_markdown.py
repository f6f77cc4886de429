"""Generated parts of Markdown files."""

import pytest

from gpttasks.markdown import put_between, table


def test_only_what_is_between_the_markers_changes():
    text = "before\n<!-- a -->\n\nold\n\n<!-- b -->\nafter\n"
    assert put_between(text, "<!-- a -->", "<!-- b -->", "new") == "before\n<!-- a -->\n\nnew\n\n<!-- b -->\nafter\n"
    assert put_between(text, "<!-- a -->", "<!-- b -->", "old") == text


@pytest.mark.parametrize("text", ["no markers\n", "<!-- a -->\n\nno end\n", "\n<!-- b -->\n<!-- a -->\n"])
def test_a_text_without_both_markers_is_refused(text):
    with pytest.raises(ValueError, match="expected a line '<!-- a -->'"):
        put_between(text, "<!-- a -->", "<!-- b -->", "new")


def test_a_table_keeps_its_cells_apart():
    assert table(("key", "type"), [("a", "x|y"), ("b", "two\n lines")]) == (
        "| key | type |\n|---|---|\n| a | x\\|y |\n| b | two lines |"
    )
