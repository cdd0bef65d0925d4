import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import otspec as ot
from otspec.core.files import replacing, sha256, write_json, write_text
from otspec.core.table import NUMBER, Table, narrowed


def test_a_table_reads_back_what_it_wrote(tmp_path):
    table = ot.Table([{"rule": "nss", "k": 2, "acceptance": 1 / 3, "stderr": None, "exact": True}], {"seed": 1})
    table.to_csv(tmp_path / "t.csv")
    again = ot.Table.from_csv(tmp_path / "t.csv")
    assert again.rows == table.rows
    assert again.metadata == {"seed": "1"}


# texts that no file can tell from another value: numbers, bools, and the empty text that stands for None
WORDS = st.text(st.characters(codec="utf-8"), max_size=5).filter(
    lambda text: text not in {"", "True", "False"} and not NUMBER.fullmatch(text))
CELLS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.sampled_from(
    ["x\ny", "x\r\ny", "\r", "# note: 1", "1_0", "\u0661", "\u2028", " 1", '"', ",", "infinity"])
NAMES = st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(["# a", "a\nb", "\r", "\u2028"])


@settings(deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.lists(st.fixed_dictionaries(dict.fromkeys(names, CELLS)), min_size=1, max_size=4)),
       st.dictionaries(st.sampled_from(["seed", "a b", "#"]), st.text(st.characters(codec="utf-8"), max_size=5)))
def test_every_table_reads_back_what_it_wrote(rows, metadata):
    with tempfile.TemporaryDirectory() as folder:
        ot.Table(rows, metadata).to_csv(Path(folder) / "t.csv")
        again = ot.Table.from_csv(Path(folder) / "t.csv")
    assert again.rows == rows
    for old, new in zip(rows, again.rows, strict=True):
        assert {name: type(new[name]) for name in new} == {name: type(old[name]) for name in old}  # True is no 1
    assert again.metadata == {key: " ".join(text.splitlines()) for key, text in metadata.items()}


def test_files_of_other_hands(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("# seed: 1\r\n# a remark\r\nx,y\r\n.50,+1\r\n1e-3,-INF\r\n", newline="")
    assert ot.Table.from_csv(path) == ot.Table([{"x": 0.5, "y": 1}, {"x": 0.001, "y": float("-inf")}], {"seed": "1"})
    for row in ("1", "1,2,3"):
        path.write_text(f"# seed: 1\nx,y\n1,2\n{row}\n")
        with pytest.raises(ot.BadFile, match=r"t\.csv: the row that ends in line 4 .* 2 cells of the header"):
            ot.Table.from_csv(path)


def test_whole_numbers_keep_their_zeros():
    line = ot.Table([{"x": 10.0, "y": 0.0, "z": 2.0}]).to_markdown(digits=0).splitlines()[-1]
    assert line == "| 10 | 0 | 2 |"


def test_reading_views(tmp_path):
    table = ot.Table([{"rule": "a", "x": 0.5}, {"rule": "b", "x": 1e-9}])
    assert table.column("rule") == ["a", "b"]
    assert table.where(rule="a").rows == table.rows[:1]
    assert table.where(rule="a", x=1e-9).rows == []
    assert table.where().rows == table.rows
    for one in (table, Table(table.rows[:1])):
        for read in (lambda one=one: one.column("rules"), lambda one=one: one.where(rule="a", rules="b")):
            with pytest.raises(ot.UnknownName, match=r"^no column is called 'rules'\. Did you mean 'rule'\? Fix"):
                read()
    assert (Table([]).where(x=1).rows, Table([]).column("x")) == ([], [])
    assert table.to_markdown().splitlines()[-1] == "| b | 1.00e-09 |"
    assert str(table).splitlines()[1].split() == ["a", "0.5"]
    assert ot.Table([]).columns == []


def test_a_long_table_shows_its_ends():
    table = ot.Table([{"row": i, "square": i * i} for i in range(1000)])
    lines = repr(table).splitlines()
    assert [line.split() for line in (lines[0], lines[1], lines[20], lines[22], lines[-1])] == [
        ["row", "square"], ["0", "0"], ["19", "361"], ["980", "960400"], ["999", "998001"]]
    assert "960 of 1000 rows left out" in lines[21]
    assert len(lines) == 42
    assert len(str(table).splitlines()) == 1001
    assert repr(ot.Table(table.rows[:40])) == str(ot.Table(table.rows[:40]))
    assert table._repr_html_().count("<tr>") == 42
    assert repr(ot.Table([])) == "Table(no rows)"


@pytest.mark.parametrize("count", [1, 2, 19, 21, 39, 40, 41, 42, 43])
def test_every_row_or_the_ends_and_how_many_lie_between(count):
    rows = [{"row": i, "twice": 2 * i} for i in range(count)]
    shown = [["row", "twice"], *([str(i), str(2 * i)] for i in range(count))]
    if count > 40:
        shown[21 : count - 19] = [[f"... {count - 40} of {count} rows left out (see .rows) ..."]]
    lines = [line.split() if "left" not in line else [line] for line in repr(Table(rows)).splitlines()]
    assert lines == shown
    html = Table(rows)._repr_html_()
    assert [re.findall("<t[dh][^>]*>([^<]*)<", row) for row in html.split("<tr>")[1:]] == shown


@pytest.mark.parametrize(("value", "text"), [
    (None, ""), (0.0, "0"), (1e-4, "0.0001"), (9.9e-5, "9.90e-05"), (-9e-5, "-9.00e-05"), (-1e-4, "-0.0001"),
    (0.12344, "0.1234"), (1.5, "1.5"), (100.0, "100"), (float("nan"), "nan"), (float("-inf"), "-inf"), (10, "10"),
    (True, "True"), ("0.50", "0.50")])
def test_cells_are_rounded_for_reading(value, text):
    table = Table([{"x": value}])
    assert table.shown() == [[text]]
    assert table.to_markdown() == f"| x |\n| --- |\n| {text} |"
    assert str(table) == f"x\n{text}"


def test_a_plain_file_has_no_quotes(tmp_path):
    path = tmp_path / "t.csv"
    for columns, first in ((("a", "# b"), "a,# b"), (("# b", "a"), '"# b","a"'), (("a", "#b"), "a,#b")):
        Table([dict.fromkeys(columns, 1)], {"note": "x: y: z"}).to_csv(path)
        assert path.read_text().splitlines()[:2] == ["# note: x: y: z", first]
        assert Table.from_csv(path).metadata == {"note": "x: y: z"}
        assert Table.from_csv(path).rows == [dict.fromkeys(columns, 1)]


def test_cells_are_escaped():
    table = ot.Table([{"a<b": "x|y & z"}])
    assert "<th>a&lt;b</th>" in table._repr_html_()
    assert "<td>x|y &amp; z</td>" in table._repr_html_()
    assert table.to_markdown().splitlines()[-1] == r"| x\|y & z |"


def test_pandas_is_optional(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ot.MissingExtra, match="pip install pandas"):
        ot.Table([{"a": 1}]).to_pandas()


def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "deep" / "file.json"

    def interrupted():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(path.parent.iterdir()) == []
    write_json(path, {"a": 1})
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(path.parent.iterdir()) == [path]


def test_folders_above_a_file_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "here")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "here"


