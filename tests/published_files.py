"""Tiny models with random weights, written as the published files are: names, shapes, spellings.

The tensors are made from the published names, not from the modules that are tested.
"""

import json

import torch
from safetensors.torch import save_file

HYENA_LIMIT, PROGEN_LIMIT = 34, 40


def hyena_tensors(rng, width=16, depth=2, rows=16, inputs=5, hidden=8, limit=HYENA_LIMIT):
    """Weights of a HyenaDNA under the names of a training checkpoint, without a prefix."""

    def draw(*shape, scale=0.3):
        return scale * torch.randn(*shape, generator=rng)

    tensors = {"embeddings.word_embeddings.weight": draw(rows, width, scale=1.0)}
    for i in range(depth):
        frequency = 1 + draw(1, hidden)
        block = {
            "norm1.weight": 1 + draw(width),
            "norm1.bias": draw(width),
            "norm2.weight": 1 + draw(width),
            "norm2.bias": draw(width),
            "mixer.in_proj.weight": draw(3 * width, width),
            "mixer.in_proj.bias": draw(3 * width),
            "mixer.short_filter.weight": draw(3 * width, 1, 3, scale=0.6),
            "mixer.short_filter.bias": draw(3 * width),
            "mixer.out_proj.weight": draw(width, width),
            "mixer.out_proj.bias": draw(width),
            "mixer.filter_fn.bias": draw(width),
            "mixer.filter_fn.implicit_filter.0.weight": draw(hidden, inputs, scale=1.0),
            "mixer.filter_fn.implicit_filter.0.bias": draw(hidden),
            "mixer.filter_fn.implicit_filter.1.freq": frequency,
            "mixer.filter_fn.implicit_filter.2.weight": draw(hidden, hidden),
            "mixer.filter_fn.implicit_filter.2.bias": draw(hidden),
            "mixer.filter_fn.implicit_filter.3.freq": frequency,
            "mixer.filter_fn.implicit_filter.4.weight": draw(hidden, hidden),
            "mixer.filter_fn.implicit_filter.4.bias": draw(hidden),
            "mixer.filter_fn.implicit_filter.5.freq": frequency,
            "mixer.filter_fn.implicit_filter.6.weight": draw(width, hidden),
            "mixer.filter_fn.pos_emb.z": position_features(limit, inputs)[None].float(),
            "mixer.filter_fn.pos_emb.t": torch.linspace(0, 1, limit)[None, :, None],
            "mixer.filter_fn.modulation.deltas": torch.zeros(1, 1, width),
            "mlp.fc1.weight": draw(4 * width, width),
            "mlp.fc1.bias": draw(4 * width),
            "mlp.fc2.weight": draw(width, 4 * width),
            "mlp.fc2.bias": draw(width),
        }
        tensors |= {f"layers.{i}.{name}": value for name, value in block.items()}
    return tensors | {"ln_f.weight": 1 + draw(width), "ln_f.bias": draw(width)}


def position_features(limit, inputs):
    """Features of positions, `(limit, inputs)` in float64, one position after the other."""
    bands = (inputs - 1) // 2
    rates = [1e-4 + b * (bands - 1 - 1e-4) / max(1, bands - 1) for b in range(bands)]
    rows = []
    for n in range(limit):
        w = torch.tensor(2 * torch.pi * n / limit, dtype=torch.float64)
        cosines = [torch.cos(f * w) for f in rates]
        sines = [-torch.sin(f * w) for f in rates]
        time = torch.tensor(n / (limit - 1), dtype=torch.float64)
        rows.append(torch.stack([time, *cosines, *sines]))
    return torch.stack(rows)


