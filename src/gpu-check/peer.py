"""Tokens per second of Hugging Face transformers on a config.json with random weights, bf16, as `lockstep bench inference`
measures them: a prompt of 2,048 tokens in one step, and decode steps of 1, 8 and 64 sequences with the likeliest token fed back.

    peer.py CONFIG
"""

import json
import sys
import time

try:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
except ImportError as missing:
    sys.exit(f"no peer: {missing}")

PROMPT, TOKENS, ROUNDS = 2048, 64, 3


def seconds(work):
    """The median of some rounds after one in vain."""
    taken = []
    for _ in range(ROUNDS + 1):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - begin)
    return sorted(taken[1:])[ROUNDS // 2]


def prefill(model):
    ids = torch.randint(0, model.config.vocab_size, (1, PROMPT), device="cuda")
    return seconds(lambda: model(ids, use_cache=True, logits_to_keep=1))


def decode(model, batch):
    depth = 1 if batch == 1 else 128
    ids = torch.randint(0, model.config.vocab_size, (batch, depth), device="cuda")
    start = model(ids, use_cache=True, logits_to_keep=1)
    state = {"ids": start.logits[:, -1:].argmax(-1), "cache": start.past_key_values}

    def steps():
        for _ in range(TOKENS):
            out = model(state["ids"], past_key_values=state["cache"], use_cache=True)
            state["ids"], state["cache"] = out.logits[:, -1:].argmax(-1), out.past_key_values

    return seconds(steps)


with torch.inference_mode():
    with open(sys.argv[1]) as file:
        raw = json.load(file)
    config = AutoConfig.for_model(**raw)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    print(f"{sys.argv[1]}: torch {torch.__version__}, {sum(p.numel() for p in model.parameters()) / 1e9:.2f} B parameters")
    print(f"pp{PROMPT:<6} batch 1   {PROMPT / prefill(model):10.1f} tokens/s")
    for batch in (1, 8, 64):
        print(f"tg{TOKENS:<6} batch {batch:<3} {batch * TOKENS / decode(model, batch):10.1f} tokens/s")
