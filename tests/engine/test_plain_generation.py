"""Generated texts against ``generate`` of transformers."""

import random

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.engine.generation import next_tokens
from gpttasks.engine.plain import LocalEngine
from gpttasks.errors import DataError, RunFailed
from gpttasks.example import Part, as_prompt
from gpttasks.requests import (
    NEAR_TIE,
    Cut,
    Generate,
    GenerateReply,
    LogLikelihood,
    LogLikelihoodReply,
    Readout,
    ReadoutReply,
    Rolling,
    RollingReply,
)

FAMILIES = ["gpt2", "openai-gpt", "gpt_neo", "opt", "bloom", "llama", "qwen3", "gemma2"]
PROMPTS = ["The film was", "Sentiment:", ""]
NATS = 1e-3


def load(folder, context=None):
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder), context=context))
    backbone.load(LoadSettings())
    return backbone


def spelling_ids(backbone):
    """The backbone with a tokenizer that decodes to ids instead of text: random models mostly generate broken text."""
    backbone.tokenizer.decode = lambda ids: " ".join(map(str, ids))
    return backbone


def write(backbone, prompt, max_tokens=16, **options):
    (reply,) = LocalEngine(backbone).answer([Generate(as_prompt(prompt), max_tokens, **options)])
    return reply


class Naive:
    """The texts of transformers, and their log-probabilities."""

    def __init__(self, folder):
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(self, prompt):
        return self.tokenizer(prompt, return_tensors="pt")["input_ids"]

    def write(self, prompt, max_tokens=16, ends=(0,), **options):
        """The new ids without padding."""
        ids = self.ids(prompt)
        options |= {"do_sample": False, "max_new_tokens": max_tokens, "eos_token_id": list(ends), "pad_token_id": 0}
        tokens = self.model.generate(ids, attention_mask=torch.ones_like(ids), **options)[0, ids.shape[1] :].tolist()
        first_end = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
        return tokens[: first_end + 1]

    def logprob(self, prompt, tokens):
        """The sum over tokens, each from a separate forward pass over all tokens before it."""
        ids = [*self.ids(prompt)[0].tolist(), *tokens]
        start = len(ids) - len(tokens)
        with torch.no_grad():
            rows = [self.model(input_ids=torch.tensor([ids[:place]])).logits[0, -1] for place in range(start, len(ids))]
        return sum(float(row.double().log_softmax(-1)[token]) for row, token in zip(rows, tokens, strict=True))


@pytest.fixture(params=FAMILIES)
def folder(request, tiny_folder):
    return tiny_folder(request.param)


def test_greedy_equals_transformers(folder):
    naive, backbone = Naive(folder), spelling_ids(load(folder))
    for prompt in PROMPTS:
        tokens, reply = naive.write(prompt), write(backbone, prompt)
        ended = tokens[-1] == 0
        assert reply.text == " ".join(map(str, tokens[:-1] if ended else tokens))
        assert (reply.tokens, reply.finish, reply.cut) == (len(tokens), "end" if ended else "length", Cut())
        assert reply.logprob == pytest.approx(naive.logprob(prompt, tokens), abs=NATS)


def test_end_tokens_in_the_generation_settings_end_a_text(folder):
    naive, backbone = Naive(folder), spelling_ids(load(folder))
    other = naive.write(PROMPTS[0])[3]
    backbone.model.generation_config.eos_token_id = [0, other]
    tokens, reply = naive.write(PROMPTS[0], ends=(0, other)), write(backbone, PROMPTS[0])
    assert tokens[-1] == other
    assert (reply.text, reply.tokens, reply.finish) == (" ".join(map(str, tokens[:-1])), len(tokens), "end")
    assert reply.logprob == pytest.approx(naive.logprob(PROMPTS[0], tokens), abs=NATS)


