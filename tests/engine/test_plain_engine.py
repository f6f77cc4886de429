"""The plain engine against transformers with one request at a time and, in generation, one token at a time."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.engine.plain import LocalEngine
from gpttasks.errors import RunFailed
from gpttasks.example import Part, as_prompt
from gpttasks.requests import Cut, LogLikelihood, Readout, Rolling

FAMILIES = ["gpt2", "openai-gpt", "gpt_neo", "opt", "bloom", "llama", "qwen3", "gemma2"]
CONTEXT = 24
NATS = 1e-4

# Prompts end where a token ends, so that prompt and continuation can be tokenised separately.
PAIRS = [
    ("The film was", " good"),
    ("The film was", " a quiet wonder, and everyone stayed"),
    ("", "bad"),
    ("Sentiment:", " negative"),
    ("In 1984 the price was 3 dollars:", " déjà"),
]
LONG = "She reads every review before she buys a ticket; he never reads any, c'est la vie."


def load(folder, context=CONTEXT):
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder), context=context))
    backbone.load(LoadSettings())
    return backbone


class Naive:
    """The numbers of transformers, without any code of gpttasks."""

    def __init__(self, folder):
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(self, text):
        return self.tokenizer(text)["input_ids"]

    def logprobs(self, ids):
        """[length - 1, vocabulary]: the log-probabilities of the token after each token but the last."""
        with torch.no_grad():
            return self.model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)

    def log_likelihood(self, prompt, continuation):
        ids = self.ids(prompt + continuation)
        start = len(self.ids(prompt))
        logprobs = self.logprobs(ids)[start - 1 :]
        targets = torch.tensor(ids[start:])
        greedy = bool((logprobs.argmax(-1) == targets).all())
        return float(logprobs.gather(1, targets[:, None]).sum()), len(targets), greedy

    def rolling(self, text):
        ids = self.ids(text)
        total = 0.0
        for place in range(1, len(ids)):
            window_start = (place - 1) // (CONTEXT - 1) * (CONTEXT - 1)
            if window_start + CONTEXT >= len(ids):  # the last window is filled with preceding tokens
                window_start = max(0, len(ids) - CONTEXT)
            total += float(self.logprobs(ids[window_start : place + 1])[-1, ids[place]])
        return total, len(ids) - 1

    def strided(self, text, stride):
        """The log-probability of each token after those before it in its window; the windows are counted explicitly."""
        ids = self.ids(text)
        total, window_ends = 0.0, [*range(CONTEXT, len(ids), stride), len(ids)]
        for place in range(1, len(ids)):
            last = next(end for end in window_ends if end > place)
            total += float(self.logprobs(ids[max(0, last - CONTEXT) : place + 1])[-1, ids[place]])
        return total, len(ids) - 1

    def states(self, prompt):
        with torch.no_grad():
            return self.model.base_model(input_ids=torch.tensor([self.ids(prompt)])).last_hidden_state[0]

    def last_state(self, prompt):
        return self.states(prompt)[-1]


@pytest.fixture(params=FAMILIES)
def folder(request, tiny_folder):
    return tiny_folder(request.param)


def two_modules(width):
    torch.manual_seed(3)
    return torch.nn.ModuleDict({"first": torch.nn.Linear(width, 3), "second": torch.nn.Linear(width, 2)})


def all_requests():
    asked = [LogLikelihood(as_prompt(prompt), continuation) for prompt, continuation in PAIRS]
    asked += [Rolling(as_prompt(text)) for text in (LONG, "Good.", "")]
    asked += [Readout(as_prompt("The film was"), "first"), Readout(as_prompt("A dull story"), "second")]
    passage = (Part("Is it? "), Part("A quiet wonder", "passage"))
    return [*asked, Readout(passage, "second", "passage"), Rolling(as_prompt(LONG), 7)]


def numbers(reply):
    return (*getattr(reply, "values", ()), getattr(reply, "logprob", 0.0))


def test_equals_naive_computation(folder):
    backbone, naive = load(folder), Naive(folder)
    modules = two_modules(backbone.hidden_size)
    replies = LocalEngine(backbone, modules, tokens_per_batch=100).answer(all_requests())
    for (prompt, continuation), reply in zip(PAIRS, replies, strict=False):
        logprob, tokens, greedy = naive.log_likelihood(prompt, continuation)
        assert reply.logprob == pytest.approx(logprob, abs=NATS)
        assert (reply.tokens, reply.greedy, reply.cut) == (tokens, greedy, Cut())
    long, short, empty, first, second = replies[len(PAIRS) : -2]
    assert len(naive.ids(LONG)) > CONTEXT, "the text needs windows"
    for text, reply in ((LONG, long), ("Good.", short)):
        logprob, tokens = naive.rolling(text)
        assert reply.logprob == pytest.approx(logprob, abs=NATS)
        assert (reply.tokens, reply.bytes) == (tokens, len(text.encode()))
    assert (empty.logprob, empty.tokens, empty.bytes) == (0.0, 0, 0)
    for name, prompt, reply in (("first", "The film was", first), ("second", "A dull story", second)):
        with torch.no_grad():
            expected = modules[name](naive.last_state(prompt)).tolist()
        assert reply.values == pytest.approx(expected, abs=NATS)


@pytest.mark.parametrize("stride", [1, 5, CONTEXT - 1])
def test_windows_with_a_stride(folder, stride):
    backbone, naive = load(folder), Naive(folder)
    reply, short = LocalEngine(backbone, tokens_per_batch=100).answer(
        [Rolling(as_prompt(LONG), stride), Rolling(as_prompt("Good."), stride)]
    )
    logprob, tokens = naive.strided(LONG, stride)
    assert reply.logprob == pytest.approx(logprob, abs=NATS * 3)
    assert (reply.tokens, reply.bytes) == (tokens, len(LONG.encode()))
    assert short.logprob == pytest.approx(naive.rolling("Good.")[0], abs=NATS)


def test_states_of_a_passage(folder):
    backbone, naive = load(folder, 60), Naive(folder)
    modules = two_modules(backbone.hidden_size)
    before, passage, after = "Who? ", "C'est la vie, dit-il. 😀", "\nHe:"
    prompt = (Part(before), Part(passage, "passage"), Part(after))
    asked = [Readout(prompt, "first", "passage"), Readout((Part("A film"),), "first"), LogLikelihood(prompt, " good")]
    reply = LocalEngine(backbone, modules, 1000).answer(asked)[0]
    offsets = naive.tokenizer(before + passage + after, return_offsets_mapping=True)["offset_mapping"]
    end = len(before) + len(passage)
    inside = [place for place, (start, last) in enumerate(offsets) if last > len(before) and start < end]
    with torch.no_grad():
        expected = modules["first"](naive.states(before + passage + after)[[*inside, -1]])
    assert reply.values == pytest.approx(expected.reshape(-1).tolist(), abs=NATS)
    assert len(reply.places) == len(inside)
    assert (reply.places[0][0], reply.places[-1][1]) == (0, len(passage))


def test_replies_do_not_depend_on_batches_and_order(folder):
    backbone = load(folder)
    modules = two_modules(backbone.hidden_size)
    requests = all_requests()
    expected = LocalEngine(backbone, modules, tokens_per_batch=1).answer(requests)
    for seed, budget in enumerate((1, 30, 70, 100_000)):
        order = random.Random(seed).sample(range(len(requests)), len(requests))
        replies = LocalEngine(backbone, modules, budget).answer([requests[place] for place in order])
        for place, reply in zip(order, replies, strict=True):
            assert numbers(reply) == pytest.approx(numbers(expected[place]), abs=NATS)


def test_a_token_across_the_boundary_is_scored(tiny_gpt2_folder):
    naive = Naive(tiny_gpt2_folder)
    whole, before = naive.ids("The good"), naive.ids("The go")
    common = next(place for place, (left, right) in enumerate(zip(whole, before, strict=False)) if left != right)
    assert common < len(before), "the example has a token that spans both"
    (reply,) = LocalEngine(load(tiny_gpt2_folder)).answer([LogLikelihood(as_prompt("The go"), "od")])
    expected = sum(float(naive.logprobs(whole)[place - 1, whole[place]]) for place in range(common, len(whole)))
    assert reply.logprob == pytest.approx(expected, abs=NATS)
    assert reply.tokens == len(whole) - common


def test_long_prompts_are_cut_and_counted(tiny_gpt2_folder):
    prompt = (Part("A shot. good\n\n", "shot"), Part("x " * 40, "passage"), Part("\nSentiment:"))
    engine = LocalEngine(load(tiny_gpt2_folder), two_modules(32))
    likelihood, readout = engine.answer([LogLikelihood(prompt, " good"), Readout(prompt, "first")])
    assert likelihood.cut.shots == readout.cut.shots == 1
    without_shot = len(engine.lm.tokenizer.encode("x " * 40 + "\nSentiment: good"))
    assert likelihood.cut.tokens == 1 + without_shot - CONTEXT


def test_progress_counts_requests_and_real_tokens(tiny_gpt2_folder):
    naive = Naive(tiny_gpt2_folder)
    calls = []
    requests = [Rolling(as_prompt(LONG)), Rolling(as_prompt("")), LogLikelihood(as_prompt("The film was"), " good")]
    LocalEngine(load(tiny_gpt2_folder), tokens_per_batch=30).answer(requests, lambda *call: calls.append(call))
    assert sum(done for done, _ in calls) == 3
    windows = -(-(len(naive.ids(LONG)) - 1) // (CONTEXT - 1))
    # Each window is full: the last one repeats preceding tokens.
    real = windows * CONTEXT + len(naive.ids("The film was good"))
    assert sum(tokens for _, tokens in calls) == real


def test_dropout_is_off_while_answering_and_the_mode_is_restored(tiny_gpt2_folder):
    backbone = load(tiny_gpt2_folder)
    requests = all_requests()[:5]
    expected = LocalEngine(backbone).answer(requests)
    backbone.model.train()
    assert LocalEngine(backbone).answer(requests) == expected
    assert backbone.model.training
    assert LocalEngine(backbone).answer([]) == []


def test_nan_is_an_error(tiny_gpt2_folder):
    backbone = load(tiny_gpt2_folder)
    with torch.no_grad():
        backbone.model.transformer.h[1].mlp.c_fc.weight[0, 0] = float("nan")
    for request in (LogLikelihood(as_prompt("The film was"), " good"), Rolling(as_prompt("The film"))):
        with pytest.raises(RunFailed, match="not finite") as caught:
            LocalEngine(backbone).answer([request])
        assert "The film" in str(caught.value)
        assert caught.value.exit_status == 1
    with pytest.raises(RunFailed, match="not finite"):
        LocalEngine(backbone, two_modules(32)).answer([Readout(as_prompt("The film"), "first")])


def test_an_unknown_request(tiny_gpt2_folder):
    with pytest.raises(TypeError, match="got str, expected LogLikelihood"):
        LocalEngine(load(tiny_gpt2_folder)).answer(["what?"])
