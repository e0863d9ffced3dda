"""A small transformer that reads where things belong, trained from scratch on made-up skills and then frozen.

What it answers can only come from the text it is shown: a word that is not one of the few in `KNOWN` gets a random id in every prompt, so
that nothing can be learned of things or places, and a quarter of what is asked is not said in the prompt. Queries, keys and values go
through a causal depthwise convolution of width 5 (So et al. 2021, "Primer", section 4): so a question's last words meet the same words
before a place. Every prompt asks for all of its things, because with one question a prompt the copying was not learned in 200 steps.
"""

import json
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

KNOWN = (
    "<pad>", "<end>", "places", "do", "put", "in", "on", "the", "a", "an", "to", "of", "is", "it", "its", "goes", "belongs", "was", "when", "score",
    "rose", "keep", "and", "place", "usual", "things", "each", ":", ";", "-", ".", ",",
)  # fmt: skip
VERSION = 1
"""Of the training; raise it when something changes that the settings do not say, so that no older weights are taken."""
NAMES = 256
"""Ids of all other words; a prompt with more distinct words than these gives one id to several."""

_TOKEN = re.compile(r"[a-z0-9]+|[:;.,-]|\n")
_IDS = {word: at for at, word in enumerate(KNOWN)}
SAID = (
    "- put the {thing} in the {place} \n",
    "- put the {thing} in the {place} \n",
    "- put {thing} in {place} \n",
    "put the {thing} in the {place} . ",
    "the {thing} goes in the {place} . \n",
    "- {thing} : {place} \n",
    "the {thing} belongs in the {place} . ",
    "the score rose when the {thing} was put in the {place} . ",
)
"""How a made-up skill says where something belongs."""
FILLER = (
    "put each in its usual place . \n",
    "{0} {1} and {2} : \n",
    "keep the {0} {1} . ",
    "{0} {1} {2} {3} , {4} . \n",
)


@dataclass(frozen=True, kw_only=True)
class ReaderSettings:
    """Size and training of the transformer; the weights' file is named after a hash of these."""

    width: int = 96
    heads: int = 4
    blocks: int = 2
    batch: int = 16
    steps: int = 1500
    rate: float = 3e-3
    things: int = 8
    seed: int = 0

    @property
    def key(self) -> str:
        spelt = json.dumps([VERSION, asdict(self), KNOWN, SAID, FILLER], sort_keys=True)
        return sha256(spelt.encode()).hexdigest()[:16]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.local = nn.Conv1d(3 * width, 3 * width, 5, groups=3 * width)
        with torch.no_grad():  # begins as if it were not there
            self.local.weight.mul_(0.3)[..., -1].add_(1.0)
        self.mixed, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [prompts, tokens, width]."""
        prompts, tokens, width = x.shape
        mixed = self.local(F.pad(self.mixed(self.before(x)).transpose(1, 2), (4, 0))).transpose(1, 2)
        query, key, value = mixed.reshape(prompts, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(prompts, tokens, width))
        return x + self.think(self.between(x))


class Network(nn.Module):
    """From token ids to the next token's scores. The convolutions tell places apart; there are no other positions."""

    def __init__(self, settings: ReaderSettings) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(KNOWN) + NAMES, settings.width)
        nn.init.normal_(self.embed.weight, std=settings.width**-0.5)
        self.blocks = nn.Sequential(*(_Block(settings.width, settings.heads) for _ in range(settings.blocks)))
        self.after = nn.LayerNorm(settings.width)

    def forward(self, ids: Tensor) -> Tensor:
        """From [prompts, tokens] to [prompts, tokens, ids]."""
        return self.after(self.blocks(self.embed(ids) * 4)) @ self.embed.weight.T


def prompt(places: Sequence[str], skill: str) -> str:
    """Returns what the reader is shown before it is asked."""
    return f"places : {' ; '.join(places)} \n {skill} \n"


def question(thing: str) -> str:
    """Returns what it is asked; the answer is a place's words and an end."""
    return f"do : put the {thing} in the"


def _spelt(text: str, ids: dict[str, int], rng: random.Random) -> list[int]:
    """Returns a text's token ids; words that are new to `ids` get random ones."""
    found = []
    for word in _TOKEN.findall(text.lower()):
        spelling = ";" if word == "\n" else word
        if spelling not in ids:
            free = NAMES - (len(ids) - len(KNOWN))
            taken = set(ids.values())
            number = rng.randrange(NAMES)
            while free > 0 and len(KNOWN) + number in taken:
                number = (number + 1) % NAMES
            ids[spelling] = len(KNOWN) + number
        found.append(ids[spelling])
    return found


