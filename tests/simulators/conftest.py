from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("simulators_kit", Path(__file__).with_name("kit.py"))
kit = importlib.util.module_from_spec(_SPEC)
sys.modules.setdefault("simulators_kit", kit)
_SPEC.loader.exec_module(kit)