@pytest.mark.parametrize(("beams", "penalty"), [(2, 1.0), (4, 1.0), (4, -1.0), (4, 2.0)])
def test_beams_equal_transformers(folder, beams, penalty):
    naive, backbone = Naive(folder), spelling_ids(load(folder))
    # Some likely tokens become end tokens, so that beams of several lengths compete.
    ends = (0, naive.write(PROMPTS[0], num_beams=beams)[5], naive.write(PROMPTS[1])[1])
    backbone.model.generation_config.eos_token_id = list(ends)
    for prompt in PROMPTS:
        tokens = naive.write(prompt, 10, ends, num_beams=beams, length_penalty=penalty)
        reply = write(backbone, prompt, 10, beams=beams, length_penalty=penalty)
        ended = tokens[-1] in ends
        assert reply.text == " ".join(map(str, tokens[:-1] if ended else tokens))
        assert (reply.tokens, reply.finish) == (len(tokens), "end" if ended else "length")
        assert reply.logprob == pytest.approx(naive.logprob(prompt, tokens), abs=NATS)


def test_texts_with_an_adapter_equal_those_of_peft(tiny_gpt2_folder):
    from gpttasks.adaptations.lora import Lora, LoraOptions

    backbone = load(tiny_gpt2_folder)
    before = write(spelling_ids(backbone), PROMPTS[0]).text
    Lora(LoraOptions(rank=4)).apply(backbone)
    torch.manual_seed(0)
    for name, weight in backbone.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    ids = Naive(tiny_gpt2_folder).ids(PROMPTS[0])
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 16, "do_sample": False, "pad_token_id": 0}
    for beams in (1, 3):
        found = backbone.model.eval().generate(input_ids=ids, num_beams=beams, **options)[0, ids.shape[1] :]
        reply = write(backbone, PROMPTS[0], beams=beams)
        assert reply.text == " ".join(map(str, found.tolist()))
        assert reply.text != before


@pytest.mark.parametrize("beams", [1, 3])
def test_generation_settings_of_the_model_are_ignored(tiny_folder, beams):
    backbone = load(tiny_folder("openai-gpt"))
    expected = write(backbone, PROMPTS[0], beams=beams)
    settings = backbone.model.generation_config
    settings.update(repetition_penalty=5.0, no_repeat_ngram_size=1, min_new_tokens=3, max_length=5)
    settings.update(do_sample=True, temperature=3.0, num_beams=2, suppress_tokens=list(range(300)))
    assert write(backbone, PROMPTS[0], beams=beams) == expected
    assert backbone.model.generation_config is settings


def test_beams_end_at_stop_texts_as_transformers_do(tiny_folder):
    folder = tiny_folder("openai-gpt")
    naive, backbone = Naive(folder), load(folder)
    for prompt in PROMPTS:
        free = naive.tokenizer.decode(naive.write(prompt, num_beams=3))
        stop = free[4:7]
        tokens = naive.write(prompt, num_beams=3, stop_strings=[stop, "never"], tokenizer=naive.tokenizer)
        text, reply = naive.tokenizer.decode(tokens), write(backbone, prompt, beams=3, stop=("never", stop))
        assert reply.text == text.split(stop)[0]
        assert (reply.tokens, reply.finish) == (len(tokens), "stop" if stop in text else "length")
        assert reply.logprob == pytest.approx(naive.logprob(prompt, tokens), abs=NATS)


@pytest.mark.parametrize("beams", [1, 2])
def test_a_stop_text_that_begins_in_the_prompt_stops_nothing(tiny_folder, beams):
    backbone = load(tiny_folder("openai-gpt"))
    free = write(backbone, PROMPTS[0], 6, beams=beams)
    assert write(backbone, PROMPTS[0], 6, beams=beams, stop=("film was" + free.text[:2],)) == free


def test_the_first_token_of_a_model_is_drawn_from_its_softmax(tiny_gpt2_folder):
    naive, backbone = Naive(tiny_gpt2_folder), spelling_ids(load(tiny_gpt2_folder))
    with torch.no_grad():
        likely = naive.model(input_ids=naive.ids(PROMPTS[0])).logits[0, -1].softmax(-1).topk(4)
    asked = [Generate(as_prompt(PROMPTS[0]), 1, temperature=1.0, top_k=4, seed=seed) for seed in range(400)]
    drawn = [int(reply.text) for reply in LocalEngine(backbone).answer(asked)]
    counts = [drawn.count(int(token)) for token in likely.indices]
    assert sum(counts) == len(drawn)
    expected = (len(drawn) * likely.values.double() / likely.values.double().sum()).tolist()
    assert scipy.stats.chisquare(counts, expected, sum_check=False).pvalue > 1e-3


