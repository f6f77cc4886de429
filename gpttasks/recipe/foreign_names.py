"""What people write who come from PEFT, Trainer or lm-evaluation-harness, and what it is called here."""

from __future__ import annotations

_KEYS = {
    # PEFT
    "r": "adapt.rank",
    "lora_r": "adapt.rank",
    "lora_rank": "adapt.rank",
    "lora_alpha": "adapt.alpha",
    "lora_dropout": "adapt.dropout",
    "target_modules": "adapt.targets",
    "lora_target": "adapt.targets",
    "use_dora": "adapt.dora",
    "use_rslora": "adapt.rslora",
    "modules_to_save": "adapt.peft.modules_to_save",
    "init_lora_weights": "adapt.peft.init_lora_weights",
    "peft_type": "adapt.use",
    # Trainer and its relatives
    "lr": "train.learning_rate",
    "learning_rate": "train.learning_rate",
    "num_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "epochs": "train.epochs",
    "max_steps": "train.steps",
    "warmup_steps": "train.warmup",
    "warmup_ratio": "train.warmup",
    "lr_scheduler": "train.schedule",
    "lr_scheduler_type": "train.schedule",
    "max_grad_norm": "train.clip",
    "weight_decay": "train.weight_decay",
    "save_steps": "runtime.checkpoint_minutes",
    "early_stopping_patience": "train.validate.patience",
    "eval_steps": "train.validate.every",
    "eval_strategy": "train.validate",
    "model": "backbone",
    "model_name": "backbone",
    "model_name_or_path": "backbone",
    "base_model": "backbone",
    "pretrained": "backbone",
    "torch_dtype": "runtime.precision",
    "dtype": "runtime.precision",
    "bf16": "runtime.precision",
    "fp16": "runtime.precision",
    "mixed_precision": "runtime.precision",
    "device": "runtime.device",
    "report_to": "runtime.trackers",
    # lm-evaluation-harness
    "num_fewshot": "score.shots",
    "n_shot": "score.shots",
    "shots": "score.shots",
    "fewshot_split": "score.shots_from",
    "metric_list": "score.metrics",
    "metrics": "score.metrics",
    "limit": "score.limit",
    "until": "head.stop",
    "max_gen_toks": "head.max_tokens",
    "max_new_tokens": "head.max_tokens",
    "do_sample": "head.temperature",
    "num_beams": "head.beams",
    "target_delimiter": "head.separator",
    "doc_to_text": "task.prompt",
    "doc_to_target": "task.target",
    "doc_to_choice": "task.choices",
    "description": "task.prompt",
    "split": "score.split",
    "bootstrap_iters": "score.resamples",
    "random_seed": "seed",
    "dataset_path": "task.data.path",
    "dataset": "task.data.path",
    "dataset_name": "task.data.config",
    "test_split": "task.data.splits.test",
    "training_split": "task.data.splits.train",
    "validation_split": "task.data.splits.validation",
}
_HINTS = {
    "batch_size": "gpttasks counts tokens: train.tokens_per_step is the size of an optimiser step, and "
    "runtime.tokens_per_batch that of a forward pass, which is found by itself",
    "output_dir": "the run folder is chosen on the command line, with --out",
    "max_seq_length": "the context is that of the backbone; only passages are cut to it: {{ column | passage }}",
    "gradient_checkpointing": "there is no such option",
    "task_type": "leave it out: the head says what kind of task it is",
    "fewshot_seed": "seed draws and orders the shots, data_seed the examples",
    "output_type": "leave it out: the head says it: generate for generate_until, choice for multiple_choice, lm for "
    "loglikelihood and loglikelihood_rolling",
    "filter_list": "a metric of texts has extract, a regular expression that finds the answer: "
    "score.metrics=[{use: exact_match, extract: EXPRESSION}]",
    "apply_chat_template": "there is no such option; write the template into task.prompt",
    "train_on_inputs": "there is no such option: only answers are trained on",
    "load_in_4bit": "there is no such option; runtime.precision=bf16 saves memory",
    "generation_kwargs": "its keys are options of the head: head.stop, head.max_tokens, head.temperature",
    "data": "here it is task.data: write its keys as task.data.path, task.data.splits and so on",
    "optim": "there is no such option: the optimiser is AdamW",
    "tasks": "a recipe has one task; give its file name to gpttasks run",
}
_SAME = {
    "load_in_8bit": "load_in_4bit",
    "quantization_config": "load_in_4bit",
    "optimizer": "optim",
    "filter": "filter_list",
    "gen_kwargs": "generation_kwargs",
    "per_device_train_batch_size": "batch_size",
    "per_device_eval_batch_size": "batch_size",
    "micro_batch_size": "batch_size",
    "gradient_accumulation_steps": "batch_size",
    "max_length": "max_seq_length",
    "max_seq_len": "max_seq_length",
    "cutoff_len": "max_seq_length",
    "block_size": "max_seq_length",
    "output_path": "output_dir",
}
_METRICS = {
    "acc": "accuracy",
    "acc_norm": "normalised_accuracy",
    "em": "exact_match",
    "mcc": "matthews_correlation",
    "matthews_corrcoef": "matthews_correlation",
    "f1_macro": "{use: f1, average: macro}",
    "macro_f1": "{use: f1, average: macro}",
    "f1_weighted": "{use: f1, average: weighted}",
    "squad": "[exact_match, token_f1]",
    "rouge1": "{use: rouge, type: rouge1}",
    "rouge2": "{use: rouge, type: rouge2}",
    "rougeL": "{use: rouge, type: rougeL}",
    "sacrebleu": "bleu",
    "chrf++": "{use: chrf, word_order: 2}",
    "ppl": "perplexity",
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "pearsonr": "pearson",
    "spearmanr": "spearman",
    "brier_score": "log_loss, a proper score of probabilities too; there is no Brier score",
    "ece": "calibration_error",
}


def key_hint(key: str) -> str | None:
    """What another tool's key is called here, as a hint; None for a key of no tool that is known."""
    if key in _KEYS:
        return f"here it is {_KEYS[key]}"
    return _HINTS.get(_SAME.get(key, key))


def metric_hint(name: str) -> str | None:
    """What another tool's metric is called here, as a hint; None for a metric of no tool that is known."""
    return f"here it is {_METRICS[name]}" if name in _METRICS else None
