"""Settings of `distembed fit`."""

from pathlib import Path


def nothing_to_fit(distembed):
    """No settings."""
    distembed("fit")


def settings_as_options(distembed):
    """A setting written as an option."""
    distembed("fit --steps 20")


def config_not_there(distembed):
    """A config that is not there."""
    distembed("fit run.yaml")


def table_as_a_config(distembed):
    """A table in the place of a config."""
    distembed("fit cells.csv")


def config_that_is_a_list(distembed):
    """A config that is a list."""
    Path("run.yaml").write_text("- data.path=cells.csv\n")
    distembed("fit run.yaml")


def config_that_is_no_yaml(distembed):
    """A config that is no YAML."""
    Path("run.yaml").write_text("data: {path: cells.csv\n")
    distembed("fit run.yaml")


def key_twice(distembed):
    """A key twice."""
    Path("run.yaml").write_text("out: run\ndata: {path: cells.csv}\nout: other\n")
    distembed("fit run.yaml")


def setting_without_a_value(distembed):
    """A setting without a value."""
    distembed("fit data.path=cells.csv train.steps")


def setting_that_is_no_yaml(distembed):
    """A value that is no YAML."""
    distembed("fit data.path=cells.csv data.by=patient data.columns=*")


def setting_below_a_value(distembed):
    """A key below a value."""
    distembed("fit data.path=cells.csv data.path.name=x")


def several_wrong_settings(distembed):
    """Several wrong settings, reported at once."""
    distembed("fit data.path=cells.csv data.colums=x model.encoder=deepset train.lr=0")


def variable_that_is_not_set(distembed):
    """A variable that is not set."""
    distembed("fit 'data.path=$NOWHERE/cells.csv' data.by=patient")


def data_not_there(distembed):
    """Data that are not there."""
    distembed("fit data.path=cell.csv data.by=patient")


def fit_into_a_file(distembed):
    """A model in the place of a file."""
    distembed("fit data.path=cells.csv data.by=patient out=cells.csv/model")


def fit_into_a_full_folder(distembed):
    """A model among other files."""
    Path("results").mkdir()
    Path("results/notes.txt").touch()
    distembed("fit data.path=cells.csv data.by=patient out=results")


def fit_over_a_model(distembed):
    """A model over another one."""
    distembed("fit data.path=cells.csv data.by=patient out=model")


def fit_over_an_unfinished_run(distembed):
    """An unfinished run of another config."""
    Path("run.partial").mkdir()
    Path("run.partial/run.yaml").write_text("data: {path: cells.csv, by: group}\n")
    Path("run.partial/checkpoint.safetensors").touch()
    distembed("fit data.path=cells.csv data.by=patient out=run")


def text_as_a_feature_of_a_fit(distembed):
    """A column of text as a feature of a fit."""
    distembed("fit data.path=cells.csv data.by=patient 'data.columns=[height,group]'")


def test_part_without_sets(distembed):
    """A test part of all sets."""
    distembed("fit data.path=cells.csv data.by=patient split.test=20")


def split_by_no_column(distembed):
    """A split by a column that is no metadata."""
    distembed("fit data.path=cells.csv data.by=patient data.meta=group split.stratify=sex")


def options_without_a_member(distembed):
    """Options without a name in a config."""
    distembed("fit data.path=cells.csv data.by=patient model.encoder.width=8")


def wrong_option_in_a_config(distembed):
    """A wrong option in a config."""
    distembed("fit data.path=cells.csv data.by=patient 'model.generator={name: flow, stpes: 8}'")


def temperature_of_zero_of_a_fit(distembed):
    """A temperature of zero in a config."""
    Path("reads.csv").write_text("sample,seq\na,ACG\na,TT\nb,GA\nb,C\nc,A\nc,CC\n")
    data = "data.by=sample data.columns=seq 'data.atoms={name: tokens, alphabet: ACGT}'"
    generator = "'model.generator={name: autoregressive, temperature: 0}'"
    distembed(f"fit data.path=reads.csv {data} {generator}")


def logarithm_of_negative_numbers_of_a_fit(distembed):
    """The logarithm of negative numbers in a config."""
    distembed("fit data.path=cells.csv data.by=patient model.transform=log1p")


def parts_of_a_small_batch(distembed):
    """More parts than a batch has sets."""
    distembed("fit data.path=cells.csv data.by=patient train.batch=4 train.parts=8")


def fit_without_cuda(distembed):
    """A fit on a device that is not there."""
    distembed("fit data.path=cells.csv data.by=patient train.device=cuda")
