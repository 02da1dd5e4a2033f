"""Every registered encoder obeys the contract; a new one gets its tests here without an edit."""

from __future__ import annotations

from fusionnas.testing import encoder_tests

test_encoder = encoder_tests()