def test_draws_depend_only_on_the_seed(folder):
    backbone = spelling_ids(load(folder))
    texts = [write(backbone, PROMPTS[0], temperature=1.5, seed=seed).text for seed in (1, 2, 2**63 + 5, 2**64 - 1)]
    assert len(set(texts)) == 4
    torch.manual_seed(77)
    again = [write(backbone, PROMPTS[0], temperature=1.5, seed=seed).text for seed in (1, 2, 2**63 + 5, 2**64 - 1)]
    assert again == texts


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-4}])
def test_drawing_from_one_token_is_greedy(folder, options):
    backbone = load(folder)
    for prompt in PROMPTS:
        drawn, greedy = write(backbone, prompt, **({"temperature": 1.3, "seed": 5} | options)), write(backbone, prompt)
        assert (drawn.text, drawn.tokens, drawn.finish) == (greedy.text, greedy.tokens, greedy.finish)
        assert drawn.logprob == pytest.approx(greedy.logprob, abs=NATS)


def test_the_log_probability_does_not_depend_on_the_temperature(tiny_gpt2_folder):
    naive, backbone = Naive(tiny_gpt2_folder), spelling_ids(load(tiny_gpt2_folder))
    reply = write(backbone, PROMPTS[0], temperature=2.5, top_k=50, seed=3)
    tokens = [int(token) for token in reply.text.split()]
    assert reply.logprob == pytest.approx(naive.logprob(PROMPTS[0], tokens), abs=NATS)


@pytest.mark.parametrize("beams", [1, 3])
def test_broken_weights_are_an_error(tiny_gpt2_folder, beams):
    backbone = load(tiny_gpt2_folder)
    with torch.no_grad():
        backbone.model.transformer.h[1].mlp.c_fc.weight[0, 0] = float("nan")
    with pytest.raises(RunFailed, match="are not finite") as caught:
        write(backbone, "The film was", beams=beams)
    assert "The film was" in str(caught.value)
    assert caught.value.exit_status == 1


def test_no_token_is_processed_twice_with_keys_and_values(folder):
    backbone, read = load(folder), []
    prompt = len(Naive(folder).ids(PROMPTS[0])[0])
    hook = backbone.model.register_forward_pre_hook(
        lambda model, args, options: read.append(options["input_ids"].shape[1]), with_kwargs=True
    )
    written = write(backbone, PROMPTS[0], 6).tokens
    hook.remove()
    keeps_none = backbone.model.config.model_type == "openai-gpt"
    assert read == [prompt + place if keeps_none else 1 if place else prompt for place in range(written)]


@pytest.mark.parametrize("beams", [1, 2])
def test_a_prompt_is_cut_at_its_passage_so_that_the_text_fits(folder, beams):
    context, max_tokens = 40, 16
    backbone, whole = load(folder, context), load(folder)
    words = "In 1984 the price was 3 dollars and 50 cents. " * 3
    reply = write(
        backbone, [Part("A shot.\n", "shot"), Part(words, "passage"), Part(" Price:")], max_tokens, beams=beams
    )
    ids = whole.tokenizer.encode(words + " Price:")
    assert reply.cut == Cut(tokens=1 + len(ids) - (context - max_tokens), shots=1)
    ends = whole.tokenizer.token_ends(words)
    shorter = next(
        words[:end] + " Price:"
        for end in reversed(ends)
        if 1 + len(whole.tokenizer.encode(words[:end] + " Price:")) <= context - max_tokens
    )
    expected = write(whole, shorter, max_tokens, beams=beams)
    assert (reply.text, reply.logprob) == (expected.text, pytest.approx(expected.logprob, abs=NATS))


@pytest.mark.parametrize(("max_tokens", "problem"), [(24, "leaves no room"), (99, "leaves no room"), (23, "6 tokens")])
def test_max_tokens_that_leave_no_room(tiny_gpt2_folder, max_tokens, problem):
    backbone = load(tiny_gpt2_folder, 24)
    assert len(backbone.tokenizer.encode("The film was")) == 5
    with pytest.raises(DataError, match=problem) as caught:
        write(backbone, "The film was", max_tokens)
    assert "the prompt begins 'The film was'" in str(caught.value)


