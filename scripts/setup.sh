#!/usr/bin/env bash
# Makes the virtual environment of the pip lane and sees to it that MuJoCo can render without a display.
# Usage: scripts/setup.sh PYTHON VENV   (`make setup` calls it). Installs Debian packages only when it may
# (as root, or when sudo asks for no password); otherwise it prints the command that is missing and stops.
set -euo pipefail

python=${1:-}
venv=${2:?usage: scripts/setup.sh PYTHON VENV}
gl_packages=(libegl1 libegl-mesa0 libgl1-mesa-dri libosmesa6)
# The usual torch for Linux brings several GB of CUDA. Give the index of the builds without it to save them.
torch_index=${TORCH_INDEX:-}

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

apt_install() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    command -v apt-get >/dev/null || return 1
    say "installing $* with apt-get"
    "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

check_python() {
    [ -n "$python" ] || fail "no python3 found. Run: sudo apt-get install python3 python3-venv"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$("$python" --version 2>&1) found, 3.11 or newer wanted. Run: make PYTHON=/path/to/python3.11 ..."
}

make_venv() {
    if [ ! -x "$venv/bin/pip" ]; then
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            apt_install python3-venv ||
                fail "python's venv module is missing. Run: sudo apt-get install python3-venv"
        fi
        say "making $venv with $("$python" --version)"
        "$python" -m venv "$venv"
    fi
}

install_packages() {
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check)
    if [ -n "$torch_index" ]; then
        "${pip[@]}" install -q --no-compile --extra-index-url "$torch_index" "$(grep '^torch==' requirements.txt)"
    fi
    say "installing requirements.txt (a few minutes the first time)"
    # Only a tenth of what is installed is ever imported: compiling all of it would take a minute.
    "${pip[@]}" install -q --no-compile -r requirements.txt
    "${pip[@]}" install -q --no-compile --no-deps -r requirements-no-deps.txt
    "${pip[@]}" install -q --no-deps --no-build-isolation --editable .
}

renders() {
    MUJOCO_GL=${1:?} "$venv/bin/python" - <<'PY' 2>/dev/null
import mujoco

model = mujoco.MjModel.from_xml_string(
    '<mujoco><worldbody><light pos="0 0 9"/><geom type="sphere" size="1"/></worldbody></mujoco>'
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    assert renderer.render().any()
PY
}

check_gl() {
    local backend=${MUJOCO_GL:-egl}
    renders "$backend" && return
    apt_install "${gl_packages[@]}" && renders "$backend" && return
    if renders osmesa; then
        fail "MuJoCo cannot render with $backend but can with osmesa. Run: export MUJOCO_GL=osmesa"
    fi
    fail "MuJoCo cannot render without a display ($backend). Run: sudo apt-get install ${gl_packages[*]}"
}

check_python
make_venv
install_packages
check_gl
say "ready"
