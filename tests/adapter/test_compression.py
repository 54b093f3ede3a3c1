"""Compressed files that were appended to are told from those in one piece."""

import gzip
import struct

import pytest

from ovito_glassml.adapter.compression import gzip_has_one_part, zstandard_has_one_part
from ovito_glassml.adapter.files import FileError, check_rows

CONTENT = b"9\n\n" + b"Cu 1 2 3\n" * 9

#: What zstd 1.5 makes of 600 times "Cu 1 2 3" and a line end, with its checksum.
FROM_ZSTD = bytes.fromhex("28b52ffd04588d00004843752031203220330a01000cc5be1c01f2b523b3")


def stored(content, *, checksum=False, repeated=b""):
    """A Zstandard part of a stored block, with an optional second block that repeats a byte 1000 times."""
    blocks = (len(content) << 3 | (not repeated)).to_bytes(3, "little") + content
    blocks += ((1000 << 3) | 2 | 1).to_bytes(3, "little") + repeated if repeated else b""
    descriptor = bytes([0xA4 if checksum else 0xA0])
    size = struct.pack("<I", len(content) + 1000 * len(repeated))
    return struct.pack("<I", 0xFD2FB528) + descriptor + size + blocks + b"1234" * checksum


EMPTY = struct.pack("<II", 0x184D2A53, 5) + b"aside"


@pytest.mark.parametrize(
    ("parts", "alone"),
    [
        ([stored(CONTENT)], True),
        ([stored(CONTENT, checksum=True)], True),
        ([stored(CONTENT, repeated=b"x")], True),
        ([EMPTY, stored(CONTENT), EMPTY], True),
        ([FROM_ZSTD], True),
        ([FROM_ZSTD, FROM_ZSTD], False),
        ([stored(CONTENT, repeated=b"x"), stored(CONTENT)], False),
        ([stored(CONTENT, checksum=True), EMPTY, FROM_ZSTD], False),
    ],
)
def test_parts_of_zstandard_files_are_counted(tmp_path, parts, alone):
    file = tmp_path / "glass.xyz.zst"
    file.write_bytes(b"".join(parts))
    assert zstandard_has_one_part(file) is alone
    if alone:
        check_rows(file)
    else:
        with pytest.raises(
            FileError, match=r"glass.xyz.zst has been appended to .* zstd -dc OLD.zst \| zstd > NEW.zst$"
        ):
            check_rows(file)


@pytest.mark.parametrize("content", [FROM_ZSTD[:-1], FROM_ZSTD[:9], FROM_ZSTD + b"more", b"text of no compressor"])
def test_a_damaged_zstandard_file_is_refused(tmp_path, content):
    file = tmp_path / "glass.xyz.zst"
    file.write_bytes(content)
    with pytest.raises(FileError, match=r"glass.xyz.zst is damaged \("):
        check_rows(file)


@pytest.mark.parametrize("first", [CONTENT, b""])
@pytest.mark.parametrize("second", [CONTENT, b""])
def test_a_second_part_of_a_gzip_file_is_noticed(tmp_path, first, second):
    """Also an empty one at either end, as block compressors write it."""
    file = tmp_path / "glass.xyz.gz"
    file.write_bytes(gzip.compress(first))
    assert gzip_has_one_part(file, len(first))
    check_rows(file)
    if first:
        file.write_bytes(gzip.compress(first) + gzip.compress(second))
        assert not gzip_has_one_part(file, len(first + second))
        with pytest.raises(FileError, match=r"glass.xyz.gz has been appended to .* gzip -dc OLD.gz"):
            check_rows(file)
