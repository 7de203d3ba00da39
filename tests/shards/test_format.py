from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from folksong.errors import FileFormatError
from folksong.shards.format import (
    RecordError,
    encode_example,
    frame,
    iterate_records,
    masked_crc32c,
    parse_example,
)

GOLDEN = Path(__file__).parent / "golden"
texts = st.text(max_size=20)
features = st.dictionaries(
    texts,
    st.one_of(
        st.lists(st.binary(max_size=30), max_size=5),
        arrays(np.float32, st.integers(0, 9)),
        arrays(np.int64, st.integers(0, 9)),
    ),
    max_size=5,
)


def payload(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def framed(*payloads: bytes) -> np.ndarray:
    return payload(b"".join(b"".join(frame(one)) for one in payloads))


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def test_crc_of_the_rfc_3720_vector() -> None:
    crc = 0x8A9136AA  # of 32 zero bytes, RFC 3720 B.4
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    assert masked_crc32c(bytes(32)) == (rotated + 0xA282EAD8) & 0xFFFFFFFF


@given(features)
def test_an_example_comes_back_as_it_was(given_features: dict[str, object]) -> None:
    parsed = parse_example(payload(encode_example(given_features)))  # type: ignore[arg-type]
    assert list(parsed) == list(given_features)
    for name, values in given_features.items():
        if isinstance(values, list):
            assert [bytes(value) for value in parsed[name].values] == values
        else:
            np.testing.assert_array_equal(parsed[name].values, values)


@given(features, st.data())
def test_damaged_examples_are_errors_or_other_examples_but_never_crash(
    given_features: dict[str, object], data: st.DataObject
) -> None:
    encoded = bytearray(encode_example(given_features))  # type: ignore[arg-type]
    if encoded:
        place = data.draw(st.integers(0, len(encoded) - 1))
        encoded[place] ^= 1 << data.draw(st.integers(0, 7))
        encoded = encoded[: data.draw(st.integers(0, len(encoded)))]
    try:
        parse_example(payload(bytes(encoded)))
    except FileFormatError as error:
        assert "tf.train.Example" in str(error)  # noqa: PT017


def test_unpacked_and_chunked_numbers_and_unknown_fields_are_understood() -> None:
    values = np.array([1.5, -2, 3], np.float32)
    unpacked = b"".join(b"\x0d" + value.tobytes() for value in values)
    chunked = field(1, values[:2].tobytes()) + field(1, values[2:].tobytes())
    mixed = field(1, values[:2].tobytes()) + b"\x0d" + values[2].tobytes()
    integers = b"\x08" + varint(300) + field(1, varint(5) + varint(70_000))
    entries = [
        field(1, b"unpacked") + field(2, field(2, unpacked)),
        field(1, b"chunked") + field(2, field(2, chunked)),
        field(2, field(2, mixed)) + field(1, b"mixed"),
        field(1, b"integers") + field(2, field(3, integers)),
        field(1, b"nothing"),
    ]
    unknown = b"\x48\x07" + field(10, b"other") + b"\x5d" + bytes(4) + b"\x61" + bytes(8)
    message = unknown + field(1, unknown + b"".join(field(1, entry) for entry in entries)) + unknown
    parsed = parse_example(payload(message))
    for name in ("unpacked", "chunked", "mixed"):
        np.testing.assert_array_equal(parsed[name].values, values)
        assert parsed[name].offset is None
    np.testing.assert_array_equal(parsed["integers"].values, [300, 5, 70_000])
    assert parsed["nothing"].values == []


def test_packed_floats_are_a_view_at_the_offset_told() -> None:
    values = np.arange(5, dtype=np.float32)
    data = payload(encode_example({"tid": [b"x"], "audio": values}))
    audio = parse_example(data)["audio"]
    assert np.shares_memory(audio.values, data)
    assert audio.offset is not None
    np.testing.assert_array_equal(np.frombuffer(data, "<f4", 5, audio.offset), values)


def test_a_file_cut_anywhere_gives_its_whole_records_and_then_an_error() -> None:
    whole = framed(b"one", b"", b"three" * 10)
    ends = [19, 35, 101]
    assert [record.end for record in iterate_records(whole, "f")] == ends
    for cut in range(1, len(whole)):
        found = []
        if cut in ends:
            continue
        with pytest.raises(
            RecordError, match=r"f: record \d at byte \d+: cut.*repairing it keeps the whole records"
        ):
            found.extend(record.end for record in iterate_records(whole[:cut], "f"))
        assert found == [end for end in ends if end <= cut]


def test_any_flipped_bit_is_found() -> None:
    whole = framed(b"one", b"three")
    for bit in range(8 * len(whole)):
        flipped = whole.copy()
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RecordError, match=r"CRC|cut"):
            list(iterate_records(flipped, "f"))


def test_an_error_survives_pickling() -> None:
    import pickle

    error = RecordError("f", 3, 100, "cut", 120)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert str(again) == str(error)
    assert (again.number, again.offset, again.end) == (3, 100, 120)


def test_tensorflows_file_is_framed_as_ours() -> None:
    data = payload((GOLDEN / "strings.tfrecord").read_bytes())
    records = list(iterate_records(data, "golden"))
    assert len(records) == 3
    again = [data[r.payload_offset : r.payload_offset + r.length].tobytes() for r in records]
    assert framed(*again).tobytes() == data.tobytes()