def hyena_config(hf, width=16, depth=2, limit=HYENA_LIMIT):
    """The config of either layout, with the fields that the published ones have."""
    shared = {
        "d_model": width,
        "n_layer": depth,
        "vocab_size": 12,
        "pad_vocab_size_multiple": 8,
    }
    if hf:
        return shared | {
            "model_type": "hyenadna",
            "d_inner": None,
            "max_seq_len": limit,
            "emb_dim": 5,
            "filter_order": 8,
            "short_filter_order": 3,
            "activation_freq": 10,
            "num_inner_mlps": 2,
            "hyena_order": 2,
            "layer_norm_epsilon": 1e-5,
            "use_bias": True,
            "torch_dtype": "float32",
        }
    layer = {"_name_": "hyena", "emb_dim": 5, "filter_order": 8, "local_order": 3, "w": 10}
    layer |= {"l_max": limit, "modulate": True, "lr": 6e-4, "wd": 0.0, "lr_pos_emb": 0.0}
    return shared | {"d_inner": 4 * width, "layer": layer, "resid_dropout": 0.0}


def write_hyena(folder, tensors, layout="hf", head=True):
    """Write a HyenaDNA as `hf` (safetensors), `ckpt`, or `ckpt-wrapped` (training checkpoints)."""
    folder.mkdir(parents=True, exist_ok=True)
    hf = layout == "hf"
    (folder / "config.json").write_text(json.dumps(hyena_config(hf)))
    lm_head = tensors["embeddings.word_embeddings.weight"].clone()
    if hf:
        aliases = ("3.freq", "5.freq")
        content = {f"hyena.backbone.{k}": v for k, v in tensors.items() if not k.endswith(aliases)}
        content |= {"lm_head.weight": lm_head} if head else {}
        save_file(content, folder / "model.safetensors")
        return folder
    content = {f"model.backbone.{k}": v for k, v in tensors.items()}
    if layout == "ckpt-wrapped":
        content = {
            k.replace(".mixer.", ".mixer.layer.").replace(".mlp.", ".mlp.layer."): v
            for k, v in content.items()
        }
    content |= {"model.lm_head.weight": lm_head} if head else {}
    content["train_torchmetrics.count"] = torch.zeros(3)
    torch.save({"state_dict": content, "epoch": 3}, folder / "weights.ckpt")
    return folder


def hyena_logits(tensors, ids, limit=HYENA_LIMIT, depth=2, shift=0.05):
    """Logits `(T, rows)` of one sequence by direct sums, in float64."""
    w = {k: v.double() for k, v in tensors.items()}
    u = w["embeddings.word_embeddings.weight"][ids]
    length, width = u.shape
    features = position_features(limit, 5)
    ends = [torch.log(torch.tensor(0.01, dtype=torch.float64)) / c for c in (1.5, 0.3)]
    for i in range(depth):
        b = {k.removeprefix(f"layers.{i}."): v for k, v in w.items() if f"layers.{i}." in k}
        n = layer_norm(u, b["norm1.weight"], b["norm1.bias"])
        y = n @ b["mixer.in_proj.weight"].T + b["mixer.in_proj.bias"]
        short = torch.zeros_like(y)
        for t in range(length):
            short[t] = b["mixer.short_filter.bias"]
            for back in range(3):
                if t >= back:
                    short[t] += b["mixer.short_filter.weight"][:, 0, 2 - back] * y[t - back]
        x0, x1, v = short[:, :width], short[:, width : 2 * width], short[:, 2 * width :]
        s = v * x1
        h, f = features, "mixer.filter_fn.implicit_filter"
        for layer in (0, 2, 4):
            h = h @ b[f"{f}.{layer}.weight"].T + b[f"{f}.{layer}.bias"]
            h = torch.sin(b[f"{f}.1.freq"] * h)
        q = h @ b[f"{f}.6.weight"].T
        r = torch.zeros_like(s)
        for t in range(length):
            for m in range(t + 1):
                lag = t - m
                for c in range(width):
                    rate = abs(ends[0] + c * (ends[1] - ends[0]) / (width - 1))
                    k = q[lag, c] * (torch.exp(-rate * lag / (limit - 1)) + shift)
                    r[t, c] += k * s[m, c]
            r[t] += b["mixer.filter_fn.bias"] * s[t]
        u = u + (r * x0) @ b["mixer.out_proj.weight"].T + b["mixer.out_proj.bias"]
        n = layer_norm(u, b["norm2.weight"], b["norm2.bias"])
        inner = gelu(n @ b["mlp.fc1.weight"].T + b["mlp.fc1.bias"])
        u = u + inner @ b["mlp.fc2.weight"].T + b["mlp.fc2.bias"]
    h = layer_norm(u, w["ln_f.weight"], w["ln_f.bias"])
    return h @ w["embeddings.word_embeddings.weight"].T


