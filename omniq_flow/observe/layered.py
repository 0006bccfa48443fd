"""A plan drawn in layers: every step below all it waits for, as one label; lines between the layers are its edges.

Between two layers the edges are drawn as nets. A net joins all steps of one layer that lead to the same steps of the
next: it is a horizontal line with a stub up to each of the first and down to each of the second, so a net says neither
more nor less than the plan. No two nets have a stub in the same column side by side; where a stub must cross the line
of another net, a bare `│` passes by. An edge over several layers passes those between as a rail, one for all edges from the same step.

If there is no room for all this, there is no such drawing: the one with a line a step (`drawing`) always is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from omniq_flow.flow.graph import layers
from omniq_flow.model.plan import Plan

GAP = 4
_SWEEPS = 8
_SHIFTS = 4
_JOINTS = {
    # up, down, left, right
    (True, True, False, False): "│",
    (True, False, False, True): "└",
    (True, False, True, False): "┘",
    (True, False, True, True): "┴",
    (False, True, False, True): "┌",
    (False, True, True, False): "┐",
    (False, True, True, True): "┬",
    (True, True, True, False): "┤",
    (True, True, False, True): "├",
    (True, True, True, True): "┼",
    (False, False, True, True): "─",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a label stands: its line, its first column, how many columns belong to it."""

    row: int
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines of text, and where in them the steps are."""

    lines: tuple[str, ...]
    places: Mapping[str, Place]

    @property
    def width(self) -> int:
        return max(map(len, self.lines), default=0)


@dataclass(eq=False, slots=True)
class _Spot:
    """A step, or a rail that passes its layer (no label)."""

    name: str
    layer: int
    is_rail: bool
    width: int = 1
    left: int = 0
    down: list[_Spot] = field(default_factory=list)
    up: list[_Spot] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return self.left + (self.width - 1) / 2


@dataclass(slots=True)
class _Net:
    """Edges between two layers that are drawn as one line: all of `above` lead to all of `below`."""

    above: list[_Spot]
    below: list[_Spot]
    ups: list[int] = field(default_factory=list)
    downs: list[int] = field(default_factory=list)
    track: int = -1

    @property
    def ends(self) -> tuple[int, int]:
        return min(self.ups + self.downs), max(self.ups + self.downs)

    @property
    def is_straight(self) -> bool:
        return self.ups == self.downs and len(self.ups) == 1


def draw_layers(plan: Plan, label: Callable[[str], str], most: int) -> Drawing | None:
    """The drawing, at most `most` columns wide; None if that is too narrow for it."""
    rows = _spots(plan)
    nets = [_nets(row) for row in rows[:-1]]
    _measure(rows, nets, label)
    _order(rows)
    _arrange(rows)
    for _ in range(_SHIFTS):
        width = max(spot.left + spot.width for row in rows for spot in row)
        if width > most:
            return None
        if all(map(_connect, nets)):
            return _paint(rows, nets, label, width)
        # Two stubs that block each other do so no more when every other layer lies a column further.
        for row in rows[1::2]:
            for spot in row:
                spot.left += 1
    return None


def _spots(plan: Plan) -> list[list[_Spot]]:
    """The layers: their steps, and a rail for each step with edges that go on below."""
    rows = [[_Spot(name, n, False) for name in layer] for n, layer in enumerate(layers(plan))]
    by_name = {spot.name: spot for row in rows for spot in row}
    uses: dict[str, list[_Spot]] = {}
    for step in plan.steps:
        for source in dict.fromkeys(i.step for i in step.inputs if i.is_edge):
            uses.setdefault(source, []).append(by_name[step.name])
    for source, users in uses.items():
        at = by_name[source]
        for n in range(at.layer + 1, max(user.layer for user in users) + 1):
            at.down = [user for user in users if user.layer == n]
            if any(user.layer > n for user in users):
                rail = _Spot(source, n, True)
                rows[n].append(rail)
                at.down.append(rail)
            for spot in at.down:
                spot.up.append(at)
            at = at.down[-1]
    return rows


def _nets(row: Sequence[_Spot]) -> list[_Net]:
    """Steps with the same successors share a net."""
    found: dict[frozenset[_Spot], _Net] = {}
    for spot in row:
        if spot.down:
            net = found.setdefault(frozenset(spot.down), _Net([], spot.down))
            net.above.append(spot)
    return list(found.values())


def _measure(rows: Sequence[Sequence[_Spot]], nets: Sequence[Sequence[_Net]], label: Callable[[str], str]) -> None:
    """A label is at least as wide as its stubs need."""
    for n, row in enumerate(rows):
        for spot in row:
            if not spot.is_rail:
                stubs = sum(spot in net.below for net in nets[n - 1]) if n else 0
                spot.width = max(len(label(spot.name)), 2 * stubs + 1 if stubs > 1 else 1)


def _order(rows: Sequence[list[_Spot]]) -> None:
    """Put each row in the order that its neighbours suggest, to have few crossings."""
    for sweep in range(_SWEEPS):
        is_down = sweep % 2 == 0
        for row in rows if is_down else reversed(rows):
            at = {spot: n for other in rows for n, spot in enumerate(other)}
            sizes = {other[0].layer: max(len(other), 1) for other in rows if other}
            wishes: dict[_Spot, float] = {}
            for spot in row:
                # A spot without neighbours on that side stays where it is.
                others = (spot.up if is_down else spot.down) or [spot]
                wishes[spot] = sum((at[o] + 0.5) / sizes[o.layer] for o in others) / len(others)
            row.sort(key=wishes.__getitem__)


def _arrange(rows: Sequence[Sequence[_Spot]]) -> None:
    """Give every spot its columns: near the middle of its neighbours, no two closer than the gap."""
    for row in rows:
        left = 0
        for spot in row:
            spot.left, left = left, left + spot.width + GAP
    for sweep in range(_SWEEPS):
        is_down = sweep % 2 == 0
        for row in rows if is_down else reversed(rows):
            _pull(row, is_down)
    least = min(spot.left for row in rows for spot in row)
    for row in rows:
        for spot in row:
            spot.left -= least


def _pull(row: Sequence[_Spot], is_down: bool) -> None:
    """Move a row to where its neighbours want it; spots that would overlap share the way between their wishes."""
    blocks: list[tuple[list[_Spot], float]] = []
    for spot in row:
        others = spot.up if is_down else spot.down
        want = sum(o.middle for o in others) / len(others) if others else spot.middle
        blocks.append(([spot], want - (spot.width - 1) / 2))
        while len(blocks) > 1 and blocks[-2][1] + _block_width(blocks[-2][0]) + GAP > blocks[-1][1]:
            (first, a), (second, b) = blocks[-2:]
            b -= _block_width(first) + GAP
            blocks[-2:] = [([*first, *second], (a * len(first) + b * len(second)) / (len(first) + len(second)))]
    for spots, start in blocks:
        left = round(start)
        for spot in spots:
            spot.left, left = left, left + spot.width + GAP


def _block_width(spots: Sequence[_Spot]) -> int:
    return sum(spot.width for spot in spots) + GAP * (len(spots) - 1)


def _connect(nets: Sequence[_Net]) -> bool:
    """Give the nets between two layers their columns and tracks; False if that can not be done as the layers lie."""
    ups: dict[int, _Net] = {}
    for net in nets:
        net.ups, net.downs, net.track = [int(spot.middle) for spot in net.above], [], -1
        ups.update(dict.fromkeys(net.ups, net))
    downs: dict[int, _Net] = {}
    for net in nets:
        if len(net.above) == len(net.below) == 1 and (column := _common(net, ups, downs)) is not None:
            ups.pop(net.ups[0])
            net.ups, net.downs = [column], [column]
            ups[column] = downs[column] = net
    straight = {net.ups[0] for net in nets if net.is_straight}
    for net in nets:
        if not net.downs:
            for spot in net.below:
                column = _free(spot, net, ups, downs, straight)
                if column is None:
                    return False
                downs[column] = net
                net.downs.append(column)
    return _lay_tracks(nets, ups, downs)


def _common(net: _Net, ups: Mapping[int, _Net], downs: Mapping[int, _Net]) -> int | None:
    """A column that a straight line may take."""
    a, b = net.above[0], net.below[0]
    both = range(max(a.left, b.left), min(a.left + a.width, b.left + b.width))
    middle = a.middle if a.is_rail or a.width <= b.width else b.middle
    free = (c for c in both if ups.get(c, net) is net and c not in downs)
    return min(free, key=lambda c: (abs(c - middle), c), default=None)


def _free(spot: _Spot, net: _Net, ups: Mapping[int, _Net], downs: Mapping[int, _Net], straight: Collection[int]) -> int | None:
    """The column for a stub down to a spot: near its middle, and if possible not below a stub up of another net."""
    own = (c for c in range(spot.left, spot.left + spot.width) if c not in downs and c not in straight)
    return min(own, key=lambda c: (ups.get(c, net) is not net, abs(c - spot.middle), c), default=None)


def _lay_tracks(nets: Sequence[_Net], ups: Mapping[int, _Net], downs: Mapping[int, _Net]) -> bool:
    """Give each net that is not straight a line of its own, or one that it shares with nets beside it.

    Where one net goes up and another one down in the same column, the first must lie above; False if that goes in a circle.
    """
    left = [net for net in nets if not net.is_straight]
    above = {id(net): [up for c in net.downs if (up := ups.get(c)) is not None and up is not net and not up.is_straight] for net in left}
    tracks: list[list[tuple[int, int]]] = []
    while left:
        ready = [net for net in left if all(up.track >= 0 for up in above[id(net)])]
        if not ready:
            return False
        net = min(ready, key=lambda n: n.ends)
        left.remove(net)
        first, last = net.ends
        lowest = max((up.track + 1 for up in above[id(net)]), default=0)
        fits = (n for n, t in enumerate(tracks) if n >= lowest and all(last + 1 < a or b + 1 < first for a, b in t))
        net.track = next(fits, max(len(tracks), lowest))
        while len(tracks) <= net.track:
            tracks.append([])
        tracks[net.track].append((first, last))
    return True


def _paint(rows: Sequence[Sequence[_Spot]], nets: Sequence[Sequence[_Net]], label: Callable[[str], str], width: int) -> Drawing:
    lines: list[str] = []
    places: dict[str, Place] = {}
    for n, row in enumerate(rows):
        cells = [" "] * width
        for spot in row:
            text = "│" if spot.is_rail else label(spot.name).center(spot.width, "─")
            cells[spot.left : spot.left + spot.width] = text
            if not spot.is_rail:
                places[spot.name] = Place(len(lines), spot.left, spot.width)
        lines.append("".join(cells).rstrip())
        if n < len(nets):
            lines += _between(nets[n], width)
    return Drawing(tuple(lines), places)


def _between(nets: Sequence[_Net], width: int) -> list[str]:
    """The lines between two layers."""
    height = max((net.track for net in nets), default=0) + 1
    cells = [[" "] * width for _ in range(max(height, 1))]
    for net in nets:
        if net.track >= 0:
            first, last = net.ends
            for c in range(first, last + 1):
                sides = (c in net.ups, c in net.downs, c > first, c < last)
                cells[net.track][c] = _JOINTS[sides]
    for net in nets:
        for c in net.ups:
            for y in range(net.track if net.track >= 0 else len(cells)):
                cells[y][c] = "│"
        for c in net.downs:
            for y in range(net.track + 1, len(cells)):
                cells[y][c] = "│"
    return ["".join(row).rstrip() for row in cells]
