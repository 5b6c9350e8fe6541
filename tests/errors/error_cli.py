"""The other commands."""

import json
from pathlib import Path


def output_of_another_format(distembed):
    """An output of another format."""
    distembed("embed model -o z.xlsx")


def output_that_is_a_folder(distembed):
    """An output that is a folder."""
    Path("z.csv").mkdir()
    distembed("embed model -o z.csv")


def output_that_exists(distembed):
    """An output that exists."""
    Path("z.csv").touch()
    distembed("embed model -o z.csv")


def output_into_no_folder(distembed):
    """An output into a folder that is not there."""
    distembed("embed model -o results/z.csv")


def output_over_the_data(distembed):
    """An output over the data."""
    distembed("embed model cells.csv -o cells.csv --force")


def covariances_without_errors(distembed):
    """Covariances without errors."""
    distembed("embed model --covariances --no-errors -o z.csv")


def set_named_twice(distembed):
    """A set that is named twice."""
    distembed("embed model --id p03 --id p03 -o z.csv")


def set_not_in_the_data(distembed):
    """A set that the data lack."""
    distembed("embed model --id p3 -o z.csv")


def embeddings_of_another_model(distembed):
    """Embeddings of another model."""
    Path("z.csv").write_text("id,n_atoms,n_effective,z0,z1\na,3,3,0.5,0.5\n")
    distembed("sample model z.csv -o drawn.csv")


def marks_that_are_no_marks(distembed):
    """A metadata column with the name of ours."""
    Path("z.csv").write_text(
        "id,n_atoms,n_effective,trained,z0,z1,z2,z3\na,3,3,twice,1,1,1,1\nb,3,3,once,1,1,1,1\n"
    )
    distembed("distance model z.csv -o d.csv")


def new_sets_of_data(distembed):
    """New sets, and a set of the data."""
    distembed("sample model --new 3 --id p03 -o drawn.csv")


def new_sets_without_a_population(distembed):
    """New sets of a model without a population."""
    distembed("sample model --new 3 -o drawn.csv")


def path_from_a_set_to_itself(distembed):
    """A path from a set to itself."""
    distembed("interpolate model --from p03 --to p03 -o path.csv")


def no_held_out_sets(distembed):
    """No held-out sets."""
    Path("model/test_ids.json").unlink()
    distembed("evaluate model")


def damaged_list_of_held_out_sets(distembed):
    """A damaged list of held-out sets."""
    Path("model/test_ids.json").write_text('{"p00": 1}')
    distembed("evaluate model")


def test_of_a_single_set(distembed):
    """A test of one held-out set."""
    ids = json.loads(Path("model/test_ids.json").read_text())
    Path("model/test_ids.json").write_text(json.dumps(ids[:1]))
    distembed("test model -o tests.csv")


def test_of_training_sets(distembed):
    """A test of sets of the training."""
    distembed("embed model --covariances -o z.csv")
    distembed("test model z.csv --sets all -o tests.csv")


def permutations_of_embeddings(distembed):
    """Permutations of embeddings."""
    distembed("embed model --covariances -o z.csv")
    distembed("test model z.csv --permutations 99 -o tests.csv")


def test_without_covariances(distembed):
    """A test of embeddings without covariances."""
    names = json.loads(Path("model/test_ids.json").read_text())
    ids = " ".join(f"--id {name}" for name in names)
    distembed(f"embed model {ids} -o z.csv")
    distembed("test model z.csv -o tests.csv")


def format_whose_package_is_missing(distembed, absent):
    """An output whose package is not installed."""
    absent("pyarrow")
    distembed("embed model -o z.parquet")


def report_with_an_evaluation_of_others(distembed):
    """A report with an evaluation of other sets."""
    pairs = {"index": [], "latent": [], "w2": []}
    content = {"rows": [], "settings": {"sets": 9}, "pairs": pairs}
    Path("old.json").write_text(json.dumps(content))
    distembed("report model --evaluation old.json")


def report_with_another_file(distembed):
    """A report with another file than an evaluation."""
    Path("old.json").write_text('{"accuracy": 0.9}')
    distembed("report model --evaluation old.json")


def evaluation_of_training_sets(distembed):
    """An evaluation on sets of the training."""
    distembed("evaluate model --sets all")


def unknown_encoder_to_check(distembed):
    """An encoder to check that is not there."""
    distembed("check encoder deepset")


def control_with_an_option(distembed):
    """A negative control with an option."""
    distembed("check encoder sum --option width=8")


def option_without_a_value(distembed):
    """An option without a value."""
    distembed("check encoder deepsets --option width")


def shape_of_letters(distembed):
    """A shape of letters."""
    distembed("check encoder deepsets --event wide")


def files_of_a_benchmark(distembed):
    """Files of a benchmark."""
    distembed("bench gaussian results.json")


def benchmark_that_writes(distembed):
    """A benchmark that writes tables."""
    distembed("bench gaussian --write")


def table_of_nothing(distembed):
    """A table of no file."""
    distembed("bench table")