def layer_norm(u, weight, bias, eps=1e-5):
    centred = u - u.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias


def gelu(x):
    """The form with a hyperbolic tangent."""
    return x / 2 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


def progen_tensors(rng, width=128, depth=2, rows=32, buffers=True, limit=PROGEN_LIMIT):
    """Weights of a ProGen2 under the published names."""

    def draw(*shape, scale=0.15):
        return scale * torch.randn(*shape, generator=rng)

    tensors = {
        "transformer.wte.weight": draw(rows, width, scale=1.0),
        "transformer.ln_f.weight": 1 + draw(width),
        "transformer.ln_f.bias": draw(width),
        "lm_head.weight": draw(rows, width),
        "lm_head.bias": draw(rows),
    }
    for i in range(depth):
        block = {
            "ln_1.weight": 1 + draw(width),
            "ln_1.bias": draw(width),
            "attn.qkv_proj.weight": draw(3 * width, width),
            "attn.out_proj.weight": draw(width, width),
            "mlp.fc_in.weight": draw(4 * width, width),
            "mlp.fc_in.bias": draw(4 * width),
            "mlp.fc_out.weight": draw(width, 4 * width),
            "mlp.fc_out.bias": draw(width),
        }
        if buffers:
            block["attn.bias"] = torch.ones(1, 1, limit, limit, dtype=torch.bool).tril()
            block["attn.masked_bias"] = torch.tensor(-1e9)
        tensors |= {f"transformer.h.{i}.{name}": value for name, value in block.items()}
    return tensors


def progen_config(spelling, width=128, heads=16, rotary=4, depth=2, rows=32, limit=PROGEN_LIMIT):
    """The config in one of three spellings: `original`, `converted`, `without rows`."""
    shared = {
        "model_type": "progen",
        "n_layer": depth,
        "n_head": heads,
        "rotary_dim": rotary,
        "n_positions": limit,
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return (
        shared
        | {
            "original": {"n_embd": width, "vocab_size": rows, "n_ctx": limit},
            "converted": {"embed_dim": width, "vocab_size_emb": rows, "vocab_size_lm_head": rows},
            "without rows": {"embed_dim": width},
        }[spelling]
    )


def write_progen(folder, tensors, spelling="original", dtype=torch.float32, **config):
    """Write a ProGen2 as the original archive or as a conversion."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = len(tensors["lm_head.weight"])
    (folder / "config.json").write_text(json.dumps(progen_config(spelling, rows=rows, **config)))
    content = {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors.items()}
    if spelling == "original":
        torch.save(content, folder / "pytorch_model.bin")
    else:
        save_file(content, folder / "model.safetensors")
    return folder


def write_gpt2(folder, symbols="ACGT", positions=40, seed=0, **config):
    """Write a GPT-2 with a tokenizer of single symbols, as `transformers` saves them."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"<bos>": 0, "<eos>": 1, **{s: 2 + i for i, s in enumerate(symbols)}, "AC": 11}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>"
    ).save_pretrained(folder)
    sizes = {"vocab_size": 12, "n_positions": positions, "n_embd": 16, "n_layer": 2, "n_head": 2}
    ids = {"bos_token_id": 0, "eos_token_id": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **ids, **config))
    model.save_pretrained(folder)
    return folder


