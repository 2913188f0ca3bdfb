"""Workspace: everything that the runs of an experiment log, section by section."""

from dashboards.pages.prose import WHAT_A_STEP_IS, WHAT_MIDCOURSE_IS, faults_of, page_runs
from dashboards.pages.sections import sections_of
from dashboards.panels import Page
from dashboards.records import Experiment
from dashboards.words import counted


def workspace(experiment: Experiment) -> Page:
    """The six sections, of all runs.

    One run or many, a metric has a chart of its own: who arranged the page finds it so again.
    """
    runs = experiment.runs
    return Page(
        kind="workspace",
        title=f"{experiment.name}: workspace",
        experiment=experiment.name,
        intro=[
            f"Everything that {counted(len(runs), 'run')} of the experiment {experiment.name} "
            f"logged. {WHAT_MIDCOURSE_IS}",
            WHAT_A_STEP_IS,
            *faults_of(runs, experiment.faults),
        ],
        runs=page_runs(runs),
        sections=sections_of(runs),
    )
