"""Models of `transformers`: any causal language model, and ESM-2 (Lin et al., 2023).

Only classes of `transformers` itself are used, never code that a model brings, and only weights in
safetensors. What the file holds and what the class expects are compared: a model that was loaded
in part would run with random weights.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from distembed.pretrained.base import Vocabulary, check_positions
from distembed.pretrained.files import Files, Source, read_config
from distembed.registry import need

__all__ = ["CausalLM", "ESM2", "NativeCache"]

ESM_VOCABULARY = Vocabulary(
    {symbol: 4 + i for i, symbol in enumerate("LAGVSERTIDPKQNFYMHWCXBUZO.-")}, start=(0,), stop=2
)
"""Letters in the order of the published vocabulary, between `<cls>` and `<eos>`."""


@dataclass
class NativeCache:
    """The cache of a causal model of `transformers`, and the number of positions in it."""

    length: int = 0
    content: Any = None


class CausalLM(nn.Module):
    """Any causal language model that `AutoModelForCausalLM` has a class for.

    Args:
        model: The model.
        vocabulary: Its tokens of one symbol.
    """

    model: Any

    def __init__(self, model: Any, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.model = model
        self.vocabulary, self.both_ways = vocabulary, False
        self.source: Source | None = None
        self.remark = ""
        config = self.model.config.get_text_config()
        self.width: int = self.model.get_input_embeddings().weight.shape[1]
        self.limit: int | None = getattr(config, "max_position_embeddings", None)
        names = inspect.signature(self.model.forward).parameters
        # transformers has renamed the argument and the output
        self._cache_name = "cache" if "cache" in names else "past_key_values"

    @classmethod
    def load(cls, files: Files) -> CausalLM:
        """Read a published model and the one-symbol tokens of its tokenizer.

        Raises:
            ValueError: If `transformers` has no class for it, or the weights are not those of the
                class.
        """
        loaded, remark = _load(files, "AutoModelForCausalLM")
        vocabulary, merges = _vocabulary(files, loaded.config)
        model = cls(loaded, vocabulary)
        model.source, model.remark = files.source, f"{remark} {merges}".strip()
        return model

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CausalLM:
        """Make a model with random weights; symbols have the tokens of their code points.

        Raises:
            ValueError: If there is no such model.
        """
        model = _random(config, "AutoModelForCausalLM")
        rows = model.get_input_embeddings().weight.shape[0]
        ids = {chr(i): i for i in range(1, rows) if chr(i).isprintable()}
        return cls(model, Vocabulary(ids, stop=0))

    def drop_head(self) -> None:
        """Remove the head, where states alone are of use."""
        self.model = self.model.base_model

    @property
    def blocks(self) -> nn.Module:
        """The part without the head."""
        part: nn.Module = self.model.base_model
        return part

    def embed(self, ids: Tensor) -> Tensor:
        """Return the vectors of tokens, `(N, T) -> (N, T, D)`, scaled as the model scales them."""
        u: Tensor = self.model.get_input_embeddings()(ids)
        return u

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states of tokens, `(N, T) -> (N, T, D)`, padded at the end."""
        self._check(ids.shape[1])
        out = self.model.base_model(input_ids=ids, attention_mask=mask.long(), use_cache=False)
        h: Tensor = out.last_hidden_state
        return h

    def logits(self, u: Tensor, cache: NativeCache | None = None) -> Tensor:
        """Return the logits of the next token, `(N, T, D) -> (N, T, rows)`.

        Raises:
            ValueError: If there are more positions than the model has.
        """
        read = 0 if cache is None else cache.length
        self._check(read + u.shape[1])
        # a mask of ones: models guess pads from ids otherwise
        mask = torch.ones(len(u), read + u.shape[1], dtype=torch.int64, device=u.device)
        past = {} if cache is None else {self._cache_name: cache.content}
        out = self.model(inputs_embeds=u, attention_mask=mask, use_cache=cache is not None, **past)
        if cache is not None:
            cache.length += u.shape[1]
            cache.content = out[self._cache_name]
        logits: Tensor = out.logits
        return logits

    def new_cache(self) -> NativeCache:
        """Return an empty cache."""
        return NativeCache()

    def _check(self, needed: int) -> None:
        name = self.model.config.model_type
        check_positions(name, self.limit, needed, "The prefix and the sequence")


