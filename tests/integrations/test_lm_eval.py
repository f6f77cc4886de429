"""The model for lm-evaluation-harness, against the harness's own Hugging Face model with the same weights."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from gpttasks.errors import FolderError, UserError

pytest.importorskip("lm_eval")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]

PAIRS = [
    ("The film was", " good"),
    ("The film was", " bad and long"),
    ("", "Good acting"),
    ("Question: what is it?\nAnswer:", " été 日本 👍"),
    ("A story." * 12, " a bad script"),
]
TEXTS = ["The film was a quiet wonder.", "What a dull story! " * 5, "日本"]


def asked(*arguments):
    return SimpleNamespace(args=arguments)


@pytest.fixture(scope="module")
def folder(tiny_folder, tmp_path_factory):
    """A model whose tokenizer adds no BOS: the harness leaves a default BOS out, gpttasks never does."""
    made = tmp_path_factory.mktemp("models") / "plain"
    shutil.copytree(tiny_folder("gpt2"), made)
    file = made / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"post_processor": None}))
    return made


@pytest.fixture(scope="module")
def models(folder):
    from lm_eval.models.huggingface import HFLM

    from gpttasks.integrations.lm_eval import GpttasksLM

    return GpttasksLM(path=str(folder)), HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=1)


def test_log_likelihoods(models):
    requests = [asked(*pair) for pair in PAIRS]
    from lm_eval.api.instance import Instance

    theirs = [Instance("loglikelihood", {}, pair, place) for place, pair in enumerate(PAIRS)]
    for ours, other in zip(models[0].loglikelihood(requests), models[1].loglikelihood(theirs), strict=True):
        assert ours[0] == pytest.approx(other[0], abs=1e-4)
        assert ours[1] == other[1]


@pytest.mark.parametrize("space", [" ", "\n", "\n\n "])
def test_white_space_before_a_continuation_is_part_of_it_in_both(models, space):
    from lm_eval.api.instance import Instance

    pairs = [("A story." + space, "a bad script"), ("A story.", space + "a bad script")]
    ours = models[0].loglikelihood([asked(*pair) for pair in pairs])
    theirs = models[1].loglikelihood([Instance("loglikelihood", {}, pair, 0) for pair in pairs])
    assert ours[0][0] == pytest.approx(ours[1][0], abs=1e-4)
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], abs=1e-3)


def test_rolling(models):
    from lm_eval.api.instance import Instance

    theirs = [Instance("loglikelihood_rolling", {}, (text,), place) for place, text in enumerate(TEXTS)]
    ours = models[0].loglikelihood_rolling([asked(text) for text in TEXTS])
    assert ours == pytest.approx(models[1].loglikelihood_rolling(theirs), abs=1e-3)


def test_a_context_that_is_too_long_is_cut_at_its_beginning_and_reported(models, capsys):
    ours = models[0]
    tokenizer, room = ours.lm.tokenizer, ours.lm.context
    pair = ("What a dull story! " * 40 + "The film was", " good")
    ids = tokenizer.encode("".join(pair))
    kept = tokenizer.decode(ids[-room:])
    assert tokenizer.encode(kept) == ids[-room:], "cut where a word begins, the rest keeps its tokens"
    (long, short) = ours.loglikelihood([asked(*pair), asked(kept.removesuffix(" good"), " good")])
    assert long[0] == pytest.approx(short[0], abs=1e-4)
    assert "1 of 2 contexts were cut at the beginning to fit the model's 128 tokens" in capsys.readouterr().err
    written = ours.generate_until([asked(pair[0], {"until": [], "max_gen_toks": 12})])
    assert len(written) == 1
    assert "1 of 1 contexts" in capsys.readouterr().err


def test_generation(models):
    from lm_eval.api.instance import Instance

    options = {"until": ["\n\n", "zz"], "max_gen_toks": 12, "do_sample": False}
    theirs = [Instance("generate_until", {}, (text, dict(options)), place) for place, text in enumerate(TEXTS[:1])]
    ours = models[0].generate_until([asked(text, dict(options)) for text in TEXTS[:1]])
    assert ours == models[1].generate_until(theirs)


@pytest.mark.parametrize("arguments", [{}, {"path": "nano", "pth": "x"}])
def test_wrong_arguments_are_refused(arguments):
    from gpttasks.integrations.lm_eval import GpttasksLM

    with pytest.raises(UserError, match="model_args"):
        GpttasksLM(**arguments)


def test_several_processes_are_refused(tiny_folder, monkeypatch):
    from gpttasks.integrations.lm_eval import GpttasksLM

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 processes were started"):
        GpttasksLM(path=str(tiny_folder("gpt2")))


def test_an_unknown_generation_option_is_refused(models):
    with pytest.raises(UserError, match="repetition_penalty"):
        models[0].generate_until([asked("A", {"repetition_penalty": 2.0})])


def test_the_command_line_is_that_of_the_harness(tiny_folder, tmp_path):
    (tmp_path / "test.jsonl").write_text('{"q": "The film was", "c": [" good", " bad"], "a": 0}\n' * 3)
    (tmp_path / "t.yaml").write_text(
        f"task: tiny\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {tmp_path}/test.jsonl}}}}\n"
        'test_split: test\noutput_type: multiple_choice\ndoc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\n'
        "doc_to_choice: c\nmetric_list: [{metric: acc}]\n"
    )
    command = [sys.executable, "-m", "gpttasks.integrations.lm_eval", "run", "--model", "gpttasks", "--tasks", "tiny"]
    command += ["--model_args", f"path={tiny_folder('gpt2')}", "--include_path", str(tmp_path), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tiny" in done.stdout


def test_a_run_on_a_changed_base_is_accepted_by_name(recipe, tmp_path, capsys):
    from safetensors.torch import load_file, save_file
    from small_runs import run

    from gpttasks.integrations.lm_eval import GpttasksLM

    text = recipe.read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("backbone:")]
    base = tmp_path / "base"
    shutil.copytree(line.removeprefix("backbone:").strip(), base)
    recipe.write_text(text.replace(line, f"backbone: {base}"))
    folder = str(run(recipe, "out", "train.epochs=1", "score.metrics=[accuracy]").folder)
    requests = [asked("The film was", " good")]
    before = GpttasksLM(path=folder, device="cpu").loglikelihood(requests)
    weights = load_file(base / "model.safetensors")
    save_file({name: value * 1.5 for name, value in weights.items()}, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        FolderError, match=r"model\.safetensors of the base.*add accept_changed=base to --model_args"
    ) as error:
        GpttasksLM(path=folder, device="cpu")
    assert "--accept-changed" not in str(error.value)
    with pytest.raises(FolderError):
        GpttasksLM(path=folder, device="cpu", accept_changed="tokenizer+data")
    capsys.readouterr()
    for accepted in ("base", "data+base", ["base"]):
        assert GpttasksLM(path=folder, device="cpu", accept_changed=accepted).loglikelihood(requests) != before
        assert "warning: model.safetensors of the base model" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"--model_args: accept_changed.*got 'bases'"):
        GpttasksLM(path=folder, device="cpu", accept_changed="bases")
    with pytest.raises(UserError, match="accept_changed is for runs"):
        GpttasksLM(path=str(base), device="cpu", accept_changed="base")
