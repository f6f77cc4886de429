"""Tasks of lm-evaluation-harness of every kind, on a few documents, in a folder as users have them."""

from __future__ import annotations

import json
from pathlib import Path

WORDS = ("dull", "fine", "quiet")

CHOICE = """
task: tiny-choice
output_type: multiple_choice
doc_to_text: "The {{word}} film {{number}}\\nIt is"
doc_to_target: label
doc_to_choice: [dull, fine, a quiet one]
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: acc_bytes}, {metric: brier_score}, {metric: mcc}]
"""
TASKS = {
    "tiny-choice": CHOICE,
    "tiny-shots": CHOICE.replace("tiny-choice", "tiny-shots")
    + 'description: "Films and what they are like.\\n\\n"\nfewshot_split: train\nnum_fewshot: 2\n',
    "tiny-first": CHOICE.replace("tiny-choice", "tiny-first")
    + 'target_delimiter: ": "\ngen_prefix: "One word"\n'
    + "num_fewshot: 1\nfewshot_config: {sampler: first_n, split: train}\n",
    "tiny-mutual": """
task: tiny-mutual
output_type: multiple_choice
doc_to_text: "Film {{number}} is"
doc_to_target: "{{label}}"
doc_to_choice: "{{['dull', 'fine', 'quiet']}}"
metric_list: [{metric: acc_mutual_info, aggregation: mean, higher_is_better: true}, {metric: acc}]
""",
    "tiny-contexts": """
task: tiny-contexts
output_type: multiple_choice
doc_to_text: "{{label}}"
doc_to_target: "was what everyone said."
doc_to_choice: "{{['Film ' ~ number ~ ', the dull one', 'Film ' ~ number ~ ', a fine one', 'Film three']}}"
metric_list: [{metric: acc}]
""",
    "tiny-blank": """
task: tiny-blank
output_type: multiple_choice
doc_to_text: ""
doc_to_target: 0
doc_to_choice: "{{[text, 'A film that nobody has seen.']}}"
target_delimiter: ""
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "tiny-word": """
task: tiny-word
output_type: loglikelihood
doc_to_text: "{{text.rsplit(' ', 1)[0]}}"
doc_to_target: "{{' ' + text.rsplit(' ', 1)[1]}}"
metric_list: [{metric: perplexity}, {metric: acc}]
""",
    "tiny-rolling": """
task: tiny-rolling
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text * (number % 4)}}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
""",
    "tiny-written": """
task: tiny-written
output_type: generate_until
doc_to_text: "Film {{number}} is"
doc_to_target: men
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 8, do_sample: false}
metric_list: [{metric: exact_match, regexes_to_ignore: ["[^a-z]"]}]
""",
    "tiny-filtered": """
task: tiny-filtered
output_type: generate_until
doc_to_text: "Film {{number}} is"
doc_to_target: "n"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 8}
repeats: 2
filter_list:
  - {name: letter, filter: [{function: regex, regex_pattern: "([a-z])"}, &first {function: take_first}]}
  - name: last
    filter: [{function: regex, regex_pattern: "([a-z])", group_select: -1}, {function: majority_vote}, *first]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
""",
    "tiny-many": """
task: tiny-many
output_type: generate_until
doc_to_text: "Film {{number}} is"
doc_to_target: "{{[word, 'men', 'menmen']}}"
generation_kwargs: {until: ["."], max_gen_toks: 8}
metric_list: [{metric: exact_match, regexes_to_ignore: ["[^a-z]"]}]
""",
    "tiny-bleu": """
task: tiny-bleu
output_type: generate_until
doc_to_text: "Film {{number}} is"
doc_to_target: "{{text}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8}
metric_list: [{metric: bleu}]
""",
    "tiny-code": """
task: tiny-code
output_type: multiple_choice
process_docs: !function films.shouted
doc_to_text: "Film {{number}}: {{text}}\\nIt is"
doc_to_target: label
doc_to_choice: [dull, fine, a quiet one]
process_results: !function films.scored
metric_list: [{metric: margin, aggregation: mean, higher_is_better: true}]
""",
}
CODE = """
def shouted(docs):
    return docs.map(lambda doc: {"text": doc["text"].upper()})


def scored(doc, results):
    likelihoods = [likelihood for likelihood, greedy in results]
    return {"margin": likelihoods[doc["label"]] - max(likelihoods)}
"""


def document(number: int) -> dict[str, object]:
    """One film."""
    word = WORDS[number % 3]
    text = f"Film number {number} was a {word} story from start to end"
    return {"number": number, "text": text, "word": word, "label": (number * 7) % 3}


def write_tasks(folder: Path, documents: int = 12) -> Path:
    """A folder with the YAML file of each of ``TASKS``, their code and their documents; test is what is scored."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, start in (("train", 100), ("test", 0)):
        lines = (json.dumps(document(number)) + "\n" for number in range(start, start + documents))
        (folder / f"{split}.jsonl").write_text("".join(lines))
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(with_data(text, folder))
    (folder / "films.py").write_text(CODE)
    return folder


def with_data(text: str, folder: Path, splits: str = "training_split: train\ntest_split: test\n") -> str:
    """The YAML of a task with the documents of ``folder``."""
    files = json.dumps({split: str(folder / f"{split}.jsonl") for split in ("train", "test")})
    return f"{text.strip()}\n{splits}dataset_path: json\ndataset_kwargs: {{data_files: {files}}}\n"