def mixed():
    """Requests of all kinds, and the class of the reply to each."""
    prompt = as_prompt("The film was")
    draw = {"temperature": 1.0, "seed": 4}
    return [
        (Generate(prompt, 5), GenerateReply),
        (LogLikelihood(prompt, " good"), LogLikelihoodReply),
        (Rolling(as_prompt("")), RollingReply),
        (Generate(prompt, 9, **draw), GenerateReply),
        (Readout(prompt, "layer"), ReadoutReply),
        (Generate(as_prompt("Sentiment:"), 9, **draw), GenerateReply),
        (Readout((Part("Is it? "), Part("A dull story", "passage")), "layer", "passage"), ReadoutReply),
        (Generate(prompt, 5, beams=3, stop=("e",)), GenerateReply),
        (Rolling(as_prompt("The film was " * 60)), RollingReply),
    ]


def engine_of(folder):
    torch.manual_seed(1)
    return LocalEngine(load(folder), torch.nn.ModuleDict({"layer": torch.nn.Linear(32, 2)}))


def test_all_kinds_together_in_any_order(folder):
    engine = engine_of(folder)
    asked = [request for request, _ in mixed()]
    alone = [engine.answer([request])[0] for request in asked]
    assert [type(reply) for reply in alone] == [kind for _, kind in mixed()]
    for seed in range(3):
        order = random.Random(seed).sample(range(len(asked)), len(asked))
        for place, reply in zip(order, engine.answer([asked[place] for place in order]), strict=True):
            if isinstance(reply, GenerateReply):
                assert reply == alone[place]
            else:
                assert numbers(reply) == pytest.approx(numbers(alone[place]), abs=NATS)


def numbers(reply):
    return (*getattr(reply, "values", ()), getattr(reply, "logprob", 0.0))


def test_progress_counts_every_request_and_the_tokens_of_texts(tiny_gpt2_folder):
    engine, calls = engine_of(tiny_gpt2_folder), []
    replies = engine.answer([request for request, _ in mixed()], lambda *call: calls.append(call))
    assert sum(done for done, _ in calls) == len(replies)
    written = sum(reply.tokens for reply in replies if isinstance(reply, GenerateReply))
    others = []
    engine.answer(
        [request for request, kind in mixed() if kind is not GenerateReply], lambda *call: others.append(call)
    )
    assert sum(tokens for _, tokens in calls) == written + sum(tokens for _, tokens in others)


@pytest.mark.parametrize("training", [True, False])
def test_the_training_mode_is_left_as_it_was(tiny_gpt2_folder, training):
    engine = engine_of(tiny_gpt2_folder)
    asked = [request for request, _ in mixed()]
    expected = engine.answer(asked)
    engine.lm.model.train(training)
    engine.modules.train(training)
    assert engine.answer(asked) == expected, "dropout is off"
    assert [engine.lm.model.training, engine.modules.training] == [training] * 2
    with torch.no_grad():
        engine.lm.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(RunFailed):
        engine.answer(asked)
    assert [engine.lm.model.training, engine.modules.training] == [training] * 2


@given(st.lists(st.lists(st.integers(-40, 40), min_size=5, max_size=5), min_size=1, max_size=4), st.integers(1, 3))
def test_next_tokens_are_those_of_a_naive_search(rows, scale):
    """The logits are multiples of a part of the margin: there are ties, near ties and clear maxima."""
    logits = torch.tensor(rows) * NEAR_TIE / 2 / scale
    before = logits.clone()
    found = next_tokens(logits)
    assert torch.equal(logits, before), "the logits are unchanged"
    for row, one in zip(before, found, strict=True):
        highest = max(row.tolist())
        assert (one.top, one.token) == (highest, row.tolist().index(highest))
        assert one.logprob == pytest.approx(float(torch.log_softmax(row.double(), -1).max()), abs=1e-5)
        near = sum(bool(value > row.max() - NEAR_TIE) for value in row)
        assert one.near_tie == (near > 1)
        assert torch.equal(one.logits, row)
