"""Tokens that a model in this process writes per CPU second: one call, 8 and 32 at once, beside plain transformers on the same batch.

    OMP_NUM_THREADS=1 python benchmarks/local_model.py smollm2-135m
    OMP_NUM_THREADS=1 python benchmarks/local_model.py FOLDER --dtype float32 --tokens 64

Every reply has exactly `--tokens` tokens (the ends are kept from ending it), so that the two do the same work.
"""

import argparse
import time

import torch

from skill_plugin.models.local_calls import LocalSampling
from skill_plugin.models.local_engine import engine_of
from skill_plugin.models.named_models import resolved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--dtype", default="fast")
    parser.add_argument("--tokens", type=int, default=24)
    given = parser.parse_args()
    engine = engine_of(resolved(given.model), dtype=given.dtype)
    loaded = engine.loaded  # the peer is to have the same weights
    loaded.ends.clear()
    loaded.model.generation_config.eos_token_id = None
    print(f"{loaded.model.dtype}, {torch.get_num_threads()} thread(s)\nat once\tthis engine\ttransformers")
    for count in (1, 8, 32):
        asks = [
            [{"role": "user", "content": f"Write a story about the number {one}."}] for one in range(10, 10 + count)
        ]
        ids = loaded.tokenizer.apply_chat_template(
            asks, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True, padding_side="left"
        )
        speeds: tuple[list[float], list[float]] = ([], [])
        for _ in range(2):  # in turns, the better of two: other work shares the caches
            begun = time.process_time()
            calls = [engine.submit(ask, LocalSampling(max_tokens=given.tokens)) for ask in asks]
            written = sum(len(call.result().token_ids) for call in calls)
            speeds[0].append(written / (time.process_time() - begun))
            begun = time.process_time()
            with torch.inference_mode():
                found = loaded.model.generate(**ids, max_new_tokens=given.tokens, do_sample=False)
            speeds[1].append(found[:, ids["input_ids"].shape[1] :].numel() / (time.process_time() - begun))
        print(f"{count}\t{max(speeds[0]):.1f}\t{max(speeds[1]):.1f}")


if __name__ == "__main__":
    main()
