"""Many searches as one: settings that a space gives as ranges, tried by Optuna's samplers on any executor."""

from fusionnas.studies.driver import StudyRun, resume_study, study

__all__ = ["StudyRun", "resume_study", "study"]