class ESM2(nn.Module):
    """ESM-2, a masked language model of proteins, without its heads.

    Args:
        model: The `EsmModel`.
    """

    model: Any

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.vocabulary, self.both_ways = ESM_VOCABULARY, True
        self.source: Source | None = None
        self.remark = ""
        config = self.model.config
        self.width: int = config.hidden_size
        rotary = config.position_embedding_type == "rotary"
        # other positions begin after the token of pads
        self.limit = None if rotary else config.max_position_embeddings - config.pad_token_id - 1

    @classmethod
    def load(cls, files: Files) -> ESM2:
        """Read a published model; its heads are left out.

        Raises:
            ValueError: If it is another model, or the weights are not those of the class.
        """
        kind, rows = (read_config(files).get(name) for name in ("model_type", "vocab_size"))
        if (kind, rows) != ("esm", 33):
            raise ValueError(
                f"config.json describes a model of type {kind!r} with {rows} tokens, and esm with "
                "33 was expected. Name another member, or another folder."
            )
        loaded, remark = _load(files, "EsmModel", ignored=("lm_head.",), add_pooling_layer=False)
        model = cls(loaded)
        model.source, model.remark = files.source, remark
        return model

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ESM2:
        """Make a model with random weights.

        Raises:
            ValueError: If the sizes are not possible.
        """
        full = {"model_type": "esm", "vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32}
        full |= {"position_embedding_type": "rotary", "token_dropout": True}
        return cls(_random(full | dict(config), "EsmModel", add_pooling_layer=False))

    def drop_head(self) -> None:
        """Remove the prediction of contacts, which the states do not depend on."""
        self.model.contact_head = nn.Identity()

    @property
    def blocks(self) -> nn.Module:
        """The layers."""
        part: nn.Module = self.model.encoder
        return part

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states of tokens, `(N, T) -> (N, T, D)`; pads are masked."""
        check_positions("esm2", self.limit, ids.shape[1], "The sequence, its start and its end")
        h: Tensor = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return h


def _load(
    files: Files, name: str, ignored: tuple[str, ...] = (), **options: Any
) -> tuple[Any, str]:
    """Read a model with a class of `transformers`, and compare keys and shapes."""
    transformers = need("transformers", "lm")
    if any(file.suffix not in (".safetensors", ".json") for file in files.weights):
        raise ValueError(
            f"{files.folder} has no safetensors, the only weights that are read for this model, "
            "because a pickle can run code. Convert them where they were published."
        )
    with _quiet(transformers):
        try:
            model, info = getattr(transformers, name).from_pretrained(
                files.folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are reported below, by name
                **options,
            )
        except (ValueError, OSError, RuntimeError, KeyError, TypeError) as error:
            raise ValueError(
                f"transformers {transformers.__version__} has no model for {files.folder}: "
                f"{str(error).splitlines()[0] if str(error) else type(error).__name__}. Code that "
                "a model brings is never run; models that need it are not read, except hyenadna "
                "and progen2, which are members of their own."
            ) from error
    problems = []
    for key, what in (
        ("missing_keys", "missing"),
        ("unexpected_keys", "unexpected"),
        ("mismatched_keys", "of another shape"),
    ):
        names = sorted(map(_name, info[key]))
        names = [name for name in names if not name.startswith(ignored)]
        if names:
            problems.append(f"{len(names)} {what}: {', '.join(names[:3])}")
    if problems:
        raise ValueError(
            f"The weights in {files.folder} are not those of {type(model).__name__}: "
            f"{'; '.join(problems)}. They are of another model, renamed, or not complete; use "
            "config.json and weights of one publication."
        )
    return model, _types(files)


def _name(entry: Any) -> str:
    return entry if isinstance(entry, str) else str(entry[0])


def _random(config: Mapping[str, Any], name: str, **options: Any) -> Any:
    transformers = need("transformers", "lm")
    fields = dict(config)
    kind = fields.pop("model_type", None)
    try:
        built = transformers.AutoConfig.for_model(kind, **fields)
        automatic = name.startswith("Auto")
        target = getattr(transformers, name)
        return target.from_config(built) if automatic else target(built, **options)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"transformers has no model for the config {dict(config)}: {error}. Name a model_type "
            "that it has, such as gpt2, and sizes that fit each other."
        ) from error


def _types(files: Files) -> str:
    """Return a sentence on weights that are not stored in float32."""
    types = set()
    for file in files.weights:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as content:
                types |= {content.get_slice(name).get_dtype() for name in content.keys()}
    types -= {"F32", "I64", "BOOL", "U8"}
    if not types:
        return ""
    return f"Weights are stored as {', '.join(sorted(types))} and were cast to float32."


def _vocabulary(files: Files, config: Any) -> tuple[Vocabulary, str]:
    """Return the tokens of one symbol of a tokenizer, of its start and its end, and a remark."""
    transformers = need("transformers", "lm")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            files.folder, local_files_only=True, trust_remote_code=False
        )
        tokens: Mapping[str, int] = tokenizer.get_vocab()
    except (ValueError, OSError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ValueError(
            f"{files.folder} has no tokenizer that transformers reads ({type(error).__name__}). "
            "Copy tokenizer.json from where the model is published."
        ) from error
    text = config.get_text_config()
    rows = text.vocab_size
    special = set(tokenizer.all_special_ids)
    ids = {t: i for t, i in tokens.items() if len(t) == 1 and i < rows and i not in special}
    if not ids:
        raise ValueError(
            f"{files.folder} has no tokenizer with tokens of one symbol. Copy tokenizer.json from "
            "where the model is published, or choose a model of single letters."
        )
    start, stop = (
        _valid((getattr(tokenizer, name, None), getattr(text, name, None)), rows)
        for name in ("bos_token_id", "eos_token_id")
    )
    longer = sum(len(t) > 1 and set(t) <= ids.keys() for t in tokens)
    merges = (
        f"The tokenizer of {files.source.path} has {longer} tokens of several symbols; here every "
        "symbol is a token of its own, as the model may have read it rarely."
    )
    return Vocabulary(ids, () if start is None else (start,), stop), merges if longer else ""


def _valid(candidates: Iterable[Any], rows: int) -> int | None:
    """Return the first that is a row of the embedding."""
    return next((c for c in candidates if type(c) is int and 0 <= c < rows), None)


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Run without the progress bars and the reports of `transformers`."""
    log = transformers.utils.logging
    shown, level = log.is_progress_bar_enabled(), log.get_verbosity()
    log.disable_progress_bar()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if shown:
            log.enable_progress_bar()
