"""Trees of token rows: each token whose state is read sees exactly the tokens before it in its own row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.engine import tree
from gpttasks.engine.tree import Block, Group, group_paths, into_blocks
from gpttasks.tokens.rows import TokenRow

TOKENS = st.integers(0, 2)  # few, so that rows begin alike
CONTEXTS = st.lists(TOKENS, min_size=1, max_size=12)
CONTINUATIONS = st.lists(st.lists(TOKENS, min_size=1, max_size=4), min_size=1, max_size=4)


@pytest.fixture(autouse=True)
def short_prefixes(monkeypatch):
    monkeypatch.setattr(tree, "SHORTEST_PREFIX", 2)
    monkeypatch.setattr(tree, "LEAST_SAVED", 3)


def paths_of(examples):
    """Rows of a context and a continuation, scored like options, and one family of rows per example."""
    paths, families = {}, []
    for context, continuations in examples:
        family = []
        for continuation in continuations:
            ids = [*context, *continuation]
            paths[len(paths)] = TokenRow(ids, len(context))
            family.append(len(paths) - 1)
        families.append(family)
    return paths, families


def seen_by(made, block, place):
    """The ids that the token at ``place`` sees, in the order of their positions, its own id last."""
    sees = made.sees()[place]
    places = [other for other in range(len(made.ids)) if sees[other]]
    positions = [made.positions[other] for other in places]
    assert sorted(positions) == list(range(block.prefix, block.prefix + len(positions))), (
        "no position twice or left out"
    )
    prefix = list(block.groups[0].ids[: block.prefix])
    return prefix + [made.ids[other] for _, other in sorted(zip(positions, places, strict=True))]


@given(
    examples=st.lists(st.tuples(CONTEXTS, CONTINUATIONS), min_size=1, max_size=8),
    rows=st.sampled_from(["one", "some", "apart"]),
    long=st.sampled_from([4, 900]),
)
def test_each_token_sees_its_own_past(examples, rows, long):
    paths, families = paths_of(examples)
    answered = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "LONG_FAMILY", long)
        blocks = into_blocks(group_paths(paths, families), paths)
    for block in blocks:
        for group in block.groups:
            assert list(group.ids[: block.prefix]) == list(block.groups[0].ids[: block.prefix])
        trees = block.trees_apart(paths) if rows == "apart" else block.trees(paths, in_one_row=rows == "one")
        assert len(trees) == {"one": 1, "some": len(trees), "apart": len(block.groups)}[rows]
        for made in trees:
            assert made.ids, "no empty row"
            for index, places in made.at.items():
                answered.append(index)
                path = paths[index]
                assert len(places) == len(path.reads)
                for place, read in zip(places, path.reads, strict=True):
                    assert seen_by(made, block, place) == list(path.ids[: read + 1])
    assert sorted(answered) == sorted(paths)


@given(context=CONTEXTS, reads=st.lists(st.integers(0, 11), min_size=1, max_size=4))
def test_states_of_any_token_can_be_read(context, reads):
    paths = {
        0: TokenRow(context, len(context), module="layer", at=tuple(sorted(read % len(context) for read in reads)))
    }
    (block,) = into_blocks(group_paths(paths, [[0]]), paths)
    (made,) = block.trees(paths, in_one_row=False)
    for place, read in zip(made.at[0], paths[0].reads, strict=True):
        assert seen_by(made, block, place) == context[: read + 1]
    assert len(made.ids) == paths[0].fed, "no token after the last needed one is fed to the model"


@given(examples=st.lists(st.tuples(CONTEXTS, CONTINUATIONS), min_size=2, max_size=8))
def test_trees_never_have_more_tokens_than_the_rows(examples):
    paths, families = paths_of(examples)
    blocks = into_blocks(group_paths(paths, families), paths)
    read = sum(block.prefix + sum(len(made.ids) for made in block.trees(paths, in_one_row=False)) for block in blocks)
    assert read <= sum(path.fed for path in paths.values())


def test_shots_are_read_once_and_contexts_once():
    shots, contexts = list(range(100, 150)), [[1, 2, 3], [1, 5], [7]]
    paths, families = paths_of([([*shots, *context], [[8], [9, 9]]) for context in contexts])
    (block,) = into_blocks(group_paths(paths, families), paths)
    assert block.prefix >= len(shots) - 1
    read = sum(len(made.ids) for made in block.trees(paths, in_one_row=True))
    assert read <= sum(len(context) + 1 for context in contexts) + len(contexts)


@pytest.mark.parametrize("context", [1, 4, 100, 500, 2000])
def test_many_options_are_read_in_linear_cost(context):
    """The cost counted as for batches: the tokens, and the pairs of tokens in a row; each option is read once."""

    def cost(options):
        paths, families = paths_of([(list(range(context)), [[number, 1, 2] for number in range(options)])])
        groups = group_paths(paths, families)
        assert sorted(index for group in groups for index in group.paths) == list(range(options))
        return sum(group.own * (1 + group.own / tree.TWICE_THE_COST) for group in groups)

    assert cost(8000) <= 2.1 * cost(4000)
    best = min(
        (context + size) * (1 + (context + size) / tree.TWICE_THE_COST) / size for size in range(1, tree.LARGEST_FAMILY)
    )
    assert cost(8000) <= 1.4 * best * 16_000, "no other size of the groups costs much less"


def test_a_beginning_that_saves_too_little_is_not_shared(monkeypatch):
    monkeypatch.setattr(tree, "LEAST_SAVED", 1000)
    paths, families = paths_of([([*range(50), 1], [[3]]), ([*range(50), 2], [[3]])])
    (block,) = into_blocks(group_paths(paths, families), paths)
    assert block.prefix == 0


def test_a_long_context_is_read_before_its_continuations():
    context = list(range(1000))
    paths, families = paths_of([(context, [[1, 2, 3], [4, 5], [6]]), ([7], [[8, 9], [9, 9]])])
    long, short = into_blocks(group_paths(paths, families), paths)
    assert (long.prefix, short.prefix) == (999, 0)
    assert [group.paths for group in long.groups] == [[0], [1], [2]]
    assert sum(len(made.ids) for made in long.trees(paths, in_one_row=True)) == 3 + 2 + 1


def test_very_many_continuations_of_one_prompt_are_several_groups():
    paths, families = paths_of([([5], [[number, 1, 2, 3] for number in range(2000)])])
    groups = group_paths(paths, families)
    assert max(group.own for group in groups) <= tree.LARGEST_FAMILY + 1
    (block,) = into_blocks(groups, paths)
    assert sum(len(made.at) for made in block.trees(paths, in_one_row=False)) == 2000


def test_many_equal_contexts_need_no_deep_recursion():
    paths, families = paths_of([([5], [[1], [2]])] * 3000)
    (block,) = into_blocks(group_paths(paths, families), paths)
    assert sum(len(made.at) for made in block.trees(paths, in_one_row=True)) == 6000


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_rows_are_about_equally_long(lengths):
    groups = [Group([index], length, [index] * length, length, length - 1) for index, length in enumerate(lengths)]
    paths = {
        index: TokenRow([index] * length, length, module="layer", at=(length - 1,))
        for index, length in enumerate(lengths)
    }
    trees = Block(0, groups).trees(paths, in_one_row=False)
    assert sorted(index for made in trees for index in made.at) == list(range(len(lengths)))
    places = len(trees) * max(len(made.ids) for made in trees)
    assert places <= len(lengths) * max(lengths), "at most one row per group"
