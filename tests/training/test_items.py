"""Items made when a step needs them: the same as items made in advance, with errors reported in advance."""

import pytest

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.errors import RunFailed
from gpttasks.example import Example
from gpttasks.heads.base import Head
from gpttasks.heads.choice import Choice
from gpttasks.item import Item
from gpttasks.tokens.rows import TokenRow
from gpttasks.training.items import LazyItems

EXAMPLES = [
    Example(f"{'word ' * count}\nSentiment:", choices=("bad", "good"), label=count % 2, id=str(count))
    for count in range(6)
]


class Counting(Head):
    """Makes one item per character of the example's text, and records the examples."""

    name = "counting"

    def __init__(self):
        super().__init__()
        self.asked = []

    def items(self, example):
        self.asked.append(example.id)
        yield from [Item((TokenRow([1, 2], 1),), {"loss": 1})] * len(example.prompt[0].text)


def test_the_same_items_as_made_at_once(tiny_gpt2_folder):
    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_gpt2_folder)))
    backbone.load(LoadSettings())
    head = Choice()
    head.bind(backbone, EXAMPLES[0])
    at_once = [item for example in EXAMPLES for item in head.items(example)]
    lazy = LazyItems(head, EXAMPLES)
    assert [lazy[place] for place in (3, 0, 5)] == [at_once[place] for place in (3, 0, 5)]
    assert list(lazy) == lazy[:] == at_once
    assert len(lazy) == 6


def test_each_is_made_once_and_only_when_asked_for():
    head = Counting()
    lazy = LazyItems(head, [Example("a", id=name) for name in "xyz"])
    assert head.asked == []
    assert lazy[1] is lazy[1]
    assert lazy[-1] == lazy[2]
    assert head.asked.count("y") == 1
    assert "x" not in head.asked
    with pytest.raises(IndexError):
        lazy[3]


@pytest.mark.parametrize(("text", "made"), [("ab", 2), ("abc", 3)])
def test_a_head_that_makes_several_after_all(text, made):
    lazy = LazyItems(Counting(), [Example("a"), Example(text, id="train-7")])
    with pytest.raises(RunFailed, match=f"head 'counting' made {made} items of example train-7"):
        lazy[1]


def test_items_of_some_examples():
    lazy = LazyItems(Counting(), [Example("a"), Example("b"), Example("c")])
    item = lazy[2]
    some = lazy.only([0, 2])
    assert len(some) == 2
    assert some[1] is item, "an item that was made is kept"
