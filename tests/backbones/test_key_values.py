"""Keys and values with room: the same as those of transformers' own cache, whatever is done with them."""

import pytest
import torch
from transformers import DynamicCache

from gpttasks.backbones.key_values import KeyValues
from gpttasks.backbones.tree_attention import cache_name


@pytest.fixture(scope="module")
def model(tiny_folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_folder("llama"), dtype=torch.float32).eval()


def read(model, ids, cache):
    model(input_ids=ids, use_cache=True, **{cache_name(model): cache})


def held(cache):
    return [(layer.keys, layer.values) for layer in cache.layers]


def assert_equal(one, other):
    assert one.get_seq_length() == other.get_seq_length()
    for left, right in zip(held(one), held(other), strict=True):
        torch.testing.assert_close(left[0], right[0])
        torch.testing.assert_close(left[1], right[1])


@torch.no_grad()
def test_adding_cropping_and_keeping_rows(model):
    ids = torch.arange(3 * 12).view(3, 12) % 300
    caches = KeyValues(20, rows=3), DynamicCache()
    for cache in caches:
        read(model, ids[:, :7], cache)
        read(model, ids[:, 7:12], cache)
        cache.crop(-5)
        read(model, ids[:, 8:10], cache)
    assert_equal(*caches)
    caches[0].keep(torch.tensor([2, 0]))
    caches[1].batch_select_indices(torch.tensor([2, 0]))
    assert_equal(*caches)
    for cache in caches:
        read(model, ids[:2, :1], cache)
    assert_equal(*caches)


@torch.no_grad()
def test_a_copy_for_several_rows_leaves_the_first_alone(model):
    ids = torch.arange(8)[None]
    prefix, plain = KeyValues(8), DynamicCache()
    for cache in (prefix, plain):
        read(model, ids, cache)
    before = [(keys.clone(), values.clone()) for keys, values in held(prefix)]
    copy = prefix.copied(3, room=10)
    plain.batch_repeat_interleave(3)
    more = torch.arange(6).view(3, 2)
    for cache in (copy, plain):
        read(model, more, cache)
    assert_equal(copy, plain)
    for (keys, values), (old_keys, old_values) in zip(held(prefix), before, strict=True):
        assert torch.equal(keys, old_keys)
        assert torch.equal(values, old_values)


@torch.no_grad()
def test_rows_read_one_after_another(model):
    ids = torch.arange(4 * 6).view(4, 6)
    by_part, at_once = KeyValues(6, rows=4), KeyValues(6, rows=4)
    for some in (slice(0, 3), slice(3, 4)):
        by_part.use_rows(some, 0)
        read(model, ids[some], by_part)
    by_part.use_rows(slice(None), 6)
    read(model, ids, at_once)
    assert_equal(by_part, at_once)


@torch.no_grad()
def test_no_more_than_there_is_room_for(model):
    with pytest.raises(ValueError, match="room for 4 tokens, and 5 are to be kept"):
        read(model, torch.arange(5)[None], KeyValues(4))