def made_up(
    rng: random.Random, most_things: int, words: int, sentences: Sequence[str] = SAID
) -> tuple[list[int], list[int]]:
    """Returns a made-up prompt's ids, and what is to be said next at each, -100 where anything may be.

    It asks for each thing, one after the other: what a prompt teaches grows with its questions, and its price hardly does. Names have up to
    `words` words, and share them as real ones do.
    """
    pool = [f"w{number}" for number in rng.sample(range(10_000), rng.randint(12, 60))]

    def named(longest: int) -> str:
        return " ".join(rng.sample(pool, rng.randint(1, longest)))

    places = list(dict.fromkeys(named(min(words, 3)) for _ in range(rng.randint(3, 9))))
    things = list(dict.fromkeys(named(words) for _ in range(rng.randint(1, most_things))))
    belongs = {thing: rng.choice(places) for thing in things}
    said = rng.choice(sentences)
    told = [said.format(thing=thing, place=place) for thing, place in belongs.items() if rng.random() < 0.75]
    told += [
        said.format(thing=f"{named(words)} {things[0]}", place=named(min(words, 3)))
        for _ in range(rng.choice((0, 1, 2)))
    ]
    told += [rng.choice(FILLER).format(*rng.choices(pool, k=5)) for _ in range(rng.choice((0, 0, 1, 2)))]
    rng.shuffle(told)
    rng.shuffle(things)
    ids = dict(_IDS)
    spelt = _spelt(prompt(places, "".join(told)), ids, rng)
    targets = [-100] * len(spelt)
    for thing in things:
        asked, answer = _spelt(question(thing), ids, rng), [*_spelt(belongs[thing], ids, rng), _IDS["<end>"]]
        spelt += asked + answer
        targets += [-100] * len(asked) + answer
    return spelt[:-1], targets[1:]


class PlaceReader:
    """The frozen executor: of several places it says the one where a skill puts a thing."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval().requires_grad_(False)

    def answer(self, places: Sequence[str], skill: str, thing: str) -> str:
        """Returns the likeliest place. The same question has the same answer always, also where it can only guess."""
        asked = prompt(places, skill) + question(thing)
        rng, ids = random.Random(asked), dict(_IDS)
        given = _spelt(asked, ids, rng)
        answers = [[*_spelt(place, ids, rng), _IDS["<end>"]] for place in places]
        longest = max(map(len, answers))
        rows = torch.tensor([[*given, *answer, *[0] * (longest - len(answer))] for answer in answers])
        with torch.inference_mode():
            logprobs = self._network(rows[:, :-1])[:, len(given) - 1 :].log_softmax(-1)
        chosen = logprobs.gather(-1, rows[:, len(given) :, None])[..., 0] * (rows[:, len(given) :] != 0)
        return places[int(chosen.sum(1).argmax())]


def _batch(rng: random.Random, settings: ReaderSettings, done: float) -> tuple[Tensor, Tensor]:
    """Returns prompts' ids and what is to be said next. Those of the first third, by the share that is `done`, are easier."""
    size = (5, 2, SAID[:3]) if done < 1 / 3 else (settings.things, 4)
    rows = [made_up(rng, *size) for _ in range(settings.batch)]
    longest = max(len(ids) for ids, _ in rows)
    ids, targets = (torch.full((len(rows), longest), filled) for filled in (0, -100))
    for at, row in enumerate(rows):
        for into, of in zip((ids, targets), row, strict=True):
            into[at, : len(of)] = torch.tensor(of)
    return ids, targets


def trained(settings: ReaderSettings, say: Callable[[str], Any] = print) -> Network:
    """Trains the transformer; `say` is told how it goes."""
    torch.manual_seed(settings.seed)
    rng, network = random.Random(settings.seed), Network(settings)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=settings.steps, pct_start=0.05)
    began, total = time.process_time(), 0.0
    for step in range(1, settings.steps + 1):
        ids, targets = _batch(rng, settings, step / settings.steps)
        loss = F.cross_entropy(network(ids).flatten(0, 1), targets.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % 100 == 0:
            spent = time.process_time() - began
            say(f"reader: step {step} of {settings.steps}, loss {total / 100:.3f}, {spent:.0f} CPU s")
            total = 0.0
    return network


def load(folder: Path, settings: ReaderSettings = ReaderSettings(), say: Callable[[str], Any] = print) -> PlaceReader:
    """Returns the reader of these settings: from its file in the folder, or trained now and written there."""
    path = folder / f"place-reader-{settings.key}.safetensors"
    if not path.is_file():
        network = trained(settings, say)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        save_file(network.state_dict(), unfinished)
        unfinished.replace(path)
        return PlaceReader(network)
    network = Network(settings)
    network.load_state_dict(load_file(path))
    return PlaceReader(network)
