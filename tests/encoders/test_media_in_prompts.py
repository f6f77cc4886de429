"""Media in prompts: embeddings at their place, for every kind of request, shared like text."""

import csv
import random
from pathlib import Path

import pytest
import torch
from pixels import PIXELS, Pixels
from small_runs import run, samples

from gpttasks import LocalBackbone, UserError
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.cli import main
from gpttasks.engine.plain import LocalEngine
from gpttasks.engine.shared import SharedEngine
from gpttasks.errors import BackboneError, DataError, FolderError, RunFailed
from gpttasks.example import Media, Part, as_prompt
from gpttasks.requests import Generate, LogLikelihood, Readout, Rolling

FAMILIES = ["gpt2", "openai-gpt", "opt", "bloom", "llama", "gpt_oss"]
PLUGIN = Path(__file__).with_name("pixels.py")


def image(seed: int, length: int = 3) -> Part:
    return Part(kind="media", media=Media(random.Random(seed).randbytes(length * PIXELS), "image/raw"))


@pytest.fixture(scope="module")
def load(tiny_folder):
    made: dict[str, LocalBackbone] = {}

    def loaded(family: str) -> LocalBackbone:
        if family not in made:
            made[family] = HuggingFace(HuggingFaceOptions(path=str(tiny_folder(family))))
            made[family].load(LoadSettings())
            torch.manual_seed(3)
            made[family].use_encoder(Pixels())
        return made[family]

    return loaded


