"""Digests and seeded hashes, compared with hashlib."""

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from gpttasks.hashing import bytes_digest, content_digest, file_digest, files_digest, seeded_hash, text_digest


@given(st.binary(max_size=200))
def test_bytes_and_texts(data):
    assert bytes_digest(data) == hashlib.sha256(data).hexdigest()
    text = data.decode("utf-8", "surrogateescape")
    assert text_digest(text) == hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def test_a_file_of_several_parts(tmp_path):
    data = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(data)
    assert file_digest(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_the_digest_of_a_folder_is_that_of_its_names_and_contents(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "b.bin").write_bytes(b"2")
    (tmp_path / "in" / "a.bin").write_bytes(b"1")
    (tmp_path / "README.md").write_text("left out")
    assert files_digest(tmp_path) == content_digest([["b.bin", b"2"], ["in/a.bin", b"1"]])


@given(st.dictionaries(st.text(), st.integers() | st.text(), max_size=5))
def test_the_order_of_a_mapping_does_not_matter(mapping):
    turned = dict(reversed(mapping.items()))
    canonical = json.dumps(mapping, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert content_digest(mapping) == content_digest(turned) == text_digest(canonical)


def test_a_seeded_hash_has_64_bits_and_depends_on_all_of_its_names():
    values = {seeded_hash(1, "a", "b"), seeded_hash(2, "a", "b"), seeded_hash(1, "ab"), seeded_hash(1, "a", "c")}
    assert len(values) == 4
    assert all(0 <= value < 2**64 for value in values)
