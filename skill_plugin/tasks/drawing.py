"""Drawing by weight without putting back, the same on every machine."""

import math

from skill_plugin.records import sha256


def waiting_time(seed: str, what: str, weight: float) -> float:
    """Returns how long something waits for its turn, drawn from the exponential distribution of the rate `weight`.

    Sorted by it, things are in the order in which they would be drawn one after the other, each with a chance that grows with
    its weight (Efraimidis and Spirakis, 2006, "Weighted random sampling with a reservoir").

    Args:
        seed: Names the draw.
        what: Names the thing; each has its own name.
        weight: The rate; above 0.
    """
    uniform = (int(sha256(f"{seed}\n{what}")[:13], 16) + 1) / 2**52  # in (0, 1]
    return -math.log(uniform) / weight
