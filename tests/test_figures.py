"""Figure scripts: data step, draw step from the CSV alone, and clear errors."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

import figures
import figures.__main__ as everything
import otspec.reporting.pictures as pictures
from figures import (
    all_couplings,
    bits_vs_epsilon,
    budget,
    efficiency_vs_length,
    goodput,
    growth,
    hull_sampler,
    length_policies,
    lossy_frontier,
    mistakes,
    temperature,
    tree_shapes,
    watermark,
    worst_case,
)
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.reporting.pictures import PICTURES

ROOT = Path(__file__).parents[1]
COLUMN, READABLE = 3.3, 5.0  # inches of a page's column, and the smallest type in it, in points
NEIGHBOURS = ("jacobi_vs_window", "list_tasks", "best_of_n", "alignment", "blockwise_lattice")


@pytest.fixture(autouse=True)
def every_figure_is_readable_in_a_column(monkeypatch):
    write = pictures.save

    def checked(figure, files):
        write(figure, files)
        shrunk = min(1.0, COLUMN / figure.get_figwidth())
        small = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()
                 and text.get_fontsize() * shrunk < READABLE]
        assert [text.get_text() for text in small] == []
        assert misplaced(figure) == []

    monkeypatch.setattr(pictures, "save", checked)
    monkeypatch.setattr(figures, "save", checked)


def misplaced(figure):
    """Words that the edge of the figure cuts, and titles and labels of axes that run into each other."""
    figure.set_dpi(200)  # as it is written
    figure.draw_without_rendering()
    labels = [text for ax in figure.axes for text in (ax.title, ax.xaxis.label, ax.yaxis.label)
              if text.get_visible() and text.get_text()]
    words = [*labels, *(text for ax in figure.axes for text in ax.texts),
             *(text for legend in [*figure.legends, *(ax.get_legend() for ax in figure.axes)] if legend
               for text in legend.get_texts())]
    edge = figure.bbox.padded(1.0)
    boxes = [text.get_window_extent().padded(-0.5) for text in words]
    cut = [text.get_text() for text, box in zip(words, boxes, strict=True)
           if box.x0 < edge.x0 or box.y0 < edge.y0 or box.x1 > edge.x1 or box.y1 > edge.y1]
    return cut + [f"{words[i].get_text()} on {words[j].get_text()}" for i in range(len(labels)) for j in range(i)
                  if boxes[i].overlaps(boxes[j])]


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("figures") / "trace.safetensors"
    target, draft = np.random.default_rng(0).dirichlet(np.full(5, 0.5), (2, 3))
    Trace.from_laws(target, draft).save(path)
    return path


def test_every_figure_has_its_script():
    scripts = set(figures.names())
    assert scripts >= set(PICTURES)
    here = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in sorted(scripts - set(PICTURES)) if name not in here] == []  # each is tested here


def test_growth_draws_the_measured_table(tmp_path, capsys):
    assert growth.main(["--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"growth.csv", "growth.pdf", "growth.png"}
    assert growth.main(["--from-csv", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err


def test_lossy_rules_lie_under_the_frontier(tmp_path, capsys):
    assert lossy_frontier.main(["--out", str(tmp_path), "--quick"]) == 0
    csv = tmp_path / "lossy_frontier.csv"
    assert capsys.readouterr().out.splitlines() == [str(csv.with_suffix(f".{kind}")) for kind in ("csv", "pdf", "png")]
    table = Table.from_csv(csv)
    assert min(table.column("below_frontier")) >= -1e-9
    assert max(table.where(k=1, rule="frontier").column("below_frontier")) <= 1e-9
    assert min(table.where(k=3, rule="typical").column("below_frontier")) > 0.1
    drawn = csv.with_suffix(".png").read_bytes()
    assert lossy_frontier.main(["--from-csv", str(csv)]) == 0
    assert csv.with_suffix(".png").read_bytes() == drawn
    assert lossy_frontier.main(["--trace", str(tmp_path / "none.safetensors"), "--out", str(tmp_path)]) == 2


def test_budget_is_measured_then_drawn(tmp_path, capsys):
    pytest.importorskip("transformers")
    assert budget.main(["--out", str(tmp_path), "--quick"]) == 0
    first = (tmp_path / "budget.png").read_bytes()
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".pdf", ".png"}
    assert budget.main(["--from-csv", str(tmp_path / "budget.csv")]) == 0
    assert (tmp_path / "budget.png").read_bytes() == first
    capsys.readouterr()
    assert budget.main(["--from-csv", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err
    assert budget.main(["--out", str(tmp_path), "--quick", "--draft-cost", "0"]) == 2
    assert "draft_cost" in capsys.readouterr().err


def test_efficiency_against_length_is_measured_then_drawn(tmp_path, capsys):
    pytest.importorskip("transformers")
    assert efficiency_vs_length.main(["--out", str(tmp_path), "--quick"]) == 0
    csv = tmp_path / "efficiency_vs_length.csv"
    assert capsys.readouterr().out.splitlines() == [str(csv.with_suffix(f".{kind}")) for kind in ("csv", "pdf", "png")]
    table = Table.from_csv(csv)
    for row in table.where(panel="toy").rows:
        assert row["efficiency"] <= row["optimum"] + 1e-9  # the linear programme's certificate
    assert {row["draft_length"] for row in table.where(panel="pocket", rule="winner_block").rows} == {1, 2, 3}
    drawn = csv.with_suffix(".png").read_bytes()
    assert efficiency_vs_length.main(["--from-csv", str(csv)]) == 0
    assert csv.with_suffix(".png").read_bytes() == drawn
    assert efficiency_vs_length.main(["--from-csv", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err


@pytest.mark.parametrize("script", [all_couplings, bits_vs_epsilon, watermark], ids=lambda script: script.NAME)
def test_figures_of_couplings(script, tmp_path, capsys):
    assert script.main(["--out", str(tmp_path), "--quick"]) == 0
    csv = tmp_path / f"{script.NAME}.csv"
    assert capsys.readouterr().out.splitlines() == [str(csv.with_suffix(f".{kind}")) for kind in ("csv", "pdf", "png")]
    table = Table.from_csv(csv)
    assert "otspec" in table.metadata
    for row in table.rows:
        if script is all_couplings and row["drafts"] == 1:
            assert row["agreement"] <= 1 - row["tv"] + 1e-9
        if script is bits_vs_epsilon:
            assert 0 < row["bits"] <= row["bound"]
            assert -1e-12 <= row["lost"] <= row["epsilon"]
    drawn = csv.with_suffix(".png").read_bytes()
    assert script.main(["--from-csv", str(csv)]) == 0
    assert csv.with_suffix(".png").read_bytes() == drawn
    assert script.main(["--from-csv", str(tmp_path / "none.csv")]) == 2


def test_trees_are_planned_then_drawn(tmp_path, capsys):
    pytest.importorskip("transformers")
    assert tree_shapes.main(["--out", str(tmp_path), "--quick"]) == 0
    csv = tmp_path / "tree_shapes.csv"
    assert capsys.readouterr().out.splitlines() == [str(csv.with_suffix(f".{kind}")) for kind in ("csv", "pdf", "png")]
    table = Table.from_csv(csv)
    for policy in tree_shapes.TITLES:
        rows = table.where(policy=policy).rows
        assert len(rows) == 9
        assert all(row["kept"] <= rows[row["parent"]]["kept"] for row in rows[1:])  # no child without its parent
    tokens = {row["policy"]: row["tokens"] for row in table.rows}
    assert tokens["sequoia"] < tokens["caterpillar"] <= tokens["fitted"]
    assert tree_shapes.main(["--from-csv", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["acceptance_vs_k", "gap_by_context", "agreement_vs_tv", "gap_on_toys"])
def test_data_then_drawing(name, trace, tmp_path, capsys):
    assert figures.main(name, ["--out", str(tmp_path), "--trace", str(trace), "--quick", "--seed", "3"]) == 0
    csv = tmp_path / f"{name}.csv"
    assert capsys.readouterr().out.splitlines() == [str(csv.with_suffix(f".{kind}")) for kind in ("csv", "pdf", "png")]
    assert Table.from_csv(csv).metadata["seed"] == "3"
    assert "otspec" in Table.from_csv(csv).metadata
    drawn = csv.with_suffix(".png").read_bytes()
    csv.with_suffix(".png").unlink()
    assert figures.main(name, ["--from-csv", str(csv)]) == 0
    assert csv.with_suffix(".png").read_bytes() == drawn


def test_decoding_figure_from_its_csv(tmp_path):
    csv = tmp_path / "predicted_vs_measured.csv"
    Table([{"run": "block, 1 path × 4", "rule": "block", "measured": 2.5, "predicted": 2.4,
            "difference_stderr": 0.05}]).to_csv(csv)
    assert figures.main("predicted_vs_measured", ["--from-csv", str(csv)]) == 0
    assert csv.with_suffix(".pdf").stat().st_size > 1000


def test_paths_figure_from_its_csv(tmp_path):
    csv = tmp_path / "rules_on_paths.csv"
    Table([{"rule": rule, "paths": paths, "draft_length": 4, "efficiency": 2.5, "difference": 0.1,
            "difference_stderr": 0.05}
           for rule, paths in (("block", 1), ("traversal", 2), ("winner_block", 2))]).to_csv(csv)
    assert figures.main("rules_on_paths", ["--from-csv", str(csv)]) == 0
    assert csv.with_suffix(".pdf").stat().st_size > 1000


def test_missing_trace_is_one_line(tmp_path, capsys):
    assert figures.main("gap_by_context", ["--trace", str(tmp_path / "none.safetensors")]) == 2
    assert capsys.readouterr().err.startswith("figures.gap_by_context: error: ")


@pytest.mark.parametrize("name", ["predicted_vs_measured", "rules_on_paths"])
def test_figures_of_a_pair_need_models(name, trace, tmp_path, capsys):
    assert figures.main(name, ["--trace", str(trace), "--out", str(tmp_path)]) == 2
    assert "models" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_module_runs_as_a_script(trace, tmp_path):
    done = subprocess.run([sys.executable, "-m", "figures.agreement_vs_tv", "--out", str(tmp_path), "--trace",
                           str(trace), "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "agreement_vs_tv.png").is_file()


def test_goodput_is_computed_from_measured_steps(tmp_path, capsys):
    assert goodput.main(["--out", str(tmp_path), "--quick"]) == 0
    csv = tmp_path / "goodput.csv"
    assert capsys.readouterr().out.splitlines() == [str(csv.with_suffix(f".{kind}")) for kind in ("csv", "pdf", "png")]
    table = Table.from_csv(csv)
    assert {row["target_scale"] for row in table.rows} == {1, 20}
    dear = table.where(target_scale=20)
    assert max(dear.column("length")) == 8
    assert all(one >= other for one, other in zip(dear.column("length"), table.where(target_scale=1).column("length"),
                                                  strict=True))
    drawn = csv.with_suffix(".png").read_bytes()
    assert goodput.main(["--from-csv", str(csv)]) == 0
    assert csv.with_suffix(".png").read_bytes() == drawn
    assert goodput.main(["--steps", str(tmp_path / "none.csv"), "--out", str(tmp_path)]) == 2
    assert "none.csv" in capsys.readouterr().err


def test_length_policies_are_measured_then_drawn(tmp_path, capsys):
    pytest.importorskip("transformers")
    assert length_policies.main(["--out", str(tmp_path), "--quick"]) == 0
    csv = tmp_path / "length_policies.csv"
    assert capsys.readouterr().out.splitlines() == [str(csv.with_suffix(f".{kind}")) for kind in ("csv", "pdf", "png")]
    table = Table.from_csv(csv)
    assert set(table.column("policy")) == set(length_policies.SHOWN)
    for cost in set(table.column("draft_cost")):
        rows = {row["policy"]: row["speedup"] for row in table.where(draft_cost=cost).rows}
        assert rows["clairvoyant"] == max(rows.values())
    assert length_policies.main(["--from-csv", str(tmp_path / "none.csv")]) == 2


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_figures_of_the_neighbours(name, tmp_path, capsys):
    pytest.importorskip("transformers")
    script = importlib.import_module(f"figures.{name}")
    assert script.main(["--out", str(tmp_path), "--quick"]) == 0
    csv = tmp_path / f"{name}.csv"
    assert capsys.readouterr().out.splitlines() == [str(csv.with_suffix(f".{kind}")) for kind in ("csv", "pdf", "png")]
    drawn = csv.with_suffix(".png").read_bytes()
    assert script.main(["--from-csv", str(csv)]) == 0
    assert csv.with_suffix(".png").read_bytes() == drawn
    assert script.main(["--from-csv", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err


@pytest.mark.parametrize("script", [hull_sampler, worst_case, temperature, mistakes], ids=lambda script: script.NAME)
def test_figures_of_the_theory(script, tmp_path, capsys):
    assert script.main(["--out", str(tmp_path), "--quick"]) == 0
    csv = tmp_path / f"{script.NAME}.csv"
    assert capsys.readouterr().out.splitlines() == [str(csv.with_suffix(f".{kind}")) for kind in ("csv", "pdf", "png")]
    table = Table.from_csv(csv)
    assert {"seed", "otspec", "numpy"} <= set(table.metadata)
    CLAIMS[script.NAME](table)
    drawn = csv.with_suffix(".png").read_bytes()
    assert script.main(["--from-csv", str(csv)]) == 0
    assert csv.with_suffix(".png").read_bytes() == drawn


def hull_claims(table):
    x, level = (np.array(table.column(name)) for name in ("x", "level"))
    corners = np.array(table.column("vertex"))
    assert (level >= np.interp(x, x[corners], level[corners]) - 1e-15).all()  # a hull from below
    assert 2 < corners.sum() < x.size
    assert [row["drafts"] for row in table.rows if row["drafts"] and row["wins"]] == [1, 1]


def worst_case_claims(table):
    for row in table.rows:
        assert (row["bound"] or 0) - 1e-9 <= row["ratio"] <= 1 + 1e-9
    assert table.where(rule="k_seq", k=2).column("ratio")[0] == pytest.approx(8 / 9, abs=1e-9)


def temperature_claims(table):
    for degrees in set(table.column("temperature")):
        best = {row["drafts"]: row["acceptance"] for row in table.where(temperature=degrees, rule="optimum").rows}
        assert best["without"] >= max(best.values()) - 1e-12
        for row in table.where(temperature=degrees).rows:
            assert row["acceptance"] <= best[row["drafts"]] + 5 * row["monte_carlo"] + 1e-12


def mistakes_claims(table):
    assert len(table) == sum(mistake.law is not None for mistake in mistakes.MISTAKES)
    assert min(table.column("largest")) > 0.01  # each is one that an audit's cases bring to light
    removed = table.where(mistake="draft_not_removed").rows[0]
    assert removed["median"] < 0.05 < removed["largest"]


CLAIMS = {"hull_sampler": hull_claims, "worst_case": worst_case_claims, "temperature": temperature_claims,
          "mistakes": mistakes_claims}


def test_all_figures_are_made_by_one_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(everything, "names", lambda: ["agreement_vs_tv", "growth", "hull_sampler"])
    assert everything.main(["--all", "--quick", "--jobs", "1", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["[ 1/3] agreement_vs_tv", "[ 2/3] growth",
                                                          "[ 3/3] hull_sampler"]
    assert lines[3].startswith("3 of 3 figures in")
    assert len(list(tmp_path.iterdir())) == 9


def test_a_figure_that_fails_does_not_stop_the_others(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(growth, "MEASURED", tmp_path / "none.csv")
    assert everything.main(["growth", "hull_sampler", "--quick", "--jobs", "1", "--out", str(tmp_path)]) == 1
    first, second, last = capsys.readouterr().out.splitlines()
    assert "none.csv" in first
    assert "hull_sampler: done" in second
    assert last.startswith("1 of 2 figures")


def test_figures_are_made_side_by_side(tmp_path):
    command = [sys.executable, "-m", "figures", "growth", "hull_sampler", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    first, second, _ = done.stdout.splitlines()
    assert {line.split()[2] for line in (first, second)} == {"growth:", "hull_sampler:"}
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize(("given", "says"), [([], "--all"), (["growht"], "'growht'"),
                                             (["growth", "--all"], "not both")])
def test_what_to_make_is_asked_for_clearly(given, says, capsys):
    assert everything.main(given) == 2
    assert says in capsys.readouterr().err
