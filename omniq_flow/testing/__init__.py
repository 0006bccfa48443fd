"""What a user of this package needs to test flows."""

from omniq_flow.engine.inline import InlineRun, run_inline

__all__ = ["InlineRun", "run_inline"]
