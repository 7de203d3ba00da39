"""Where windows begin that hear a track whole."""

import math

UNHEARD = 0.05
"""Of a window: a 30 s mp3 is often some frames longer, which are not worth a third window of 15 s."""


def spread(n_steps: int, window_steps: int) -> list[int]:
    """Return where the fewest windows begin that hear a track of `n_steps` whole, but for a twentieth of a window.

    They are evenly spread from its beginning to its end.

    >>> spread(100, 40), spread(80, 40), spread(81, 40), spread(41, 40), spread(3, 40)
    ([0, 30, 60], [0, 40], [0, 41], [0], [0])
    """
    room = max(n_steps - window_steps, 0)
    gaps = math.ceil(n_steps / window_steps - UNHEARD) - 1
    return [room * number // gaps for number in range(gaps + 1)] if gaps > 0 else [room // 2]


def slide(n_steps: int, window_steps: int, hop_steps: int) -> list[int]:
    """Return where windows begin every `hop_steps`; the last one ends where the track does, so that all of it is heard.

    >>> slide(10, 4, 2), slide(11, 4, 2), slide(3, 4, 2)
    ([0, 2, 4, 6], [0, 2, 4, 6, 7], [0])
    """
    room = max(n_steps - window_steps, 0)
    starts = list(range(0, room + 1, hop_steps))
    if starts[-1] < room:
        starts.append(room)
    return starts
