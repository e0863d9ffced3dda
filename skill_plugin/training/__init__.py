"""Training the generator: bi-level GRPO on recorded histories, with a LoRA adapter.

    data      recorded histories -> candidate groups with advantages
    model     the policy: loading it, and token ids -> log-probabilities, a group's prompt computed once
    loss      the clipped surrogate and the KL term
    files     snapshots, metrics, the manifest
    trainer   the loop
    pairs     the same for pairs of one's own: messages and the text to answer with

It needs torch, transformers, peft and accelerate and nothing else: no store, no LangGraph. A file that `histories export`
wrote is enough. `python -m skill_plugin.training --help` runs it alone, on this machine or under `accelerate launch`.
"""
