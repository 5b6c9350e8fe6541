"""Published models of sequences: their files, their vocabularies, and plain torch modules.

Nothing that is read can run code: weights are safetensors, or tensors that torch reads with
`weights_only=True`, and the modules are those of this package or of `transformers`.
"""

from distembed.registry import Family, Member

__all__ = ["PRETRAINED"]

_PRETRAINED = "distembed.pretrained"
PRETRAINED: Family = {
    "hyenadna": Member(
        f"{_PRETRAINED}.hyenadna:HyenaDNA", "a causal model of DNA", atoms=("tokens",)
    ),
    "progen2": Member(
        f"{_PRETRAINED}.progen2:ProGen2", "causal transformers of proteins", atoms=("tokens",)
    ),
    "causal_lm": Member(
        f"{_PRETRAINED}.native:CausalLM",
        "any causal language model of transformers",
        extra="lm",
        atoms=("tokens",),
    ),
    "esm2": Member(
        f"{_PRETRAINED}.native:ESM2",
        "a masked language model of proteins: encodes alone",
        extra="lm",
        atoms=("tokens",),
    ),
}
