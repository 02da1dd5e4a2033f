"""The variables of an intensive-care stay that ``physionet2012`` and ``simulated_icu`` share.

Names and units are those of the PhysioNet/CinC Challenge 2012 (Silva et al., "Predicting In-Hospital Mortality
of ICU Patients", Comput Cardiol 2012;39:245-248). Plausible ranges leave room for the very sick; outside them is
a typing or sensor error (pH 735, temperature -17.8).
"""

from __future__ import annotations

HORIZON = 2880.0
"""Minutes of a stay that are observed (48 hours)."""

TARGET = "in_hospital_death"
CLASSES = ("survived", "died")

STATIC = ("Age", "Gender", "Height", "ICUType", "Weight")
VITALS = (
    "HR",
    "RespRate",
    "Temp",
    "SysABP",
    "DiasABP",
    "MAP",
    "NISysABP",
    "NIDiasABP",
    "NIMAP",
    "SaO2",
    "FiO2",
    "MechVent",
    "GCS",
    "Urine",
    "Weight",
)
LABS = (
    "Albumin",
    "ALP",
    "ALT",
    "AST",
    "Bilirubin",
    "BUN",
    "Cholesterol",
    "Creatinine",
    "Glucose",
    "HCO3",
    "HCT",
    "K",
    "Lactate",
    "Mg",
    "Na",
    "PaCO2",
    "PaO2",
    "pH",
    "Platelets",
    "TroponinI",
    "TroponinT",
    "WBC",
)

ICU_TYPES = {1: "coronary", 2: "cardiac_surgery", 3: "medical", 4: "surgical"}

RANGES: dict[str, tuple[float, float]] = {
    "Age": (15, 120),
    "Height": (120, 230),
    "Weight": (30, 300),
    "HR": (10, 250),
    "RespRate": (2, 80),
    "Temp": (25, 43),
    "SysABP": (20, 300),
    "DiasABP": (10, 200),
    "MAP": (15, 250),
    "NISysABP": (20, 300),
    "NIDiasABP": (10, 200),
    "NIMAP": (15, 250),
    "SaO2": (30, 100),
    "FiO2": (0.2, 1),
    "MechVent": (0, 1),
    "GCS": (3, 15),
    "Urine": (0, 5000),
    "Albumin": (0.5, 7),
    "ALP": (5, 5000),
    "ALT": (1, 20000),
    "AST": (1, 20000),
    "Bilirubin": (0.1, 80),
    "BUN": (1, 250),
    "Cholesterol": (20, 600),
    "Creatinine": (0.1, 30),
    "Glucose": (10, 1500),
    "HCO3": (3, 60),
    "HCT": (5, 75),
    "K": (1.5, 12),
    "Lactate": (0.1, 40),
    "Mg": (0.3, 10),
    "Na": (90, 190),
    "PaCO2": (8, 150),
    "PaO2": (15, 600),
    "pH": (6.6, 7.9),
    "Platelets": (2, 2000),
    "TroponinI": (0, 100),
    "TroponinT": (0, 50),
    "WBC": (0.1, 200),
}

LOG = (
    "Urine",
    "ALP",
    "ALT",
    "AST",
    "Bilirubin",
    "BUN",
    "Creatinine",
    "Glucose",
    "Lactate",
    "Platelets",
    "TroponinI",
    "TroponinT",
    "WBC",
)
"""Variables so skewed that they are read as log(1 + x)."""


def ranges_of(names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """The plausible ranges of these variables, where there are any."""
    return {name: RANGES[name] for name in names if name in RANGES}


def log_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of these variables that are read as logarithms."""
    return tuple(name for name in names if name in LOG)
