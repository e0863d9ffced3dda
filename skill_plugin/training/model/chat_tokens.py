"""The token ids of a prompt's messages and of the text that answers them, as the base model's own chat template has them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, GenerationConfig

from skill_plugin.errors import ConfigurationError, InvalidHistoryError
from skill_plugin.models.base_models import GET_ONE, loading, model_folder
from skill_plugin.models.chat_templates import prompt_text
from skill_plugin.training.data.pairs import Pair
from skill_plugin.training.model.base_model import load_config


class ChatTokens:
    """Makes token ids of pairs, by a base model's tokenizer and chat template.

    Args:
        base_model: A folder, or a name on the Hugging Face Hub.

    Raises:
        ConfigurationError: the model does not exist, or it has no chat template or no token that ends a text.
    """

    def __init__(self, base_model: str | Path) -> None:
        name = model_folder(base_model)
        with loading(f"the model {name!r}", GET_ONE):
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        if not self._tokenizer.chat_template:
            raise ConfigurationError(
                f"the tokenizer of {name!r} has no chat template, so it cannot learn from messages; use an instruction-tuned "
                "model, or put a chat_template.jinja beside it"
            )
        self._special = {*self._tokenizer.all_special_ids}
        self.end = self._end(name)

    def __call__(self, pair: Pair) -> tuple[list[int], list[int]]:
        """Returns the token ids of the prompt, up to where the answer begins, and of the text with the end token.

        Raises:
            InvalidHistoryError: the text holds what this tokenizer reads as a special token.
            ModelError: the chat template refuses the messages.
        """
        prompt = prompt_text(self._tokenizer, [dict(one) for one in pair.messages])
        completion = self._ids(pair.completion)
        if found := next((one for one in completion if one in self._special), None):
            said = self._tokenizer.convert_ids_to_tokens(found)
            raise InvalidHistoryError(f"its text holds {said!r}, a special token of the base model")
        return self._ids(prompt), [*completion, self.end]

    def _ids(self, text: str) -> list[int]:
        return [int(one) for one in self._tokenizer.encode(text, add_special_tokens=False)]

    def _end(self, name: str) -> int:
        """Returns the token that the chat template ends an answer with; else the first that ends a text."""
        try:
            found = GenerationConfig.from_pretrained(name).eos_token_id
        except OSError:  # a model need not bring one
            found = load_config(name).get_text_config().eos_token_id
        ends = [*(found if isinstance(found, Sequence) else [found]), self._tokenizer.eos_token_id]
        ends = [one for one in ends if one is not None]
        if not ends:
            raise ConfigurationError(f"the model {name!r} has no end-of-text token; set its tokenizer's eos_token")
        said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        try:
            ids = self._ids(self._tokenizer.apply_chat_template(said, tokenize=False))
        except Exception:  # noqa: BLE001 - a template is a program that raises what it likes
            ids = []
        return int(next((one for one in reversed(ids) if one in ends), ends[0]))
