"""Which head serves which task under which adaptation: each cell is run on a tiny model, or refused with its reason.

python tests/fit_table.py            # runs all cells and writes the table into recipes/README.md
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import gpttasks
from gpttasks import UserError
from gpttasks.markdown import put_between

PAGE = Path(__file__).parents[1] / "recipes" / "README.md"
BEGIN, END = "<!-- fit table: python tests/fit_table.py -->", "<!-- end of the fit table -->"

PROMPT = "{{ text | passage }}\nAnswer:"
TASKS: dict[str, dict[str, Any]] = {
    "classification": {"prompt": PROMPT, "label": "word", "labels": ["good", "bad"]},
    "multi-label-classification": {"prompt": PROMPT, "label": "words", "labels": ["short", "long"]},
    "regression": {"prompt": PROMPT, "label": "stars"},
    "multiple-choice": {"prompt": PROMPT, "choices": "options", "label": "option"},
    "generation": {"prompt": PROMPT, "target": "{{ word }}"},
    "translation": {"source": "text", "target": "german"},
    "question-answering": {"prompt": "{{ question }}\n{{ text | passage }}\nAnswer:", "context": "text"},
    "language-modeling": {"prompt": "{{ text | passage }}"},
    "transcript-correction": {"hypotheses": "heard", "transcript": "text"},
    "punctuation-restoration": {"written": "text"},
}
HEADS = {
    "choice": "accuracy",
    "classifier": "accuracy",
    "multilabel": "subset_accuracy",
    "regression": "mean_squared_error",
    "generate": "distinct",
    "span": "token_f1",
    "lm": "perplexity",
    "rescore": "distinct",
}
IN_SHORT = {
    "the first one had": "each row has its own choices",
    "is not in the passage": "the answer is not in the passage",
}
"""Reasons that name an example, by words of theirs."""
ADAPTATIONS = ("none", "lora", "head-only", "full")


def rows(count: int, start: int) -> list[dict[str, Any]]:
    """Rows with a column for every task."""
    made = []
    for number in range(start, start + count):
        word = ("good", "bad")[number % 2]
        text = f"The film number {number} is a {word} one."
        made.append(
            {
                "text": text,
                "word": word,
                "words": [["short"], [], ["short", "long"]][number % 3],
                "stars": number % 5,
                "options": ["good", "bad", f"number {number}"],
                "option": number % 2,
                "heard": [f"the film {number} is a {word} one", f"film number {number} is {word}"],
                "german": f"Der Film Nummer {number} ist {('gut', 'schlecht')[number % 2]}.",
                "question": "What is it like?",
                "answers": {"text": [word], "answer_start": [text.index(word)]},
            }
        )
    return made


def write_data(folder: Path) -> Path:
    """A folder with splits train, validation and test."""
    folder.mkdir(parents=True)
    for split, count, start in (("train", 8, 0), ("validation", 6, 100), ("test", 6, 200)):
        lines = "".join(json.dumps(row) + "\n" for row in rows(count, start))
        (folder / f"{split}.jsonl").write_text(lines)
    return folder


def run_cell(task: str, head: str, adaptation: str, data: Path, model: Path, folder: Path) -> str | None:
    """None if the cell runs to a finished score, else the reason why it is refused."""
    recipe = {
        "backbone": str(model),
        "task": {"use": task, "data": {"path": str(data)}, **TASKS[task]},
        "head": {"use": head, "max_tokens": 4} if head == "generate" else head,
        "adapt": adaptation,
        "score": {"metrics": [HEADS[head]], "resamples": 2},
        "runtime": {"device": "cpu", "precision": "fp32"},
    }
    if adaptation != "none":
        recipe["train"] = {"steps": 1, "tokens_per_step": 64}
    file = folder / f"{task}-{head}-{adaptation}.yaml"
    file.write_text(json.dumps(recipe))
    try:
        run = gpttasks.run(file, out=folder / file.stem)
    except UserError as error:
        return error.problems[0].message
    assert run.state == "finished"
    return None


def cell(reasons: dict[str, str | None]) -> str:
    """What the table says of a head for a task: the adaptations that work, or why none does."""
    works = [name for name, reason in reasons.items() if reason is None]
    if works:
        return ", ".join(works)
    reason = reasons["lora"] or ""
    needs = re.search(r"needs ([a-z, ]+), but the task fills only", reason)
    in_short = next((short for words, short in IN_SHORT.items() if words in reason), reason)
    return f"– (needs {needs[1]})" if needs else f"– ({in_short})"


def table(cells: dict[tuple[str, str], str]) -> str:
    """The table as Markdown."""
    lines = ["| task | " + " | ".join(f"`{head}`" for head in HEADS) + " |", "|---" * (len(HEADS) + 1) + "|"]
    lines += [f"| `{task}` | " + " | ".join(cells[task, head] for head in HEADS) + " |" for task in TASKS]
    return "\n".join(lines)


def cells_of_page() -> dict[tuple[str, str], str]:
    """The cells as recipes/README.md has them."""
    text = PAGE.read_text("utf-8")
    lines = [line for line in text[text.index(BEGIN) : text.index(END)].splitlines() if line.startswith("| `")]
    found = {}
    for line in lines:
        task, *given = (part.strip() for part in line.strip("| ").split(" | "))
        found.update({(task.strip("`"), head): text for head, text in zip(HEADS, given, strict=True)})
    return found


def main() -> None:
    """Run every cell and write the table."""
    from conftest import save_tiny

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data, model = write_data(folder / "data"), folder / "gpt2"
        save_tiny("gpt2", model)
        cells = {
            (task, head): cell({name: run_cell(task, head, name, data, model, folder) for name in ADAPTATIONS})
            for task in TASKS
            for head in HEADS
        }
    PAGE.write_text(put_between(PAGE.read_text("utf-8"), BEGIN, END, table(cells)), encoding="utf-8")


if __name__ == "__main__":
    main()