def esm_tensors(rng, width=32, depth=2, heads=4):
    """Weights of an ESM-2 under the published names, with what published files have besides."""

    def draw(*shape, scale=0.2):
        return scale * torch.randn(*shape, generator=rng)

    half = torch.arange(0, width // heads, 2) / (width // heads)
    tensors = {
        "esm.embeddings.word_embeddings.weight": draw(33, width, scale=1.0),
        "esm.embeddings.position_embeddings.weight": draw(1026, width),
        "esm.embeddings.position_ids": torch.arange(1026)[None],
        "esm.encoder.emb_layer_norm_after.weight": 1 + draw(width),
        "esm.encoder.emb_layer_norm_after.bias": draw(width),
        "esm.contact_head.regression.weight": draw(1, depth * heads),
        "esm.contact_head.regression.bias": draw(1),
        "lm_head.dense.weight": draw(width, width),
        "lm_head.dense.bias": draw(width),
        "lm_head.layer_norm.weight": 1 + draw(width),
        "lm_head.layer_norm.bias": draw(width),
        "lm_head.bias": draw(33),
    }
    shapes = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "intermediate.dense": (4 * width, width),
        "output.dense": (width, 4 * width),
    }
    for i in range(depth):
        layer = f"esm.encoder.layer.{i}."
        for name, shape in shapes.items():
            tensors[f"{layer}{name}.weight"] = draw(*shape)
            tensors[f"{layer}{name}.bias"] = draw(shape[0])
        for name in ("attention.LayerNorm", "LayerNorm"):
            tensors[f"{layer}{name}.weight"] = 1 + draw(width)
            tensors[f"{layer}{name}.bias"] = draw(width)
        # the published values were rounded in a training in half precision
        rounded = (10000**-half).half().float()
        tensors[f"{layer}attention.self.rotary_embeddings.inv_freq"] = rounded
    return tensors


def write_esm(folder, tensors, width=32, depth=2, heads=4):
    """Write an ESM-2 as the published files are."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "esm",
        "architectures": ["EsmForMaskedLM"],
        "vocab_size": 33,
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "position_embedding_type": "rotary",
        "token_dropout": True,
        "emb_layer_norm_before": False,
        "layer_norm_eps": 1e-5,
        "mask_token_id": 32,
        "pad_token_id": 1,
        "max_position_embeddings": 1026,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def esm_states(tensors, ids, heads=4, depth=2):
    """Last hidden states `(T, D)` of one sequence without masks, in float64."""
    w = {k.removeprefix("esm."): v.double() for k, v in tensors.items()}
    u = 0.88 * w["embeddings.word_embeddings.weight"][ids]
    length, width = u.shape
    channels = width // heads
    for i in range(depth):
        layer = f"encoder.layer.{i}."
        b = {k.removeprefix(layer): v for k, v in w.items() if k.startswith(layer)}

        def affine(x, name, b=b):
            return x @ b[f"{name}.weight"].T + b[f"{name}.bias"]

        n = layer_norm(u, b["attention.LayerNorm.weight"], b["attention.LayerNorm.bias"])
        q, k, v = (
            affine(n, f"attention.self.{part}").view(length, heads, channels)
            for part in ("query", "key", "value")
        )
        rates = b["attention.self.rotary_embeddings.inv_freq"].repeat(2)
        angle = torch.arange(length, dtype=torch.float64)[:, None, None] * rates

        def turned(x, angle=angle):
            first, second = x.chunk(2, -1)
            return x * angle.cos() + torch.cat([-second, first], -1) * angle.sin()

        q, k = turned(q), turned(k)
        mixed = torch.stack(
            [
                (k[:, h] @ q[t, h] / channels**0.5).softmax(0) @ v[:, h]
                for t in range(length)
                for h in range(heads)
            ]
        ).view(length, width)
        u = u + affine(mixed, "attention.output.dense")
        n = layer_norm(u, b["LayerNorm.weight"], b["LayerNorm.bias"])
        u = u + affine(torch.nn.functional.gelu(affine(n, "intermediate.dense")), "output.dense")
    return layer_norm(
        u, w["encoder.emb_layer_norm_after.weight"], w["encoder.emb_layer_norm_after.bias"]
    )
