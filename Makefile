# The pip lane: everything in .venv, no ROS 2 needed. With a sourced ROS 2 use `colcon build` (see README.md).
VENV := .venv
TEST_PROCESSES ?= 2
PYTHON ?= $(shell command -v python3.11 || command -v python3)
READY := $(VENV)/.ready

# A sourced ROS 2 would put its own rclpy in front of the pinned wheels.
unexport PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH RMW_IMPLEMENTATION
# Set in many containers. Without compiled modules every process takes 10 s longer to import torch and the rest.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test lint results clean

setup: $(READY)

$(READY): requirements.txt requirements-no-deps.txt setup.py package.xml scripts/setup.sh
	scripts/setup.sh "$(PYTHON)" "$(VENV)"
	touch "$@"

demo: $(READY)
	$(VENV)/bin/step-ros demo $(DEMO_ARGS)

# Two processes, a file's tests in one of them: most tests keep one core busy, and each imports much.
test: $(READY)
	$(VENV)/bin/python -m pytest -n $(TEST_PROCESSES) --dist loadfile $(TEST_ARGS)

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# Hours; goes on where it was interrupted, and skips what is finished (config/results.yaml, docs/comparison.md).
results: $(READY)
	$(VENV)/bin/step-ros results --page docs/comparison.md $(RESULTS_ARGS)

# Keeps .venv/, data/ and runs/: they are expensive to make again.
clean:
	rm -rf build install log demo_out *.egg-info .pytest_cache .ruff_cache .hypothesis
	find step_ros test launch -name __pycache__ -prune -exec rm -rf {} +
