"""Changes to valid bytes, and bytes that were never valid. Pure: everything comes from the given chance."""

import random
import struct

HEADER_BYTES = 74  # of a request: type, token, times, handles
KINDS = (b"HEL", b"OPN", b"MSG", b"CLO", b"ACK", b"ERR", b"RHE")
INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\xfe\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"\x00\x00\x00\x00\x00\x00\xf8\x7f",  # NaN
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
)


def mutate(body: bytes, chance: random.Random, keep: int = HEADER_BYTES) -> bytes:
    """The body with a few bytes changed, put in, taken out or repeated, mostly behind the first `keep`.

    Sometimes it is cut, sometimes as it was.
    """
    data = bytearray(body)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        place = chance.randrange(min(len(data), keep if chance.random() < 0.95 else 4), len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            piece = chance.choice(INTERESTING)
            data[place : place + len(piece)] = piece
        elif kind == 2:
            data[place:place] = chance.randbytes(chance.randrange(1, 9))
        elif kind == 3:
            del data[place : place + chance.randrange(1, 9)]
        else:
            data[place:place] = data[place : place + chance.randrange(1, 40)] * chance.randrange(1, 5)
    if chance.random() < 0.05:
        del data[chance.randrange(len(data) + 1) :]
    return bytes(data)


def random_frame(chance: random.Random) -> bytes:
    """A frame of any kind with any content; its size is true, mostly."""
    kind = chance.choice(KINDS) if chance.random() < 0.9 else chance.randbytes(3)
    chunk = chance.choice((b"F", b"F", b"F", b"C", b"A", chance.randbytes(1)))
    content = chance.randbytes(chance.choice((0, 1, 4, 12, 24, 60, 200, 2_000)))
    size = 8 + len(content) if chance.random() < 0.9 else chance.randrange(2**32)
    return kind + chunk + struct.pack("<I", size) + content
