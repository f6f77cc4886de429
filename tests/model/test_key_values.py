"""The cache with preallocated memory holds the same keys and values as the cache of transformers."""

import gc
import weakref

import pytest
import torch
from transformers import DynamicCache

from gpttasks.model.capabilities import inspected
from gpttasks.model.key_values import KeyValues


@pytest.fixture(scope="module")
def model(tiny_folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_folder("llama"), dtype=torch.float32).eval()


def read(model, ids, cache):
    model(input_ids=ids, use_cache=True, **{inspected(model, None).cache_name: cache})


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
def test_more_tokens_than_room_is_an_error(model):
    with pytest.raises(ValueError, match="got 5 tokens, but the cache has room for 4"):
        read(model, torch.arange(5)[None], KeyValues(4))


@torch.no_grad()
def test_skipped_places_are_zeros_after_the_tokens_of_the_rows(model):
    cache = KeyValues(9, rows=2)
    read(model, torch.arange(2 * 3).view(2, 3), cache)
    for layer in cache.layers:
        layer._key_room[:, :, 3:] = layer._value_room[:, :, 3:] = float("nan")
    before = [(keys.clone(), values.clone()) for keys, values in held(cache)]
    cache.use_rows(slice(1, 2), 3, gap=4)
    for (keys, values), (old_keys, old_values) in zip(held(cache), before, strict=True):
        for now, old in ((keys, old_keys), (values, old_values)):
            assert torch.equal(now, torch.cat([old[1:2], torch.zeros(1, old.shape[1], 4, old.shape[3])], dim=2))
    cache.use_rows(slice(0, 1), 3)
    assert cache.get_seq_length() == 3


@torch.no_grad()
def test_memory_is_free_as_soon_as_the_cache_is_gone(model):
    cache = KeyValues(4)
    read(model, torch.arange(3)[None], cache)
    memory = [weakref.ref(layer._key_room) for layer in cache.layers]
    gc.disable()
    try:
        del cache
        assert [held() for held in memory] == [None] * len(memory)
    finally:
        gc.enable()
