#!/usr/bin/env bash
# Builds the real @tensorflow/tfjs-node-gpu in .node-gpu, a folder of its own that git ignores: half a
# minute, 0.9 GB, package registries alone. Its install script would download libtensorflow from a
# host that is often out of reach; here it comes out of PyPI's wheel of TensorFlow.
# Where `nvidia-smi` finds a GPU it is the wheel that is built for CUDA, with CUDA's libraries, also
# from PyPI (5 GB); else the one for processors. What is built already is left as it is: remove the folder to begin
# anew. Needs Node >= 20 with its headers, g++, make, python3 and pip.
#
#   npm run node-gpu            # builds it, then `npm test` runs the specs on it
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(node -p "require('@tensorflow/tfjs-core/package.json').version")
tensorflow=2.15.1 # seen to work under tfjs-node-gpu 4.22, which was made for 2.9
wheel=tensorflow-cpu
if nvidia-smi > /dev/null 2>&1; then wheel=tensorflow; fi
built="tfjs-node-gpu $version on $wheel $tensorflow"

mkdir -p .node-gpu
cd .node-gpu
if [[ $(cat built 2> /dev/null) == "$built" ]]; then
  echo "$built: built already"
  exit
fi
rm -rf built node_modules package-lock.json wheel

say() { printf '%s\n' "node-gpu: $*"; }

say "npm packages"
cat > package.json << END
{ "private": true, "dependencies": { "@tensorflow/tfjs-node-gpu": "$version" } }
END
npm install --ignore-scripts --no-audit --no-fund --loglevel error
# One engine: without these Node finds the project's own, of the same version, two folders up.
for shared in core layers data backend-cpu; do rm -rf "node_modules/@tensorflow/tfjs-$shared"; done

say "$wheel $tensorflow, for its libtensorflow"
pip=(python3 -m pip --disable-pip-version-check --quiet)
"${pip[@]}" download --no-deps --only-binary=:all: --python-version 311 \
  --platform manylinux2014_x86_64 --dest wheel "$wheel==$tensorflow"
package=node_modules/@tensorflow/tfjs-node-gpu
python3 - wheel/*.whl "$package/deps" << 'END'
import os, shutil, sys, zipfile
wheel, deps = sys.argv[1:]
headers = tuple(f'tensorflow/include/{folder}/' for folder in (
    'tensorflow/c', 'tensorflow/tsl', 'tensorflow/core/platform', 'tsl/c', 'tsl/platform'))
libraries = {
    'tensorflow/libtensorflow_cc.so.2': 'libtensorflow.so',
    'tensorflow/libtensorflow_framework.so.2': 'libtensorflow_framework.so',
}
def unpack(name, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with archive.open(name) as source, open(target, 'wb') as copy:
        shutil.copyfileobj(source, copy)
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith(headers) and not name.endswith('/'):
            unpack(name, f"{deps}/{name.removeprefix('tensorflow/')}")
    for name, short in libraries.items():
        file = os.path.basename(name)
        unpack(name, f'{deps}/lib/{file}')
        os.symlink(file, f'{deps}/lib/{short}')
END
if [[ $wheel == tensorflow ]]; then
  say "CUDA's libraries, of the versions that the wheel names; it looks for them beside its folder"
  python3 - wheel/*.whl << 'END' > wheel/cuda.txt
import re, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    name = next(name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
    metadata = archive.read(name).decode()
pattern = r"^Requires-Dist: (nvidia-[^ ]+) \((==[^)]+)\) ; extra == 'and-cuda'"
print('\n'.join(package + version for package, version in re.findall(pattern, metadata, re.M)))
END
  "${pip[@]}" install --no-deps --target "$package/deps" --requirement wheel/cuda.txt
fi
rm -rf wheel

say "the binding"
# The headers that came with Node, which node-gyp would download otherwise.
prefix=$(node -p "path.dirname(path.dirname(process.execPath))")
[[ -f $prefix/include/node/node_api.h ]] || { say "no headers of Node in $prefix/include/node"; exit 1; }
(
  cd "$package"
  PATH="$PWD/../../.bin:$PATH" npm_config_nodedir=$prefix \
    node-pre-gyp install --build-from-source > build.log 2>&1 || { cat build.log; exit 1; }
)
say "$built"
echo "$built" > built
