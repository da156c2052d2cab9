"""Points -> read blocks, fewest first, and settings -> write blocks. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from drivers.spec import BusConfig, ModbusLimits, RegisterSource, SerialLine, Table

# Modbus Application Protocol V1.1b3 sections 6.1 to 6.12: what one request may hold.
MAX_READ = 125
MAX_READ_BITS = 2000
MAX_WRITE = 123
MAX_WRITE_BITS = 1968

# Unused registers that cost less to read along than one more request does, by baud rate: a request has a fixed
# part of about 40 ms at 9600 baud and each register takes 2.1 ms.
_GAP_BY_BAUD = ((9600, 20), (19200, 30), (57600, 60))
_GAP_FAST = 125
# Behind a gateway that passes RTU frames on is a line of unknown speed; 9600 baud is what most are set to.
_GAP_BEHIND_GATEWAY = 20


@dataclass(frozen=True, slots=True)
class Item:
    """What is never split: points that share registers, or need each other's, with all registers between."""

    first: int
    last: int  # inclusive
    points: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadBlock:
    """One read request: `count` registers (bits, for coils) from `address`, and the points that it answers."""

    table: Table
    address: int
    count: int
    items: tuple[Item, ...]

    @property
    def points(self) -> tuple[str, ...]:
        """Ids of the points that it answers, in the order of their items."""
        return tuple(point for item in self.items for point in item.points)

    @property
    def size(self) -> int:
        """Bytes of data in its answer, which is all that tells one RTU answer of a unit from another."""
        return answer_size(self.table, self.count)


@dataclass(frozen=True, slots=True)
class WriteBlock:
    """One write request: `words` (0 or 1 each, for coils) from `address` on."""

    table: Table
    address: int
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What bounds a read block; registers, and bits for the bit tables."""

    max_read: int = MAX_READ
    max_gap: int = _GAP_FAST
    barriers: tuple[int, ...] = ()
    align: int = 1

    def most(self, table: Table) -> int:
        """Most registers or bits in one request."""
        return MAX_READ_BITS if is_bits(table) else min(self.max_read, MAX_READ)

    def gap(self, table: Table) -> int:
        """Most unused registers or bits between two items of a block."""
        return 16 * self.max_gap if is_bits(table) else self.max_gap


def is_bits(table: Table) -> bool:
    """True for the tables of single bits."""
    return table in (Table.COIL, Table.DISCRETE)


def answer_size(table: Table, count: int) -> int:
    """Bytes of data in the answer to a read of `count` registers or bits."""
    return (count + 7) // 8 if is_bits(table) else 2 * count


def read_limits(profile: ModbusLimits, bus: BusConfig) -> ReadLimits:
    """Limits of a device on a bus; the smaller of the gaps that profile and bus give, else that of the link speed."""
    given = [gap for gap in (profile.max_gap, bus.max_gap) if gap is not None]
    return ReadLimits(profile.max_read, min(given) if given else _link_gap(bus), profile.barriers, profile.align)


def _link_gap(bus: BusConfig) -> int:
    if isinstance(bus.link, SerialLine):
        baud = bus.link.baud
        return next((gap for limit, gap in _GAP_BY_BAUD if baud <= limit), _GAP_FAST)
    return _GAP_BEHIND_GATEWAY if bus.framing == "rtu_over_tcp" else _GAP_FAST


# --- reads -----------------------------------------------------------------------------------------


def plan_reads(
    sources: Mapping[str, RegisterSource], points: Sequence[str], limits: ReadLimits
) -> tuple[ReadBlock, ...]:
    """Read blocks that answer `points`, sorted by table and address; a scale factor is read with its value.

    Raises ValueError when registers that belong together do not fit one request.
    """
    blocks: list[ReadBlock] = []
    for table in Table:
        items = _items(sources, [point for point in points if sources[point].table is table], limits)
        blocks.extend(_merge(table, items, limits))
    return tuple(blocks)


def span(source: RegisterSource) -> tuple[int, int]:
    """First and last address of a source's words."""
    if source.words:
        return min(source.words), max(source.words)
    return source.address, source.address + max(source.registers, 1) - 1


def _items(sources: Mapping[str, RegisterSource], points: Sequence[str], limits: ReadLimits) -> list[Item]:
    spans: list[tuple[int, int, str]] = []
    for point in dict.fromkeys(points):
        first, last = span(sources[point])
        factor = sources[point].scale_from
        if factor is not None:
            if sources[factor].table is not sources[point].table:
                raise ValueError(f"{point}: its scale factor {factor} is in another table")
            other = span(sources[factor])
            first, last = min(first, other[0]), max(last, other[1])
        most = limits.most(sources[point].table)
        if last - first + 1 > most:
            raise ValueError(f"{point}: its registers {first} to {last} do not fit one request of {most}")
        spans.append((first, last, point))
    spans.sort()
    items: list[Item] = []
    for first, last, point in spans:
        before = items[-1] if items else None
        # Points on the same registers go together as long as one request can hold them.
        if (
            before is not None
            and first <= before.last
            and max(last, before.last) - before.first < limits.most(sources[point].table)
        ):
            items[-1] = Item(before.first, max(last, before.last), (*before.points, point))
        else:
            items.append(Item(first, last, (point,)))
    return items


