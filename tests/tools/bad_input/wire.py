"""Protobuf's wire format, just enough to take a message apart, change one field and put it together again.

A message is a list of [number, wire type, value]; a value is an int (types 0, 1, 5) or bytes (type 2). Fields keep their
order, so what was in deterministic form stays so, and a plan can be sealed again after a change.
"""
import hashlib
import struct

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def read_varint(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return n, at


def decode(data):
    fields, at = [], 0
    while at < len(data):
        key, at = read_varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = read_varint(data, at)
        elif kind == BYTES:
            size, at = read_varint(data, at)
            value, at = bytes(data[at:at + size]), at + size
            if at > len(data):
                raise ValueError('cut short')
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
            value, at = int.from_bytes(data[at:at + size], 'little'), at + size
        else:
            raise ValueError(f'wire type {kind}')
        fields.append([key >> 3, kind, value])
    return fields


def encode(fields):
    out = bytearray()
    for number, kind, value in fields:
        out += varint(number << 3 | kind)
        if kind == VARINT:
            out += varint(value & (1 << 64) - 1)
        elif kind == BYTES:
            out += varint(len(value)) + value
        else:
            out += value.to_bytes(8 if kind == FIXED64 else 4, 'little')
    return bytes(out)


def real(x):
    """A double as the value of a FIXED64 field."""
    return struct.unpack('<Q', struct.pack('<d', x))[0]


def zigzag(n):
    return (n << 1) ^ (n >> 63) if n >= 0 else (-n << 1) - 1


def edit(data, path, change):
    """`path` is ((number, index), ...), ending with the message to change; change(fields) alters it in place."""
    fields = decode(data)
    if not path:
        change(fields)
        return encode(fields)
    (number, index), rest = path[0], path[1:]
    same = [f for f in fields if f[0] == number]
    same[index][2] = edit(same[index][2], rest, change)
    return encode(fields)


def put(number, value, kind=VARINT, index=0):
    """A change: field `number` gets `value`; it is put in order where it was absent (its value was zero)."""
    def change(fields):
        same = [f for f in fields if f[0] == number]
        if same:
            same[index][1:] = [kind, value]
            return
        at = sum(1 for f in fields if f[0] <= number)
        fields.insert(at, [number, kind, value])
    return change


def drop(number, index=None):
    """A change: field `number` goes, all of it or one occurrence."""
    def change(fields):
        same = [f for f in fields if f[0] == number]
        assert same, f'there is no field {number}'
        gone = same if index is None else [same[index]]
        fields[:] = [f for f in fields if not any(f is g for g in gone)]
    return change


def seal(plan):
    """The plan with the hash that its other bytes give."""
    fields = [f for f in decode(plan) if f[0] != 2]
    digest = hashlib.sha256(encode(fields)).hexdigest().encode()
    at = sum(1 for f in fields if f[0] < 2)
    fields.insert(at, [2, BYTES, digest])
    return encode(fields)
