"""Training the generator: bi-level GRPO on recorded histories, with a LoRA adapter.

    advantages      rewards -> what each candidate's tokens are moved by
    groups          candidate groups, on disk and in memory
    history_file    a file of recorded histories -> rows
    revised         rows, checked
    dataset         rows -> groups
    loss            the clipped surrogate and the KL term
    shared_prefix   a group's prompt computed once
    scoring         token ids -> log-probabilities
    trainer         the loop

It needs torch, transformers, peft and accelerate and nothing else: no store, no LangGraph. A file that `histories export`
wrote is enough. `python -m skill_plugin.training --help` runs it alone, on this machine or under `accelerate launch`.
"""