def _merge(table: Table, items: Sequence[Item], limits: ReadLimits) -> Iterator[ReadBlock]:
    run: list[Item] = []
    for item in items:
        if run and not _fits(table, run, item, limits):
            yield _block(table, run, limits)
            run = []
        run.append(item)
    if run:
        yield _block(table, run, limits)


def _fits(table: Table, run: Sequence[Item], item: Item, limits: ReadLimits) -> bool:
    first = run[0].first - run[0].first % limits.align
    last = max(one.last for one in run)
    if item.last - first + 1 > limits.most(table) or item.first - last - 1 > limits.gap(table):
        return False
    return not any(run[0].first < barrier <= item.last for barrier in limits.barriers)


def _block(table: Table, items: Sequence[Item], limits: ReadLimits) -> ReadBlock:
    first, last = items[0].first, max(item.last for item in items)
    aligned = first - first % limits.align
    # Alignment gives way where the longer block would not fit one request.
    start = aligned if last - aligned + 1 <= limits.most(table) else first
    return ReadBlock(table, start, last - start + 1, tuple(items))


def part(block: ReadBlock, first: int, end: int, limits: ReadLimits) -> ReadBlock:
    """The block of items `first` to `end` (exclusive) of a block alone."""
    return _block(block.table, block.items[first:end], limits)


def bisect(block: ReadBlock, limits: ReadLimits) -> tuple[ReadBlock, ReadBlock]:
    """Two blocks for one that a device refused, cut in its widest gap, else in the middle: holes lie in gaps.

    Raises ValueError for a block of one item.
    """
    if len(block.items) < 2:
        raise ValueError("one item cannot be split")
    gaps = [after.first - before.last for before, after in pairwise(block.items)]
    widest = max(gaps)
    cut = gaps.index(widest) + 1 if widest > 1 else len(block.items) // 2
    return part(block, 0, cut, limits), part(block, cut, len(block.items), limits)


def reshape(
    block: ReadBlock, avoid: frozenset[int], known: frozenset[int], limits: ReadLimits, *, pad: bool = True
) -> tuple[ReadBlock, ...]:
    """Blocks that read the same points while no answer has a size (bytes) out of `avoid`.

    Registers read along are taken from `known` addresses if possible, then the block is split, then (with `pad`)
    unknown registers behind it are read along. Empty when there is no such way.
    """
    if block.size not in avoid:
        return (block,)
    longer = tuple(_longer(block, avoid, limits))
    safe = next((one for one in longer if _addresses(one) <= known), None)
    if safe is not None:
        return (safe,)
    for cut in range(len(block.items) - 1, 0, -1):
        halves = part(block, 0, cut, limits), part(block, cut, len(block.items), limits)
        if not {half.size for half in halves} & avoid:
            return halves
    return longer[:1] if pad else ()


def _longer(block: ReadBlock, avoid: frozenset[int], limits: ReadLimits) -> Iterator[ReadBlock]:
    # A few sizes are enough: there are never more than a few lost requests of one unit.
    unit = 8 if is_bits(block.table) else limits.align
    for extra in range(unit, 9 * unit, unit):
        count = block.count + extra
        if count > limits.most(block.table):
            return
        if answer_size(block.table, count) in avoid:
            continue
        for start in (block.address, block.address - extra):
            crossed = any(start < barrier <= start + count - 1 for barrier in limits.barriers)
            if start >= 0 and start + count <= 0x1_0000 and not crossed:
                yield ReadBlock(block.table, start, count, block.items)


def _addresses(block: ReadBlock) -> frozenset[int]:
    return frozenset(range(block.address, block.address + block.count))


# --- writes ----------------------------------------------------------------------------------------


def plan_writes(
    table: Table, settings: Sequence[Sequence[tuple[int, int]]], *, max_write: int = MAX_WRITE, join: bool = False
) -> tuple[WriteBlock, ...]:
    """Write blocks of settings in their order, each setting as (address, word) pairs; only contiguous runs together.

    With `join` a setting that starts where the one before it ends goes into the same request.
    """
    most = MAX_WRITE_BITS if is_bits(table) else min(max_write, MAX_WRITE)
    runs: list[tuple[int, list[int]]] = []
    for pairs in settings:
        # A value goes into one request; only one that is longer than a request is cut.
        fresh = not join or not runs or len(runs[-1][1]) + len(pairs) > most
        for address, word in sorted(pairs):
            if fresh or address != runs[-1][0] + len(runs[-1][1]) or len(runs[-1][1]) >= most:
                runs.append((address, [word]))
            else:
                runs[-1][1].append(word)
            fresh = False
    return tuple(WriteBlock(table, address, tuple(words)) for address, words in runs)
