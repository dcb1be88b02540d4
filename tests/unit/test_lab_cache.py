"""The cache of built things."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cache import Cache, content_key, tree_parts


def nothing(_directory: Path) -> None:
    """Build an empty entry."""


def test_a_key_depends_on_every_part_and_on_where_one_ends() -> None:
    keys = {content_key(parts) for parts in (["a", "b"], ["b", "a"], ["ab"], ["ab", ""], ["a", b"c"])}
    assert len(keys) == 5


def test_tree_parts_hold_names_and_contents_and_no_byte_code(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"x")
    (tmp_path / "b").write_text("two")
    (tmp_path / "a").write_text("one")
    assert list(tree_parts(tmp_path)) == ["a", b"one", "b", b"two"]


def test_a_thing_is_built_once(tmp_path: Path) -> None:
    builds: list[Path] = []

    def build(directory: Path) -> None:
        builds.append(directory)
        (directory / "file").write_text("content")

    cache = Cache(tmp_path / "cache")
    first, second = cache.get("thing", "k1", build), cache.get("thing", "k1", build)
    assert first == second
    assert (first / "file").read_text() == "content"
    assert len(builds) == 1


def test_a_failed_build_leaves_nothing_and_the_next_one_starts_clean(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(directory: Path) -> None:
        (directory / "half").touch()
        raise RuntimeError("no disk")

    with pytest.raises(RuntimeError, match="no disk"):
        cache.get("thing", "k1", fail)
    assert not list(tmp_path.glob("*thing*k1*"))
    assert not list(cache.get("thing", "k1", nothing).iterdir())


def test_only_the_latest_entries_of_a_kind_are_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for key in ("k1", "k2", "k3"):
        cache.get("thing", key, nothing, keep=2)
        cache.get("thing-other", key, nothing, keep=3)
    assert {path.name for path in tmp_path.glob("thing-k*")} == {"thing-k2", "thing-k3"}
    assert len(list(tmp_path.glob("thing-other-*"))) == 3