def test_hashes_are_of_the_bytes(tmp_path):
    write_text(tmp_path / "a", "abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf8f01cfea")


WIDE = Table([{"scheme": "WithReplacement", "rule": rule, "acceptance": value, "note": None, "gap": value / 3,
               "certificate": 1e-15} for rule, value in (("block", 0.5), ("traversal", 0.25))])


def test_a_table_fits_a_terminal_where_it_is_asked_to():
    whole = str(WIDE)
    with narrowed(200):
        assert str(WIDE) == whole
    with narrowed(34):
        lines = str(WIDE).splitlines()
    assert lines[0] == "in all rows: scheme WithReplacement, certificate 1.00e-15"
    assert lines[1].split() == ["rule", "acceptance", "gap"]
    assert all(len(line) <= 34 for line in lines[1:])
    with narrowed(28):
        lines = str(WIDE).splitlines()
    assert lines[1].split() == ["rule", "acceptance"]
    assert lines[-1] == "more columns with --out or --json: gap"
    with narrowed(max(map(len, whole.splitlines()))):
        assert str(WIDE) == whole
    with narrowed(max(map(len, whole.splitlines())) - 1):
        assert str(WIDE).startswith("in all rows: scheme WithReplacement, certificate 1.00e-15\nrule")
    with narrowed(29):  # as long as the longest line
        assert str(WIDE).splitlines()[1].split() == ["rule", "acceptance", "gap"]
    with narrowed(3):
        assert str(WIDE).splitlines()[1] == "rule"
    assert str(WIDE) == whole


def test_of_rows_that_are_all_the_same_the_first_column_is_kept():
    with narrowed(8):
        lines = str(Table([{"a": 1, "b": 2, "c": "long enough"}] * 2)).splitlines()
    assert lines == ["in all rows: a 1, b 2, c long enough", "a", "1", "1"]


def test_one_row_keeps_its_columns_as_far_as_they_go():
    with narrowed(20):
        lines = str(Table(WIDE.rows[:1])).splitlines()
    assert lines[0].split() == ["scheme"]
    assert lines[-1].endswith("rule, acceptance, note, gap, certificate")