def naive_logits(backbone: LocalBackbone, pieces: list) -> torch.Tensor:
    """The logits after a row of texts (as ids) and images, with embeddings concatenated by hand."""
    embed, projector = backbone.causal_lm.get_input_embeddings(), backbone.media.encoder.modules()["projector"]
    rows = [
        embed(torch.tensor(piece))
        if isinstance(piece, list)
        else projector(torch.tensor(list(piece.media.data)).view(-1, PIXELS).float() / 255)
        for piece in pieces
    ]
    return backbone.causal_lm(inputs_embeds=torch.cat(rows)[None], use_cache=False).logits[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_between_texts(load, family):
    backbone = load(family)
    encode, begin = backbone.tokenizer.encode, list(backbone.tokenizer.starts_with)
    picture = image(1)
    prompt, after = as_prompt(["The film", picture, " was"]), " good"
    for engine in (LocalEngine(backbone), SharedEngine(backbone)):
        (reply,) = engine.answer([LogLikelihood(prompt, after)])
        with torch.no_grad():
            last = encode(" was good")
            logits = naive_logits(backbone, [begin + encode("The film"), picture, last])
        count = len(last) - len(encode(" was"))
        wanted = torch.log_softmax(logits, -1)[range(-count - 1, -1), last[-count:]].sum()
        assert reply.tokens == count
        assert reply.logprob == pytest.approx(float(wanted), abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_shared_equals_plain(load, family):
    backbone = load(family)
    modules = torch.nn.ModuleDict({"read": torch.nn.Linear(backbone.hidden_size, 2)})
    pictures = [image(seed, length) for seed, length in ((1, 3), (2, 3), (3, 9), (1, 3))]
    requests = [
        LogLikelihood(as_prompt([one, "It is"]), text, (" a", " bc")) for one in pictures for text in (" a", " bc")
    ]
    requests += [Generate(as_prompt([one, "It is"]), 5) for one in pictures]
    if family != "openai-gpt":
        requests += [Generate(as_prompt(["So ", one]), 4, beams=2) for one in pictures[:1]]
    requests += [Readout(as_prompt([one, "It is"]), "read") for one in pictures]
    plain = LocalEngine(backbone, modules).answer(requests)
    shared = SharedEngine(backbone, modules).answer(requests)
    for one, other in zip(plain, shared, strict=True):
        assert getattr(one, "text", None) == getattr(other, "text", None)
        assert getattr(other, "logprob", 0) == pytest.approx(getattr(one, "logprob", 0), abs=1e-3)
        assert getattr(other, "values", ()) == pytest.approx(getattr(one, "values", ()), abs=1e-4)
    assert plain[0] == plain[6], "the same bytes"
    assert plain[0].logprob != pytest.approx(plain[2].logprob, abs=1e-5), "other bytes"


def test_a_model_that_searches_no_beams_after_embeddings(load):
    with pytest.raises(RunFailed, match="openai-gpt cannot search beams after audio or images"):
        LocalEngine(load("openai-gpt")).answer([Generate(as_prompt([image(1), "It is"]), 4, beams=2)])


def test_the_same_image_is_read_once(load):
    def read(*seeds: int) -> int:
        engine = SharedEngine(load("llama"))
        engine.answer(
            [LogLikelihood(as_prompt([image(seed, 20), "It is"]), after) for seed in seeds for after in (" a", " b")]
        )
        return engine.work()["tokens_read"]

    assert read(5) == read(5, 5) < read(5, 6)


def test_what_cannot_be_read_is_told(load, tiny_folder):
    backbone = load("gpt2")
    with pytest.raises(DataError, match="the encoder 'pixels' reads image, but the prompt has audio/wav"):
        LocalEngine(backbone).answer([LogLikelihood((Part(kind="media", media=Media(b"RIFF", "audio/wav")),), " a")])
    with pytest.raises(DataError, match="got 3 bytes, expected rows of 4"):
        LocalEngine(backbone).answer([LogLikelihood((Part(kind="media", media=Media(b"abc", "image/raw")),), " a")])
    with pytest.raises(DataError, match="have no likelihood"):
        LocalEngine(backbone).answer([Rolling((image(1),))])
    with pytest.raises(DataError, match="the prompt has 0 passages"):
        LocalEngine(backbone).answer([Readout((image(1),), "read", "passage")])
    without = HuggingFace(HuggingFaceOptions(path=str(tiny_folder("gpt2"))))
    without.load(LoadSettings())
    with pytest.raises(DataError, match="the prompt has image/raw, but the recipe names no encoder"):
        LocalEngine(without).answer([LogLikelihood((image(1),), " a")])


@pytest.mark.parametrize("at", ["passage", ((0, 5), (6, 10))])
def test_a_passage_beside_an_image_is_read(load, at):
    backbone = load("llama")
    modules = torch.nn.ModuleDict({"read": torch.nn.Linear(backbone.hidden_size, 2)})
    prompts = [(image(seed), Part("This: "), Part("black text", "passage"), Part("?")) for seed in (1, 2)]
    asked = [Readout(prompt, "read", at) for prompt in prompts]
    plain, shared = (engine(backbone, modules).answer(asked) for engine in (LocalEngine, SharedEngine))
    for one, other in zip(plain, shared, strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-4)
    assert plain[0].values != pytest.approx(plain[1].values, abs=1e-4), "the image before the passage matters"


def test_an_image_counts_when_prompts_are_cut(load):
    backbone = load("gpt2")
    prompt = as_prompt([image(1, 60), Part("word " * 100, "passage"), "End"])
    (reply,) = LocalEngine(backbone).answer([LogLikelihood(prompt, " a")])
    assert reply.cut.tokens > 0
    with pytest.raises(DataError, match="without its passages"):
        LocalEngine(backbone).answer([LogLikelihood(as_prompt([image(1, 200), "End"]), " a")])


@pytest.fixture
def colours(recipe: Path) -> Path:
    """A recipe of dark and bright images."""
    for name, count in (("train", 48), ("test", 16)):
        with open(recipe.parent / "data" / f"{name}.csv", "w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["pixels", "label"])
            for number in range(count):
                bright, draw = number % 2, random.Random(f"{name} {number}")
                values = [draw.randrange(128) + 127 * bright for _ in range(PIXELS * draw.randint(1, 4))]
                writer.writerow([bytes(values).hex(), bright])
    text = recipe.read_text()
    start, end = text.index("task:"), text.index("head:")
    task = "task: {use: colours, data: {path: data}}\nencoder: pixels\n"
    recipe.write_text(text[:start] + task + text[end:])
    return recipe


@pytest.mark.parametrize("head", ["choice", "classifier", "{use: generate, max_tokens: 10}"])
def test_every_head_learns_from_images(colours: Path, head: str, capsys: pytest.CaptureFixture[str]) -> None:
    changes = [f"head={head}", "train.epochs=10", "train.tokens_per_step=128", "train.learning_rate=0.01"]
    if "generate" in head:
        changes += ["score.metrics=[exact_match]"]
    trained = run(colours, "trained", *changes, plugins=PLUGIN)
    assert trained.scores["exact_match" if "generate" in head else "accuracy"].value >= 0.8, "told apart"
    assert (trained.folder / "head" / "encoder.safetensors").is_file()
    again = run(
        colours,
        "again",
        *changes[:1],
        *changes[4:],
        f"backbone={trained.folder}",
        "adapt=none",
        "train=null",
        plugins=PLUGIN,
    )
    assert [one.answer for one in samples(again.folder)] == [one.answer for one in samples(trained.folder)]
    assert "encoder:pixels" in next(iter(again.scores.values())).way


def test_an_encoder_that_nothing_trains_is_refused(colours: Path) -> None:
    with pytest.raises(UserError, match="the encoder 'pixels' has to be trained"):
        run(colours, "out", "adapt=none", "train=null", plugins=PLUGIN)
    text = "use: classification, prompt: '{{ pixels }}', label: label, labels: [dark, bright], "
    text += f"data: {{path: {colours.parent / 'data'}}}"
    plain = run(
        colours,
        "plain",
        "encoder=null",
        f"task={{{text}}}",
        plugins=PLUGIN,
    )
    with pytest.raises(BackboneError, match="has no encoder; choose an adaptation"):
        run(colours, "out", "adapt=none", "train=null", f"backbone={plain.folder}", plugins=PLUGIN)
    with pytest.raises(UserError, match="takes text only"):
        run(colours, "out", "backbone=mock", "adapt=none", "train=null", plugins=PLUGIN)


def test_an_unknown_encoder_is_told_at_its_place(colours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(colours), "--plugin", str(PLUGIN)]) == 0
    assert main(["check", str(colours), "encoder=pixel", "--plugin", str(PLUGIN)]) == 2
    assert "did you mean 'pixels'" in capsys.readouterr().err


def test_a_media_file_with_other_content_under_the_same_name_is_other_data(colours: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "files.py"
    text = PLUGIN.read_text().replace(
        'bytes.fromhex(row["pixels"])', '__import__("pathlib").Path(row["pixels"]).read_bytes()'
    )
    plugin.write_text(text)
    for split in ("train", "test"):
        table = colours.parent / "data" / f"{split}.csv"
        with table.open() as read:
            rows = list(csv.DictReader(read))
        for number, row in enumerate(rows):
            image = tmp_path / f"{split}-{number}.raw"
            image.write_bytes(bytes.fromhex(row["pixels"]))
            row["pixels"] = str(image)
        with table.open("w", newline="") as out:
            writer = csv.DictWriter(out, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    changes = ("head=choice", "train.epochs=1")
    first = run(colours, "out", *changes, plugins=plugin)
    assert {"train/media", "test/media"} <= set(first.record.dependencies.data)
    assert run(colours, "out", *changes, plugins=plugin).reused
    before = image.read_bytes()
    image.write_bytes(bytes(255 - byte for byte in before))
    with pytest.raises(FolderError, match="the content of the media files of the test data changed since"):
        run(colours, "out", *changes, plugins=plugin)
    accepted = run(colours, "out", *changes, plugins=plugin, accept_changed=["data"])
    assert accepted.reused
    assert any("media files of the test data" in note for note in accepted.notes)
    image.write_bytes(before)
    assert run(colours, "out", *changes, plugins=plugin).reused
    image.unlink()
    assert any(note.startswith("not compared: data") for note in run(colours, "out", *changes, plugins=plugin).notes)
