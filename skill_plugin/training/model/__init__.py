"""The policy: loading it, scoring tokens, and the attention that shares a prompt."""
