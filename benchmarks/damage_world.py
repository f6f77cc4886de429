"""The folder in which ``damages.py`` does its damages: tiny models, data, a plugin, and runs in several states.

Everything has relative paths, and the folder is the working directory of each command.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXTS = ["A good film with a good end.", "Number 7: a dull film.", "Boring, bad and poor; nobody stayed."]

REVIEWS = """task:
  use: classification
  data: {path: data}
  prompt: "{{ text | passage }}\\nSentiment:"
  labels: [negative, positive]
"""
RUNTIME = """runtime: {precision: fp32, device: cpu, threads: 1, checkpoint_minutes: 0.0001}
"""
RECIPES = {
    "tiny": "backbone: model\n"
    + REVIEWS
    + """head: classifier
adapt: {use: lora, rank: 4, dropout: 0.1}
train: {epochs: 2, learning_rate: 2.0e-2, tokens_per_step: 150, validate: {every: 2, limit: 8, best: log_loss}}
score: {metrics: [accuracy, log_loss], resamples: 50}
"""
    + RUNTIME,
    "full": "backbone: model\n"
    + REVIEWS
    + """head: choice
adapt: full
train: {steps: 4, learning_rate: 1.0e-2, tokens_per_step: 150}
score: {metrics: [accuracy, log_loss], resamples: 50}
"""
    + RUNTIME,
    "speech": """
backbone: model
encoder: {use: pretrained-audio, path: encoder}
task:
  use: classification
  data: {path: audio, overlap: allow}
  prompt: "{{ audio | media }}\\nDigit:"
  labels: [zero, one, two]
head: choice
adapt: {use: lora, rank: 4}
train: {steps: 4, learning_rate: 1.0e-2, tokens_per_step: 30}
score: {metrics: [accuracy, log_loss], resamples: 50}
"""
    + RUNTIME,
    "film": """
backbone: model
task: {use: films, data: {path: data}}
head: {use: film-choice}
adapt: {use: lora, rank: 4}
train: {steps: 4, learning_rate: 1.0e-2, tokens_per_step: 150}
score: {metrics: [accuracy, sureness], resamples: 50}
"""
    + RUNTIME,
    "words": "backbone: model\n"
    + REVIEWS
    + """head: choice
score: {metrics: [accuracy, log_loss], resamples: 50}
runtime: {precision: fp32, device: cpu, threads: 1}
""",
    "after": """
backbone: {use: run, path: finished}
"""
    + REVIEWS
    + """head: classifier
score: {metrics: [accuracy, log_loss], resamples: 50}
runtime: {precision: fp32, device: cpu, threads: 1}
""",
    "answers": """
backbone: model
task:
  use: generation
  data: {path: many}
  prompt: "{{ text | passage }}\\nShort:"
  target: label
head: {use: generate, max_tokens: 16}
score: {metrics: [exact_match], resamples: 50}
runtime: {precision: fp32, device: cpu, threads: 1, tokens_per_batch: 512}
""",
    "tuned": """
backbone: model
task:
  use: transcript-correction
  data: {path: speech_text}
  hypotheses: input
  transcript: output
  prompt: "Transcript:"
head: rescore
score: {metrics: [wer], resamples: 50}
runtime: {precision: fp32, device: cpu, threads: 1}
""",
}


RECIPES["other"] = RECIPES["tiny"] + "seed: 7\n"

PLUGIN = '''"""Films: a task, a head and a metric."""

from pathlib import Path

import film_words
from gpttasks import Answer, Example, Head, LogLikelihood, LogLikelihoodReply, Metric, Task, TextHead, hookimpl

QUESTION = (Path(__file__).parent / "question.txt").read_text("utf-8")


class Films(Task):
    """Is a review of a film positive?"""

    name = "films"
    fields = frozenset({"prompt", "choices", "label"})
    answer_columns = frozenset({"label"})
    input_columns = frozenset({"text"})

    def example(self, row):
        label = film_words.WORDS.index(row["label"]) if row.get("label") else None
        return Example(row["text"] + QUESTION, choices=film_words.WORDS, label=label)


class FilmChoice(TextHead):
    """The more likely word."""

    name = "film-choice"
    needs = frozenset({"prompt", "choices"})
    trains_on = frozenset({"prompt", "choices", "label"})
    gives = "label"
    asks = frozenset({LogLikelihood})

    def requests(self, example):
        return [LogLikelihood(example.prompt, " " + choice) for choice in example.choices]

    def answer(self, example, replies):
        values = [reply.logprob for reply in replies if isinstance(reply, LogLikelihoodReply)]
        best, tie = self.best_choice(example, values)
        return Answer(best, example.choices[best], scores=tuple(values), detail={"tie": tie})

    def items(self, example):
        yield self.item(self.rows(self.requests(example)[example.label]), example.label)


class Sureness(Metric):
    """The distance between the two log-likelihoods."""

    name = "sureness"
    statistic = "mean"
    needs = frozenset({"label"})
    takes = frozenset({"label"})
    reads = frozenset({"scores"})
    scale = (0.0, None)
    higher_is_better = True

    def sample(self, example, answer):
        return (abs(answer.scores[0] - answer.scores[1]),)


@hookimpl
def gpttasks_register(register):
    register.task(Films)
    register.head(FilmChoice)
    register.metric(Sureness)
'''

WORDS = '''"""The words of the answers."""

WORDS = ("negative", "positive")
'''


def build(live: Path) -> None:
    """Write models, data, plugin and recipes; the runs are made by commands."""
    sys.path.insert(0, str(ROOT / "tests"))
    from conftest import save_tiny
    from small_runs import write_reviews
    from tiny_audio import save_tiny_audio, write_tones

    save_tiny("gpt2", live / "model")
    tokenizer = live / "model" / "tokenizer_config.json"
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text("utf-8")) | {"chat_template": template}, indent=2))
    save_tiny("llama", live / "llama")
    save_tiny_audio("wav2vec2", live / "encoder")
    for folder in ("data", "many", "audio", "speech_text", "plug"):
        (live / folder).mkdir()
    write_reviews(live / "data" / "train.csv", 24)
    write_reviews(live / "data" / "validation.csv", 8, 200)
    write_reviews(live / "data" / "test.csv", 12, 100)
    write_reviews(live / "many" / "test.csv", 500)
    write_tones(live / "audio")
    for split, rows in (("train", 6), ("test", 3)):
        lines = [{"id": number, "audio": f"{number % 3}.wav", "label": number % 3} for number in range(rows)]
        (live / "audio" / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for split, start in (("train", 0), ("test", 50)):
        lines = [
            {
                "input": [f"the number is {n}", f"a number is {n}", f"the {n}"],
                "output": f"{'the' if n % 3 else 'a'} number is {n}",
            }
            for n in range(start, start + 9)
        ]
        (live / "speech_text" / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (live / "plug" / "film.py").write_text(PLUGIN)
    (live / "plug" / "film_words.py").write_text(WORDS)
    (live / "plug" / "question.txt").write_text("\nSentiment:")
    for name, text in RECIPES.items():
        (live / f"{name}.yaml").write_text(text.lstrip())
    (live / "new.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
