"""Methods by name. A new method is one new file here and one line in `METHODS`."""

from step_ros.policy.methods.base import Method, Proposal
from step_ros.policy.methods.ddim import DDIMMethod
from step_ros.policy.methods.ddpm import DDPMMethod
from step_ros.policy.methods.native import NativeMethod
from step_ros.policy.methods.predictor_only import PredictorOnly
from step_ros.policy.methods.step import StepMethod

METHODS: dict[str, type[Method]] = {
    "step": StepMethod,
    "ddpm": DDPMMethod,
    "ddim": DDIMMethod,
    "predictor": PredictorOnly,
    "native": NativeMethod,
}

__all__ = ["METHODS", "Method", "Proposal"]
