"""Pictures in Parquet files."""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ganctl import Unreadable, UserError
from ganctl_sources import files, parquet
from ganctl_sources.parquet import Parquet, ParquetOptions

PICTURES = [{"bytes": bytes([i]), "path": f"{i}.png"} for i in range(5)]


def written(at: Path, columns: dict[str, Any], **more: Any) -> ParquetOptions:
    table = pa.table(columns)
    features = more.pop("features", None)
    if features is not None:
        described = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": described})
    pq.write_table(table, at / "a.parquet", row_group_size=2, **more)
    return ParquetOptions(path=str(at / "a.parquet"))


def labels(options: ParquetOptions) -> list[str | None]:
    return [item.label for item in Parquet().items(options)]


def test_pictures_come_in_order_of_files_groups_and_rows(tmp_path: Path) -> None:
    options = written(tmp_path, {"image": PICTURES})
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes())
    one = list(Parquet().items(options))
    assert [i.key for i in one] == [f"a.parquet/{i:06d}" for i in range(5)]
    assert [Parquet().open(options, i) for i in one] == [bytes([i]) for i in range(5)]
    both = ParquetOptions(path=str(tmp_path))
    assert [i.key for i in Parquet().items(both)][4:6] == ["a.parquet/000004", "b.parquet/000000"]
    assert (Parquet().count(options), Parquet().count(both)) == (5, 10)


def test_class_labels_have_names(tmp_path: Path) -> None:
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    columns = {"image": PICTURES, "label": [0, 1, -1, None, 1]}
    options = written(tmp_path, columns, features=features)
    assert labels(options) == ["cat", "dog", None, None, "dog"]
    assert labels(written(tmp_path, columns)) == ["0", "1", "-1", None, "1"]


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"info": 3}', b'{"info": {"features": [1]}}'])
def test_odd_metadata_is_ignored(tmp_path: Path, metadata: bytes) -> None:
    table = pa.table({"image": PICTURES, "label": [1] * 5})
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), tmp_path / "a.parquet")
    assert labels(ParquetOptions(path=str(tmp_path / "a.parquet"))) == ["1"] * 5


def test_columns_are_found_by_type_and_by_name(tmp_path: Path) -> None:
    data = [bytes([i]) for i in range(5)]
    other = [bytes([9])] * 5
    text = pa.array(["x", "y", "", None, "x"]).dictionary_encode()
    options = written(tmp_path, {"id": [1] * 5, "raw": other, "img": data, "label": text})
    assert labels(options) == ["x", "y", None, None, "x"]
    items = list(Parquet().items(options))
    assert [Parquet().open(options, i) for i in items] == data
    chosen = ParquetOptions(options.path, image_column="raw", label_column="id")
    assert [i.label for i in Parquet().items(chosen)] == ["1"] * 5
    assert Parquet().open(chosen, items[0]) == bytes([9])
    features = {"raw": {"_type": "Image"}}
    described = written(tmp_path, {"raw": other, "img": data}, features=features)
    assert Parquet().open(described, items[0]) == bytes([9])


def test_rows_without_a_picture_are_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FILE", 2**20)
    rows = [None, {"bytes": None, "path": None}, {"bytes": None, "path": "x.png"}]
    options = written(tmp_path, {"image": [*rows, {"bytes": bytes(2**20 + 1), "path": None}]})
    reasons = ["no picture in the row", "no picture in the row", "only a path", "over 1 MB"]
    for item, reason in zip(Parquet().items(options), reasons, strict=True):
        with pytest.raises(Unreadable, match=reason):
            Parquet().open(options, item)


@pytest.mark.parametrize(
    ("columns", "options", "reason"),
    [
        ({"label": [1]}, {}, "no column holds pictures"),
        ({"image": ["x"]}, {}, "no column holds pictures"),
        ({"image": PICTURES[:1]}, {"image_column": "img"}, "no column 'img'; it has image"),
        ({"image": PICTURES[:1]}, {"label_column": "kind"}, "no column 'kind'; it has image"),
        ({"a": [1], "b": [b""]}, {"image_column": "a"}, "column 'a' holds pictures: wanted bytes"),
        ({"image": PICTURES[:1], "label": [[1]]}, {}, "column 'label' is list<"),
        ({"image": PICTURES[:0]}, {}, "no column holds pictures|no rows"),
    ],
)
def test_columns_that_do_not_fit_are_named(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, str], reason: str
) -> None:
    path = written(tmp_path, columns).path
    with pytest.raises(UserError, match=reason):
        Parquet().check(ParquetOptions(path, **options))


@pytest.mark.parametrize("keep", [0, 3, 100, -1, -20])
def test_a_damaged_file_is_named(tmp_path: Path, keep: int) -> None:
    options = written(tmp_path, {"image": PICTURES})
    file = Path(options.path)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"a\.parquet: damaged or no Parquet file") as caught:
        Parquet().check(options)
    assert "\n" not in str(caught.value)


def test_a_damaged_row_group_is_named(tmp_path: Path) -> None:
    options = written(tmp_path, {"image": PICTURES}, compression="gzip")
    items = list(Parquet().items(options))
    content = bytearray(Path(options.path).read_bytes())
    content[4:60] = b"\xff" * 56
    Path(options.path).write_bytes(content)
    with pytest.raises(UserError, match=r"a\.parquet: damaged"):
        Parquet().open(options, items[0])


def test_many_files_need_few_descriptors(tmp_path: Path) -> None:
    content = Path(written(tmp_path, {"image": PICTURES, "label": [1] * 5}).path).read_bytes()
    for number in range(60):
        (tmp_path / f"b{number:02}.parquet").write_bytes(content)
    options = ParquetOptions(path=str(tmp_path))
    Parquet().check(written(tmp_path, {"image": PICTURES}))  # pyarrow is loaded and has its threads
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(os.listdir("/dev/fd")) + 16
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, allowed[1]))
    try:
        Parquet().check(options)
        items = list(Parquet().items(options))
        assert len({Parquet().open(options, item) for item in items}) == 5
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    assert len(items) == Parquet().count(options) == 61 * 5


def test_what_hugging_face_says_is_parsed_once_for_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, features = [], parquet._features
    monkeypatch.setattr(parquet, "_features", lambda m: asked.append(m) or features(m))
    options = written(tmp_path, {"image": PICTURES}, features={"image": {"_type": "Image"}})
    for item in Parquet().items(options):
        Parquet().open(options, item)
    assert len(asked) == 1


def test_a_huge_row_group_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MAX_GROUP", 10)
    options = written(tmp_path, {"image": PICTURES})
    with pytest.raises(UserError, match="write it anew with row groups under"):
        Parquet().open(options, next(Parquet().items(options)))


def test_without_pyarrow_the_advice_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = written(tmp_path, {"image": PICTURES})
    assert Parquet().missing() is None
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert Parquet().missing() == "pip install 'ganctl[parquet]'"
    with pytest.raises(UserError, match=r"needs pyarrow: pip install 'ganctl\[parquet\]'"):
        Parquet().check(options)


def test_the_fingerprint_follows_every_file(tmp_path: Path) -> None:
    options = written(tmp_path, {"image": PICTURES})
    seen = [Parquet().fingerprint(options) for _ in range(2)]
    os.utime(options.path, (1, 1))
    seen.append(Parquet().fingerprint(options))
    assert seen[0] == seen[1] != seen[2]
