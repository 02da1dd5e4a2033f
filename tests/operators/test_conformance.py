"""Every registered operator obeys the contract; a new one gets its tests here without an edit."""

from __future__ import annotations

from fusionnas.testing import operator_tests

test_operator = operator_tests()
